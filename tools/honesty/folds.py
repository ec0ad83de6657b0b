"""Cross-validated tables: the K models of a seed share their luck over the images of a fold.

    python -m tools.honesty.folds [--tables 2000] [--seed 0] [--out tables]

As :mod:`tools.honesty.tables`, but every seed deals the images into K folds anew, alike for all
cells, and the luck of cell and seed is that of cell, seed and fold.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tools.honesty.measure import Measured, error, measure
from tools.honesty.rules import OURS, RULES
from tools.honesty.tables import SCALE, Condition, image_latents, offset
from vitexp.analysis.decide import ALPHA, LOOKS


@dataclass(frozen=True)
class Folds(Condition):
    """What one kind of cross-validated table is like.

    Attributes:
        folds: K.
        alike: share of the luck's variance that the K models of a cell and seed have in common,
            such as that of the same first weights.
        pool: sd of the luck of a cell with all images as training images, alike for all seeds.
    """

    folds: int = 5
    alike: float = 0.2
    pool: float = 0.0

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        cells = zip(self.gaps, np.hypot(self.sds, self.pool), strict=True)
        return np.array([offset(self.base + gap, float(sd), None) for gap, sd in cells])


def draw(c: Condition, rng: np.random.Generator, tables: int, seeds: int) -> np.ndarray:
    """Correctness: bool, shape (tables, cells, seeds, images)."""
    assert isinstance(c, Folds)
    latent = image_latents(c, rng, tables)
    latent += (c.pool * rng.standard_normal((tables, c.cells, 1))).astype(np.float32)
    luck = _luck(c, rng, (tables, c.cells, seeds))
    correct = np.empty((tables, c.cells, seeds, c.images), bool)
    for table in range(tables):
        dealt = rng.permuted(np.tile(np.arange(c.images) % c.folds, (seeds, 1)), axis=1)
        own = luck[table][:, np.arange(seeds)[:, None], dealt]
        noise = rng.logistic(scale=SCALE, size=own.shape).astype(np.float32)
        correct[table] = latent[table][:, None] + own + noise > 0
    return correct


def _luck(c: Folds, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Of cell, seed and fold in logits: float32, shape (tables, cells, seeds, folds)."""
    tables, cells, seeds = shape

    def variates(cells: int) -> np.ndarray:
        whole = rng.standard_normal((tables, cells, seeds, 1))
        each = rng.standard_normal((tables, cells, seeds, c.folds))
        return np.asarray(np.sqrt(c.alike) * whole + np.sqrt(1 - c.alike) * each)

    luck = np.sqrt(1 - c.shared) * variates(cells) + np.sqrt(c.shared) * variates(1)
    return np.asarray(luck * np.array(c.sds)[:, None, None], np.float32)


def _table(name: str, sd: float, gap: float = 0.0, cells: int = 10, **known: float) -> Folds:
    gaps = (0.0,) + (gap,) * (cells - 1)
    return Folds(name, gaps, (sd,) * cells, **{"images": 1797, **known})  # type: ignore[arg-type]


_PLAIN = _table("sd 0.5", 0.5)

SAME = (
    _PLAIN,
    replace(_PLAIN, name="sd 0.5, unshared by cells", shared=0.0),
    replace(_PLAIN, name="sd 0.5, the K models independent", alike=0.0),
    replace(_PLAIN, name="sd 0.5, the K models all alike", alike=1.0),
    _table("sd 0.15", 0.15),
    _table("sd 1", 1.0),
    _table("360 images", 0.5, images=360),
    _table("10 folds", 0.5, folds=10),
    _table("20 folds of 18 images", 0.5, folds=20, images=360),
    _table("2 folds", 0.5, folds=2),
    _table("2 cells", 0.5, cells=2),
    _table("near the ceiling, 98 %", 0.3, base=5.0),
    replace(_table("one cell 5 times the sd", 0.1), sds=(0.1,) * 9 + (0.5,)),
    replace(_table("the reference 5 times the sd", 0.1), sds=(0.5,) + (0.1,) * 9),
)
"""No cell differs from the reference."""

APART = tuple(
    _table(f"gap {gap:g}, sd {sd:g}, {images:,} images, {how}", sd, gap, images=images, folds=folds)
    for gap, sd in ((0.4, 0.3), (0.8, 0.3), (1.6, 0.5))
    for images, folds, how in ((360, 1, "one split"), (1797, 5, "5 folds"))
)
"""All nine are better: on a fifth of the images, and on all of them."""

UNCOUNTED = tuple(_table(f"sd 0.3, of the pool {sd:g}", 0.3, pool=sd) for sd in (0.05, 0.1, 0.2))
"""What folds cannot count: how well each cell does with just these images to train on."""


def page(same: Sequence[Measured], apart: Sequence[Measured], uncounted: Sequence[Measured]) -> str:
    """The record, in Markdown."""
    return "\n".join([*_false(same), *_found(apart), *_uncounted(uncounted), ""])


def _false(same: Sequence[Measured]) -> Iterator[str]:
    tables = same[0].rates[OURS].tables
    yield from ("# How honest verdicts are on cross-validated tables", "")
    yield (
        f"`make honesty`: {tables:,} made-up tables a condition; ten cells, 1,797 images, 5 folds,"
        " a fifth of the luck's variance common to the K models of a seed and half of it to the"
        " cells, where not said otherwise. Looks at"
        f" {', '.join(map(str, LOOKS))} seeds. A table is false if any verdict in it is. May be so:"
        f" {ALPHA + 2 * error(ALPHA, tables):.3f}; what is above is marked !. Covered: of 95 %"
        " intervals of single differences at 3 and at 10 seeds."
    )
    yield from ("", "| no difference is true | false at 3 seeds | over four looks | covered |")
    yield "|---|---|---|---|"
    for m in same:
        ours = m.rates[OURS]
        yield (
            f"| {m.condition.name} | {ours.false[0]:.3f} | {ours.ever:.3f} ± {ours.error:.3f}"
            f"{'' if ours.honest else ' !'} | {_covered(m)} |"
        )


def _found(apart: Sequence[Measured]) -> Iterator[str]:
    yield from ("", "| all nine differ | found at 3 seeds | at 5 | at 10 | at 20 | covered |")
    yield "|---|---|---|---|---|---|"
    for m in apart:
        shares = (f"{share:.2f}" for share in m.rates[OURS].found)
        yield f"| {m.condition.name} | {' | '.join(shares)} | {_covered(m)} |"


def _uncounted(several: Sequence[Measured]) -> Iterator[str]:
    yield ""
    yield (
        "Not counted: a cell that does better with just these images to train on. Where it has that"
        " luck, in logits, no cell is better with other images, and what is found does not hold"
        " there:"
    )
    yield from ("", "| luck | false at 3 seeds | over four looks | covered |", "|---|---|---|---|")
    for m in several:
        ours = m.rates[OURS]
        yield (
            f"| {m.condition.name} | {ours.false[0]:.3f} | {ours.ever:.3f} ± {ours.error:.3f}"
            f" | {_covered(m)} |"
        )


def _covered(m: Measured) -> str:
    return f"{m.covered[0]:.3f}, {m.covered[2]:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.honesty.folds", description=__doc__)
    parser.add_argument("--tables", type=int, default=2000, help="of each condition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tables"))
    asked = parser.parse_args()
    found = [
        [measure(c, {OURS: RULES[OURS]}, asked.tables, asked.seed, draw) for c in conditions]
        for conditions in (SAME, APART, UNCOUNTED)
    ]
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "honesty-folds.md").write_text(page(*found))


if __name__ == "__main__":
    main()
