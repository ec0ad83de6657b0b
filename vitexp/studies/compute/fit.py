"""Error against training compute: families, their fits, and what the compute claims say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitexp.analysis.compute_ratio import (
    LEAST_SIZES,
    ComputeRatio,
    Obstacle,
    compute_ratio,
    ratio_within,
)
from vitexp.analysis.decide import ALPHA
from vitexp.analysis.findings import Standing
from vitexp.analysis.seeds import Sample
from vitexp.catalog import paper
from vitexp.reporting.cells import mean_words
from vitexp.reporting.panels import SEED
from vitexp.reporting.report import Claim, CurveFigure, Series
from vitexp.reporting.values import in_percent
from vitexp.reporting.words import FAMILIES, sentence, times

REFERENCE, FAMILY = "resnet", "vit"
CLAIMED = (2.0, 4.0)
"""How many times less compute ViT needs (paper, section 4.4)."""


@dataclass(frozen=True)
class Sized:
    """One size of a family, trained for some time.

    Attributes:
        name: the model's; with the epochs where there are several.
        compute: of the training, in FLOPs.
        accuracy, low, high: mean and its interval, as shares; None without one.
        n: seeds behind it; 0 where that is not known.
        dots: the accuracy of each seed.
        images: of the test split; None where that is not known.
        runs: ids.
    """

    name: str
    family: str
    compute: float
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    dots: tuple[float, ...] = ()
    images: int | None = None
    runs: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """1 - accuracy; a size that makes none is given half a test image's."""
        least = 1e-6 if self.images is None else 0.5 / self.images
        return max(1 - self.accuracy, least)


@dataclass(frozen=True)
class Scaling:
    """All sizes of one comparison and the ratio of its two families.

    Attributes:
        alpha: what the verdicts may spend.
    """

    sizes: tuple[Sized, ...]
    alpha: float = ALPHA

    def of(self, family: str) -> list[Sized]:
        """The sizes of a family, by compute."""
        return sorted((s for s in self.sizes if s.family == family), key=lambda s: s.compute)

    @property
    def families(self) -> list[str]:
        """The known ones first and in one order, so that each has its colour in all figures."""
        own = dict.fromkeys(size.family for size in self.sizes)
        return sorted(
            own, key=lambda f: list(FAMILIES).index(f) if f in FAMILIES else len(FAMILIES)
        )

    @property
    def fit(self) -> ComputeRatio | Obstacle:
        """The two families of the paper's claim, fitted."""
        return compute_ratio(*(_points(self.of(family)) for family in (REFERENCE, FAMILY)))

    @property
    def front(self) -> list[Sized]:
        """The sizes that no other beats at less or equal compute, by compute."""
        best: list[Sized] = []
        for size in sorted(self.sizes, key=lambda s: (s.compute, -s.accuracy)):
            if not best or size.accuracy > best[-1].accuracy:
                best.append(size)
        return best


def _points(sizes: Sequence[Sized]) -> list[tuple[float, float]]:
    return [(size.compute, size.error) for size in sizes]


def ratio_words(scaling: Scaling) -> str:
    """The ratio with its interval, or why there is none."""
    fit = scaling.fit
    if isinstance(fit, ComputeRatio):
        interval = fit.interval()
        assert interval is not None
        low, high = map(times, interval)
        return (
            f"ViT needs {times(fit.ratio)}× less compute than ResNet for the same error"
            f" [{low}, {high}] (95 %, Fieller, sizes as replicates; slopes parallel:"
            f" p {fit.p_parallel:.2g})"
        )
    counts = " and ".join(f"{len(scaling.of(f))} of {FAMILIES[f]}" for f in (REFERENCE, FAMILY))
    return {
        "few sizes": f"no compute ratio: it needs {LEAST_SIZES} sizes of each family; there are"
        f" {counts}",
        "not parallel": "no single compute ratio: the families' slopes differ (p < 0.05), so it"
        " depends on the error",
        "flat": "no compute ratio: error does not clearly fall with compute within these sizes",
    }[fit]


