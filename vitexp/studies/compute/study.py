"""Which family does more with the same training compute? (Paper, section 4.4, Figure 5, Table 6.)

    vitexp ablate compute

Three sizes of each family on all of the training split, under one recipe. ``vitexp plot compute``
draws accuracy against training compute (6 x MACs x images seen), which model no other beats, and
how many times less compute ViT needs than ResNet for the same error; with ``--paper`` it draws
the paper's own Table 6 the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import ClassVar

from vitexp.analysis.compute_ratio import LEAST_SIZES, SIZE_LOOKS, SIZES_ALPHA
from vitexp.analysis.decide import ALPHA, LOOKS, look
from vitexp.analysis.groups import Group
from vitexp.catalog.ladders import COMPUTE, MORE, nearest
from vitexp.catalog.sizes import called, parse
from vitexp.experiment.grids import (
    by_position,
    from_scratch,
    last_ended,
    latest_variant,
    model_names,
    same,
    setting,
    split,
)
from vitexp.experiment.study import Study
from vitexp.reporting.report import Cell, Claim, GridTable, Report
from vitexp.reporting.values import collapsed_words
from vitexp.reporting.words import asked_again, data_words, more_seeds, recipe_words, sentence
from vitexp.runs.record import CLOCKED, Results, RunRecord
from vitexp.settings.base import Base
from vitexp.spec import RunSpec
from vitexp.studies.compute.claims import Cells, Key
from vitexp.studies.compute.claims import claims as image_by_image
from vitexp.studies.compute.fit import (
    COLUMNS,
    LABELS,
    Scaling,
    Sized,
    accuracy_words,
    claims,
    figure,
    row,
)

_FREE = ("lr", "weight_decay", "dropout", "stochastic_depth", "steps", "batch")
"""What a family's recipe may have of its own, and what decides a run's compute."""

_UNITS = ((1e18, "exaFLOPs"), (1e15, "petaFLOPs"), (1e12, "teraFLOPs"), (1e9, "gigaFLOPs"))


class Compute(Study):
    """Sizes of three families on all of the data."""

    stem: ClassVar[str] = "compute"
    command: ClassVar[str] = "ablate compute"
    claim_ids: ClassVar[tuple[str, ...]] = ("CA1", "CA2", "CA3", "HY1")
    decides: ClassVar[tuple[str, ...]] = ("model",)

    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """All models of the first seed, then of the next."""
        models = nearest(COMPUTE, base.run.model.image_size)
        cells = [base.departure(model=m, early_stopping=True) for m in models]
        return [run.seeded(seed) for seed in base.seeds for run in cells]

    def label(self, spec: RunSpec) -> tuple[str, str]:
        return called(spec.model), LABELS.get(spec.model.family, spec.model.family)

    def grids(self, done: Results) -> list[Results]:
        """Runs on the same data that differ in model, steps and seed; two sizes at least."""
        whole = [
            r for r in from_scratch(done) if r.spec.data.fraction is None and "flops" in r.metrics
        ]
        grids = [part for same in split(whole, _setting) for part in by_position(same)]
        return [
            Results(grid)
            for grid in sorted(grids, key=last_ended)
            if len({called(record.spec.model) for record in grid}) > 1
        ]

    def report(self, grid: Results) -> Report:
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
            figures=(figure(scaling, title, "Test top-1 (%)", unit),),
            claims=_claims(scaling, cells) + _image_by_image(cells),
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


def _setting(record: RunRecord) -> tuple[str, bool]:
    return setting(record.spec, *_FREE), record.spec.recipe.early_stopping is not None


def _cells_of(grid: Results) -> dict[Key, Group]:
    names = model_names(grid)

    def key(record: RunRecord) -> Key:
        return names[same(record.spec.model)], record.metrics["flops"]

    return {key(records[0]): Group(latest_variant(records)) for records in split(grid, key)}


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
        runs=tuple(record.id for record in group.records),
    )


def _clocked(size: Sized, grid: Results) -> dict[str, float | None]:
    """The median over seeds of what a clock measured; None where an older result lacks it."""

    def middle(name: str) -> float | None:
        values = [m[name] for run in size.runs if name in (m := grid[run].metrics)]
        return float(f"{median(values):.6g}") if values else None

    return {name: middle(name) for name in CLOCKED}


def _by_compute(sizes: tuple[Sized, ...]) -> list[Sized]:
    return sorted(sizes, key=lambda size: size.compute)


def _cells(size: Sized, unit: float) -> tuple[Cell, ...]:
    family = LABELS.get(size.family, size.family)
    return Cell(family), Cell(f"{size.compute / unit:.3g}"), Cell(accuracy_words(size))


def _claims(scaling: Scaling, cells: Cells) -> tuple[Claim, ...]:
    """The claims from the first seeds that every size with a look has, up to the look."""
    groups = list(cells.values())
    spec = groups[0].spec
    able = {
        k: group for k, group in cells.items() if look(len(group.records)) and not group.diverged
    }
    if not able:
        few = Scaling((), scaling.alpha)
        return claims(few, spec.data.name, _run(groups, LOOKS[0]))
    shared = look(min(len(group.records) for group in able.values())) or 0
    first = {key: Group(group.records[:shared]) for key, group in able.items()}
    settled = Scaling(tuple(_sized(key[0], group) for key, group in first.items()), scaling.alpha)
    few_sizes = settled.fit == "few sizes"
    settle = _run(groups, shared) if few_sizes else _more(groups, ("vit", "resnet"))
    return claims(settled, spec.data.name, settle)


def _image_by_image(cells: Cells) -> tuple[Claim, ...]:
    """The claims that compare models on the same test images."""
    groups = list(cells.values())

    def command(first_seed: int, seeds: int) -> str:
        return more_seeds(Compute.command, groups[0].spec, first_seed, seeds, Compute.decides)

    return image_by_image(
        cells, command, _run(groups, LOOKS[0]), lambda *families: _more(groups, families)
    )


def _run(groups: list[Group], seeds: int) -> str:
    first = min(groups[0].seeds)
    command = more_seeds(Compute.command, groups[0].spec, first, seeds, Compute.decides)
    return f"Run {command}."


def _more(groups: list[Group], families: Sequence[str]) -> str:
    """What to type for one more size of each family, the largest first, as a sentence."""
    spec = groups[0].spec
    known = {called(group.spec.model) for group in groups}
    new = [name for name in nearest(MORE, spec.model.image_size) if name not in known]
    by_family = {
        family: next((n for n in new if _family(n) == family), None) for family in families
    }
    typed = [
        f"`vitexp train {asked_again(spec, Compute.decides, model=name)} --model {name}"
        f" --early-stopping --seeds {LOOKS[0]}`"
        for name in by_family.values()
        if name
    ]
    return sentence(f"other sizes may settle it: {' and '.join(typed)}") if typed else ""


def _family(name: str) -> str:
    return parse(name).family
