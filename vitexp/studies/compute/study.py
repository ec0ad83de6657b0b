"""Which family does more with the same training compute? (Paper, section 4.4, Figure 5, Table 6.)

    vitexp ablate compute

Three sizes of each family on all of the training split, under one recipe. ``vitexp plot compute``
draws accuracy against training compute (6 x MACs x images seen), which model no other beats, and
how many times less compute ViT needs than ResNet for the same error; with ``--paper`` it draws
the paper's own Table 6 the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from vitexp.analysis.compute_ratio import LEAST_SIZES, SIZE_LOOKS, SIZES_ALPHA
from vitexp.analysis.decide import ALPHA, LOOKS, look
from vitexp.analysis.groups import Group
from vitexp.catalog.ladders import COMPUTE, MORE, nearest
from vitexp.catalog.sizes import called, parse
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.study import Study
from vitexp.reporting.panels import chance, setting
from vitexp.reporting.report import Cell, Claim, GridTable, Report
from vitexp.reporting.values import collapsed_words
from vitexp.reporting.words import FAMILIES, data_words, recipe_words, sentence, with_flag
from vitexp.runs.plans import Key
from vitexp.runs.record import CLOCKED, Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings, names
from vitexp.studies.compute.claims import Cells
from vitexp.studies.compute.claims import claims as image_by_image
from vitexp.studies.compute.fit import (
    COLUMNS,
    Scaling,
    Sized,
    accuracy_words,
    claims,
    figure,
    row,
)

_UNITS = ((1e18, "exaFLOPs"), (1e15, "petaFLOPs"), (1e12, "teraFLOPs"), (1e9, "gigaFLOPs"))


@dataclass(frozen=True)
class Compute(Study):
    """Sizes of three families on all of the data.

    Attributes:
        models: names; empty for those of the ladder.
    """

    models: tuple[str, ...] = ()

    claim_ids: ClassVar[tuple[str, ...]] = ("CA1", "CA2", "CA3", "HY1")
    decides: ClassVar[tuple[str, ...]] = ("model",)
    own: ClassVar[tuple[str, ...]] = ("--models",)

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Compute:
        rest = {flag: value for flag, value in own.items() if flag not in cls.own}
        super().configured(rest, settings)
        return cls(names(own.get("--models", "")))

    def plan(self, base: Base, done: Results) -> Plan:
        models = self.models or nearest(COMPUTE, base.run.model.image_size)
        runs = [base.departure(model=m, early_stopping=True) for m in models]
        return Plan({(called(r.model),): [r.seeded(seed) for seed in base.seeds] for r in runs})

    def label(self, key: Key) -> tuple[str, str]:
        return key[0], ""

    def report(self, grid: Grid) -> Report:
        cells = _cells_of(grid)
        first = next(iter(cells.values()))
        name = first.spec.data.name
        sizes = tuple(_sized(key[0], group) for key, group in cells.items() if group.done)
        scaling = Scaling(sizes, SIZES_ALPHA)
        unit = next((u for u in _UNITS if u[0] <= max(s.compute for s in sizes)), _UNITS[-1])
        title = f"Models against training compute on {name}"
        table = GridTable(
            title,
            "model",
            ("family", f"compute ({unit[1]})", "test top-1 in %"),
            tuple((Cell(s.name), _cells(s, unit[0])) for s in _by_compute(sizes)),
        )
        return Report(
            stem=self.stem,
            title=title,
            facts=(("data", data_words(first.spec)), ("recipe", recipe_words(first.spec))),
            tables=(table,),
            columns=(*COLUMNS, *CLOCKED),
            rows=tuple(
                {**row(size, scaling), **_clocked(size, grid)} for size in _by_compute(sizes)
            ),
            figures=(
                figure(
                    scaling,
                    title,
                    "Test top-1 (%)",
                    unit,
                    setting(cells.values()),
                    chance(cells.values()),
                ),
            ),
            claims=_claims(scaling, grid) + _image_by_image(grid),
            notes=(
                "Compute: 6 × MACs × images seen, the paper's convention. The ratio's interval"
                " takes sizes, not seeds, as replicates, each family with its own scatter: more"
                " seeds narrow it only as far as the scatter between sizes allows.",
                "Sizes that are added until a ratio is decided are looks, too: the verdicts on it"
                f" spend {100 * SIZES_ALPHA:.2g} % at each, {100 * ALPHA:g} % over {len(LOOKS)}"
                f" numbers of seeds times {SIZE_LOOKS} of sizes ({LEAST_SIZES} to"
                f" {LEAST_SIZES + SIZE_LOOKS - 1} of each family).",
                *collapsed_words((label, group) for (label, _), group in cells.items()),
            ),
        )


def _cells_of(grid: Grid) -> Cells:
    """The cells with the compute of their training; without models that have no count of it."""
    first = ((key[0], group, group.records[0].metrics.get("flops")) for key, group in grid.items())
    return {(name, flops): group for name, group, flops in first if flops is not None}


def _sized(name: str, group: Group) -> Sized:
    spec, top1 = group.spec, group.metric("test_top1")
    assert top1.mean is not None
    return Sized(
        name=name,
        family=spec.model.family,
        compute=group.done[0].metrics["flops"],
        accuracy=top1.mean,
        low=top1.low,
        high=top1.high,
        n=top1.n,
        dots=tuple(record.metrics["test_top1"] for record in group.done),
        images=group.images,
        runs=group.runs,
    )


def _clocked(size: Sized, grid: Grid) -> dict[str, float | None]:
    """The median over seeds of what a clock measured; None where an older result lacks it."""
    runs = [record for record in grid.records if record.id in size.runs]

    def middle(name: str) -> float | None:
        values = [run.metrics[name] for run in runs if name in run.metrics]
        return float(f"{median(values):.6g}") if values else None

    return {name: middle(name) for name in CLOCKED}


def _by_compute(sizes: tuple[Sized, ...]) -> list[Sized]:
    return sorted(sizes, key=lambda size: size.compute)


def _cells(size: Sized, unit: float) -> tuple[Cell, ...]:
    family = FAMILIES.get(size.family, size.family)
    return (
        Cell(family),
        Cell(f"{size.compute / unit:.3g}"),
        Cell(accuracy_words(size), runs=size.runs),
    )


def _claims(scaling: Scaling, grid: Grid) -> tuple[Claim, ...]:
    """The claims from the first seeds that every size with a look has, up to the look."""
    cells = _cells_of(grid)
    able = {
        k: group for k, group in cells.items() if look(len(group.records)) and not group.diverged
    }
    data = grid.spec.data.name
    if not able:
        return claims(Scaling((), scaling.alpha), data, _run(grid, LOOKS[0]))
    shared = look(min(len(group.records) for group in able.values())) or 0
    first = {key: Group(group.records[:shared]) for key, group in able.items()}
    settled = Scaling(tuple(_sized(key[0], group) for key, group in first.items()), scaling.alpha)
    few_sizes = settled.fit == "few sizes"
    settle = _run(grid, shared) if few_sizes else _more(grid, ("vit", "resnet"))
    return claims(settled, data, settle)


def _image_by_image(grid: Grid) -> tuple[Claim, ...]:
    """The claims that compare models on the same test images."""
    run = _run(grid, LOOKS[0])
    return image_by_image(_cells_of(grid), grid.more, run, lambda *families: _more(grid, families))


def _run(grid: Grid, seeds: int) -> str:
    """What to type for the seeds that lack, as a sentence; where none does, for the usual sizes."""
    if any(len(group.records) < seeds for group in grid.values()):
        return f"Run {grid.more(min(next(iter(grid.values())).seeds), seeds)}."
    flags = with_flag(grid.flags, "--models")
    return f"Run `vitexp {grid.command} {flags} --seeds {seeds}`."


def _more(grid: Grid, families: Sequence[str]) -> str:
    """What to type for one more size of each family, the largest first, as a sentence."""
    # As they are typed: what else a flag gave them follows the name.
    known = [called(group.spec.model).split()[0] for group in grid.values()]
    new = [n for n in nearest(MORE, grid.spec.model.image_size) if n not in known]
    first = (next((n for n in new if parse(n).family == family), None) for family in families)
    larger = [name for name in first if name]
    if not larger:
        return ""
    flags = with_flag(grid.flags, "--models", ",".join((*known, *larger)))
    return sentence(
        f"other sizes may settle it: `vitexp {grid.command} {flags} --seeds {LOOKS[0]}`"
    )
