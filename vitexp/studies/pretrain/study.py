"""When does pre-training pay? From scratch, fine-tuned, or a linear map on what was learned before.

    vitexp ablate pretrain                               # the classes of one data set
    vitexp ablate pretrain --source cifar100 --target path/to/images

A model is pre-trained on a source: a data set, or the first six in ten classes of one. On the
target, another data set or the other classes, it is then fine-tuned, or only gets a linear head by
ridge regression on its features; and the same model is trained from scratch, with pre-training's
recipe and for as many steps as it is fine-tuned. All at several sizes of the target: nested,
stratified fractions, drawn by the run's seed, the same images for the three. At each size the
learning rates of both that have one are searched on validation, and the weights that do best
there are kept.

On the embedded digits with 3 seeds: about 70 runs, some 10 minutes of CPU. Six digits teach little
about the other four: from scratch it is about 81 % with 15 images and 92 % with 52, fine-tuned 65
and 86 %; with all 515 they are equal, at 97 %.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vitexp.catalog.recipes import FINETUNE, finetuning, measuring, preset
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe
from vitexp.datasets.split import subset
from vitexp.errors import VitexpError
from vitexp.experiment.fractions import FRACTIONS, shares
from vitexp.experiment.plan import Grid, Plan
from vitexp.experiment.search import Grid as Points
from vitexp.experiment.search import Point, search, with_exponents, with_rate
from vitexp.experiment.study import Study
from vitexp.models.check import check_channels
from vitexp.models.count import onto
from vitexp.reporting.report import Report
from vitexp.runs.plans import Key
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.settings.flags import Settings
from vitexp.settings.run import EVALUATIONS
from vitexp.spec import TUNING_SEEDS, USUAL, DataSpec, FromRun, Head, Reading, Recipe, RunSpec
from vitexp.studies.pretrain.cells import FINE_TUNED, PARENTS, PROBED, SCRATCH
from vitexp.studies.pretrain.report import pretrain_report

SOURCE_SHARE = 0.6
"""Of the classes of one data set, where their number is not said."""

Change = Callable[[RunSpec, Point], RunSpec]
Searched = tuple[list[RunSpec], list[RunSpec] | None]


@dataclass(frozen=True)
class Pretrain(Study):
    """Three ways to a target, by its size.

    Attributes:
        target: the data set to go on to; empty: the other classes of the source.
        source_classes: how many classes to pre-train on, the first ones; None: six in ten.
        fractions: shares of the target's training split.
        reading: how the target's files are read.
    """

    target: str = ""
    source_classes: int | None = None
    fractions: tuple[float, ...] = FRACTIONS
    reading: Reading = USUAL

    searches: ClassVar[bool] = True
    decides: ClassVar[tuple[str, ...]] = ("fraction",)
    own: ClassVar[tuple[str, ...]] = (
        *("--source", "--target", "--target-image-column", "--target-label-column"),
        *("--source-classes", "--fractions"),
    )

    @classmethod
    def configured(cls, own: Mapping[str, str], settings: Settings) -> Pretrain:
        if "--target" in own and "--source-classes" in own:
            raise VitexpError(
                "--target and --source-classes exclude one another.",
                "Give --target to go on to another data set, or --source-classes to share one out.",
            )
        columns = {name: own.get(f"--target-{name}-column") for name in ("image", "label")}
        if any(columns.values()) and "--target" not in own:
            raise VitexpError(
                "There is no --target whose columns could be named.",
                "Name those of the data set with --image-column and --label-column.",
            )
        rest = {flag: value for flag, value in own.items() if flag not in cls.own}
        super().configured(rest, settings)
        kept, fractions = own.get("--source-classes"), own.get("--fractions")
        return cls(
            target=own.get("--target", ""),
            source_classes=int(kept) if kept else None,
            fractions=shares(fractions) if fractions else FRACTIONS,
            reading=dataclasses.replace(
                settings.reading, image_column=columns["image"], label_column=columns["label"]
            ),
        )

    def plan(self, base: Base, done: Results) -> Plan:
        """The parents; for each size the probes, the searches for rates, then all seeds."""
        source, target, images = self._data(base.run)
        parent = _parent(base.run, source)
        cells: dict[Key, list[RunSpec]] = {PARENTS: [parent.seeded(seed) for seed in base.seeds]}
        tries: dict[Key, list[RunSpec]] = {}
        waiting = False
        for fraction in sorted(set(self.fractions)):
            for seed in (*base.seeds, TUNING_SEEDS + base.seeds[0]):
                subset(images.train.labels, fraction, seed)
            part = dataclasses.replace(target, fraction=None if fraction == 1 else fraction)
            size = _Size(parent, part, images, base.seeds)
            cells[PROBED, fraction] = [size.probed(seed) for seed in base.seeds]
            for arm, (trials, best) in size.searched(done).items():
                tries[f"{arm}, rate search", fraction] = trials
                waiting |= best is None
                if best is not None:
                    cells[arm, fraction] = best
        return Plan(cells, tries=tries, open=waiting)

    def _data(self, run: RunSpec) -> tuple[DataSpec, DataSpec, ImageSet]:
        """The source, the target and the target's images.

        Raises:
            VitexpError: other channels, or too few classes to share out.
        """
        before = run.data
        if self.target:
            target, images = describe(
                self.target, image_size=run.model.image_size, reading=self.reading
            )
            said = check_channels(run.model, images)
            target = dataclasses.replace(target, remarks=target.remarks + said)
            return before, target, images
        count = run.model.classes
        kept = self.source_classes or round(SOURCE_SHARE * count)
        if not 2 <= kept <= count - 2:
            raise VitexpError(
                f"{kept} of {count} classes to pre-train on leave {max(0, count - kept)} to go to.",
                "Each side needs two: choose --source-classes, or another data set as --target.",
            )
        source, _ = _some(before, range(kept))
        return source, *_some(before, range(kept, count))

    def answered(self, cells: Collection[Key]) -> bool:
        return PARENTS in cells and len({arm for arm, _ in cells}) > 2

    def report(self, grid: Grid) -> Report:
        return pretrain_report(self.stem, grid)


def _some(data: DataSpec, classes: range) -> tuple[DataSpec, ImageSet]:
    """Some classes of a data set."""
    return describe(
        data.source,
        image_size=data.image_size,
        split_seed=data.split_seed,
        reading=data.reading,
        classes=tuple(classes),
    )


def _parent(run: RunSpec, source: DataSpec) -> RunSpec:
    """The base run on the source; its last weights are kept."""
    classes = len(source.classes) if source.classes else run.model.classes
    batch = min(run.recipe.batch, source.train)
    return dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, classes=classes),
        data=dataclasses.replace(source, fraction=None, subset_seed=None),
        recipe=dataclasses.replace(run.recipe, batch=batch, early_stopping=None),
    )


@dataclass(frozen=True)
class _Size:
    """One size of the target.

    Attributes:
        parent: what is pre-trained, with any seed.
        data: the target with its fraction.
        images: of the whole target.
        seeds: of the runs that are reported.
    """

    parent: RunSpec
    data: DataSpec
    images: ImageSet
    seeds: tuple[int, ...]

    def searched(self, done: Results) -> dict[str, Searched]:
        """The two ways that have a rate to search for, each with its trials and, once the best of
        them is known, its runs."""
        rates = preset(FINETUNE).rates

        def tuned(run: RunSpec, point: Point) -> RunSpec:
            return with_rate(run, rates, point)

        return {
            FINE_TUNED: self._best(self._tuned, tuned, (range(len(rates)),), done),
            SCRATCH: self._best(self._scratch, with_exponents, (range(-1, 2),), done),
        }

    def _best(
        self, make: Callable[[int], RunSpec], change: Change, grid: Points, done: Results
    ) -> Searched:
        tried = make(TUNING_SEEDS + self.seeds[0])
        trials, best = search([lambda point: change(tried, point)], grid, done)
        if best is None:
            return trials, None
        return trials, [change(make(seed), best[0]) for seed in self.seeds]

    def _scratch(self, seed: int) -> RunSpec:
        return self._run(self.parent.recipe, None, seed)

    def _tuned(self, seed: int) -> RunSpec:
        return self._run(
            finetuning(self.parent.recipe, self.parent.recipe.steps), self._init(seed), seed
        )

    def probed(self, seed: int) -> RunSpec:
        return self._run(measuring(), self._init(seed, "ridge"), seed)

    def _init(self, seed: int, head: Head | None = None) -> FromRun:
        """From the parent of this seed; what only tries settings, from the first one."""
        before = self.seeds[0] if seed >= TUNING_SEEDS else seed
        return FromRun(self.parent.seeded(before).id, head=head)

    def _run(self, recipe: Recipe, init: FromRun | None, seed: int) -> RunSpec:
        look = max(1, recipe.steps // EVALUATIONS)
        recipe = dataclasses.replace(
            recipe,
            batch=min(recipe.batch, self.data.used),
            flip=recipe.flip and self.images.flips,
            early_stopping=look if recipe.steps else None,
            evaluate_every=look,
        )
        old = self.parent.model
        return dataclasses.replace(
            self.parent,
            model=onto(old, len(self.images.names), old.image_size),
            data=self.data,
            recipe=recipe,
            init=init,
        ).seeded(seed)
