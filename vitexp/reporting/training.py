"""How far training came, and whether anything can be concluded from what it reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from vitexp.amounts import count
from vitexp.analysis.groups import Group
from vitexp.reporting.more_images import FOLDS, foldable
from vitexp.reporting.words import percent
from vitexp.runs.record import RunRecord

Limited = Literal["no", "perhaps", "yes"]

FITTED = 0.99
"""Top-1 on training images from which a cell has learned them."""

_CLOSE, _FAR = 0.02, 0.05
"""Gaps of training to test: where compute is what lacks, and from where on it surely is not."""

_BY_HEART = 0.2
"""Gap of training to test of what learned its training images and nothing else."""

_FALLING = 0.05
"""Share of the whole fall of the loss that its last quarter must have for it to fall still."""


def facts(groups: Sequence[Group]) -> tuple[tuple[str, str], ...]:
    """What guessing gives, and how far these cells got beyond it."""
    trained = [record for group in groups for record in group.done if record.spec.recipe.steps]
    if not trained:
        return ()
    lines = [("guessing", guessing(groups))]
    shares = [r.metrics["train_top1"] for r in trained if "train_top1" in r.metrics]
    if shares:
        falls = [fall for record in trained if (fall := loss_falls(record)) is not None]
        last = f"; loss still falling in {sum(falls)} of {len(falls)} runs" if falls else ""
        reached = f"{percent(min(shares))} to {percent(max(shares))} %"
        lines.append(("training", f"top-1 on {looked_at(trained)} {reached}{last}"))
    return tuple(lines)


def looked_at(records: Sequence[RunRecord]) -> str:
    """``"2,000 training images"`` that top-1 was measured on; without a number if it is unknown."""
    seen = [int(r.metrics["train_images"]) for r in records if "train_images" in r.metrics]
    ends = dict.fromkeys((min(seen), max(seen))) if seen else ()
    return f"{' to '.join(f'{end:,}' for end in ends)} training images".lstrip()


def undertrained(groups: Sequence[Group]) -> str:
    """A warning where no cell is told from guessing; else ``""``."""
    able = [(group, group.metric("test_top1").mean) for group in groups if group.done]
    known = [(group, mean) for group, mean in able if mean is not None]
    if not known:
        return ""
    group, best = max(known, key=lambda pair: pair[1])
    floor = _floor(group)
    if best > floor + _luck(floor, group.images):
        return ""
    train = group.metric("train_top1").mean
    if train is not None and train - best > _BY_HEART:
        return (
            f"Over-fitted: nothing here can be concluded. The best cell reaches {percent(train)} %"
            f" of its {count(group.spec.data.used, 'training image')} and {percent(best)} % of the"
            f" {count(group.images, 'test image')}, which guessing ({percent(floor)} %) may, too."
            " More images may help, or weights that were trained on more:"
            " `vitexp finetune --from FILE`."
        )
    images = _more_tell(group, best - floor, floor)
    what = "Too few test images or under-trained" if images else "Under-trained"
    return (
        f"{what}: nothing here can be concluded. The best cell reaches {percent(best)} %,"
        f" which guessing ({percent(floor)} %) may on {count(group.images, 'image')}, too;"
        f"{images} try --steps {10 * max(g.spec.recipe.steps for g in groups)}."
    )


def _luck(floor: float, images: int) -> float:
    """How far beyond ``floor`` guessing may come on so many images: three standard errors."""
    return 3 * math.sqrt(floor * (1 - floor) / images)


def _more_tell(group: Group, lead: float, floor: float) -> str:
    """That folds may tell it from guessing, where these test images leave room for no lead or all
    images would show this one; else ``""``."""
    pool = group.spec.data.pool
    limited = floor + _luck(floor, group.images) >= 1 or lead > _luck(floor, pool)
    if not limited or not foldable([group]):
        return ""
    return f" more may tell: --folds {FOLDS} tests all {pool}. Or"


def limited_words(groups: Sequence[Group]) -> str:
    """That compute is what all cells lack; ``""`` where it is not."""
    able = [group for group in groups if group.done]
    if not able or any(compute_limited(group) != "yes" for group in able):
        return ""
    return "all cells are compute-limited, so that more --steps may change this"


def loss_falls(record: RunRecord) -> bool | None:
    """Whether the training loss still fell in the last quarter of the run's evaluations; None
    where there are too few."""
    losses = [point["train_loss"] for point in record.curve if "train_loss" in point]
    if len(losses) < 4:
        return None
    first, late, last = losses[0], losses[-1 - len(losses) // 4], losses[-1]
    return late - last > _FALLING * max(first - last, 0) > 0


def compute_limited(group: Group) -> Limited:
    """Whether more compute, not more data, is what a cell lacks: it has not fitted its own
    training images, and does about as well on the test images.

    Perhaps where the images that were looked at leave that open.
    """
    train, test = group.metric("train_top1").mean, group.metric("test_top1").mean
    if train is None or test is None or train >= FITTED or train - test >= _CLOSE:
        return "no"
    images = group.done[0].metrics.get("train_images", group.spec.data.val)
    error = math.sqrt(train * (1 - train) / images + test * (1 - test) / group.images)
    return "yes" if train - test + 2 * error < _FAR else "perhaps"


def train_words(group: Group) -> str:
    """The accuracy on training images, and whether compute is the limit."""
    train = group.metric("train_top1").mean
    if train is None:
        return ""
    limited = {"no": "", "perhaps": ", perhaps compute-limited", "yes": ", compute-limited"}
    return f"train {percent(train)}{limited[compute_limited(group)]}"


def guessing(groups: Sequence[Group]) -> str:
    """What chance and the most common class give on the test images."""
    spec = groups[0].spec
    chance = f"chance {percent(1 / spec.model.classes)} %"
    shares = [r.metrics["test_majority"] for g in groups for r in g.done if _MAJORITY in r.metrics]
    return f"{chance}, always the most common class {percent(max(shares))} %" if shares else chance


_MAJORITY = "test_majority"


def _floor(group: Group) -> float:
    return max(1 / group.spec.model.classes, *(r.metrics.get(_MAJORITY, 0.0) for r in group.done))