def figure(
    scaling: Scaling,
    title: str,
    y_axis: str,
    unit: tuple[float, str],
    measured: str = "",
    guessing: float | None = None,
) -> CurveFigure:
    """Accuracy over compute, one series a family, the fits where there is a ratio.

    Args:
        unit: FLOPs in one of the x axis, and its name.
        measured: what on, in one line.
        guessing: what it gives, in percent.
    """
    per, name = unit
    fit = scaling.fit
    has_fit = isinstance(fit, ComputeRatio)
    return CurveFigure(
        title=title,
        x_axis=f"Training compute ({name})",
        y_axis=y_axis,
        series=tuple(_series(scaling, family, per) for family in scaling.families),
        joined=False,
        front=tuple((s.compute / per, 100 * s.accuracy) for s in scaling.front),
        remarks=(sentence(ratio_words(scaling)),),
        band="95 % over seeds" if any(size.low is not None for size in scaling.sizes) else "",
        dot=SEED if any(size.dots for size in scaling.sizes) else "",
        fit="fit: one slope for ViT and ResNet" if has_fit else "",
        setting=measured,
        chance=guessing,
    )


def _series(scaling: Scaling, family: str, per: float) -> Series:
    sizes = scaling.of(family)
    return Series(
        name=FAMILIES.get(family, family),
        points=tuple((s.compute / per, 100 * s.accuracy) for s in sizes),
        band=tuple(
            None if s.low is None or s.high is None else (100 * s.low, 100 * s.high) for s in sizes
        ),
        labels=tuple(s.name for s in sizes),
        dots=tuple((s.compute / per, 100 * dot) for s in sizes for dot in s.dots),
        fit=_fitted(scaling, family, per),
    )


def _fitted(scaling: Scaling, family: str, per: float) -> tuple[tuple[float, float], ...]:
    fit, sizes = scaling.fit, scaling.of(family)
    if not isinstance(fit, ComputeRatio) or family not in (REFERENCE, FAMILY):
        return ()
    compute = np.geomspace(sizes[0].compute, sizes[-1].compute, 40)
    accuracy = 100 * (1 - fit.error(int(family == FAMILY), compute))
    return tuple(zip((compute / per).tolist(), accuracy.tolist(), strict=True))


def claims(scaling: Scaling, dataset: str, settle: str = "") -> tuple[Claim, ...]:
    """CA1 (2 to 4 times less compute) and CA2 (ViT dominates: the ratio is above 1)."""
    return (
        _claim("CA1", scaling, CLAIMED, dataset, settle),
        _claim("CA2", scaling, (1.0, float("inf")), dataset, settle),
    )


def _claim(
    name: str, scaling: Scaling, bounds: tuple[float, float], dataset: str, settle: str
) -> Claim:
    said, fit = paper.claims()[name], scaling.fit
    runs = tuple(run for size in scaling.sizes for run in size.runs if size.family != "hybrid")
    if not isinstance(fit, ComputeRatio):
        standing: Standing = "NOT RUN" if fit == "few sizes" else "INCONCLUSIVE"
        words = sentence(ratio_words(scaling))
        return Claim(
            name, said.sentence, said.source, standing, words, settle, runs, dataset=dataset
        )
    standing, interval = ratio_within(fit, *bounds, alpha=scaling.alpha)
    low, high = interval or (None, None)
    wanted = "above 1" if bounds[0] == 1 else f"within {bounds[0]:g} to {bounds[1]:g}"
    return Claim(
        name,
        said.sentence,
        said.source,
        standing,
        sentence(f"{ratio_words(scaling)}; the ratio must lie {wanted}"),
        settle if standing == "INCONCLUSIVE" else "",
        runs,
        effect=fit.ratio,
        low=low,
        high=high,
        n=len(scaling.of(REFERENCE)) + len(scaling.of(FAMILY)),
        dataset=dataset,
    )


COLUMNS = (
    *("model", "family", "compute_flops", "n", "top1_mean", "top1_low", "top1_high"),
    *("error", "on_front", "run_ids"),
)


def row(size: Sized, scaling: Scaling) -> dict[str, str | int | float | None]:
    """One line of the numbers behind the figure; accuracies in percent."""
    shares = (size.accuracy, size.low, size.high)
    values = (
        *(size.name, size.family, size.compute, size.n),
        *map(in_percent, shares),
        *(round(size.error, 5), "yes" if size in scaling.front else "no", " ".join(size.runs)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def accuracy_words(size: Sized) -> str:
    """The accuracy of a size with its interval."""
    top1 = Sample(size.n, size.accuracy, None, size.low, size.high)
    seeds = f", n {size.n}" if size.n else ""
    return f"{mean_words(top1, 1)}{seeds}"
