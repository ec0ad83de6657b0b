"""The paper's own scaling study (Table 6), judged as runs of one's own would be."""

from __future__ import annotations

from vitexp.catalog.paper import table6
from vitexp.reporting.report import Cell, GridTable, Report
from vitexp.reporting.words import FAMILIES
from vitexp.studies.compute.fit import (
    COLUMNS,
    Scaling,
    Sized,
    accuracy_words,
    claims,
    figure,
    row,
)

EXAFLOP = 1e18


def paper_report() -> Report:
    """Figure 5, left, drawn from Table 6, with the compute ratio that it supports."""
    names = [model.name for model in table6()]
    sizes = tuple(
        Sized(
            m.name if names.count(m.name) == 1 else f"{m.name}, {m.epochs} epochs",
            m.family,
            m.exaflops * EXAFLOP,
            m.average,
        )
        for m in table6()
    )
    scaling = Scaling(sizes)
    title = "The paper's Table 6: accuracy against pre-training compute"
    table = GridTable(
        title,
        "model",
        ("family", "exaFLOPs", "average top-1 in %"),
        tuple(
            (Cell(s.name), (Cell(FAMILIES[s.family]), Cell(f"{s.compute / EXAFLOP:g}"), _cell(s)))
            for s in sizes
        ),
    )
    return Report(
        stem="compute_paper",
        title=title,
        facts=(
            ("source", "arXiv 2010.11929, Table 6: pre-trained on JFT-300M, then transferred"),
            ("accuracy", "mean of ImageNet, CIFAR-10, CIFAR-100, Pets and Flowers (Figure 5)"),
        ),
        tables=(table,),
        columns=COLUMNS,
        rows=tuple(row(size, scaling) for size in sizes),
        figures=(
            figure(
                scaling,
                title,
                "Average top-1 of five data sets (%)",
                (EXAFLOP, "exaFLOPs"),
                "One run a size; pre-trained on JFT-300M, then transferred",
            ),
        ),
        claims=claims(scaling, "JFT-300M, five transfers"),
        notes=("The paper gives one run a size: no interval over seeds can be drawn.",),
    )


def _cell(size: Sized) -> Cell:
    return Cell(accuracy_words(size))
