"""Which positions a model takes for alike (paper, Figure 7, centre).

N patches on a grid of ``side`` x ``side``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vitexp.reporting.report import (
    MosaicFigure,
    Report,
    Series,
    TraceFigure,
    TracePanel,
    Value,
)
from vitexp.tasks.look.opened import Looked

_COLUMNS = ("run", "layer", "row", "column", "other_row", "other_column", "cosine")
_PROFILE = ("run", "layer", "head", "offset", "cosine")
_DASHED = 4
"""Lines of one colour, which their dashes tell apart."""


def similarity(looked: Looked) -> Report:
    """The cosine of each two patches' embeddings, of each table; of a relative signal that of
    each offset's embedding with offset 0's.

    Raises:
        VitexpError: it has no positional signal, or one of which neither is known.
    """
    relative = looked.spec.transformer.position.kind == "relative"
    return _profile(looked) if relative else _similarity(looked)


def _similarity(looked: Looked) -> Report:
    from vitexp.evaluation.learned import similarities

    model = looked.model()
    side = model.geometry.grid[0]
    found = [each.numpy().reshape([side] * 4) for each in similarities(model)]
    names = _names(looked, len(found))
    figure = MosaicFigure(
        "Similarity of the positional embeddings",
        tuple(zip(names, found, strict=True)),
        (
            "Each square is the grid of patches: the cosine of their embeddings with that of the"
            " patch in the square's place.",
            looked.facts,
        ),
    )
    rows: tuple[dict[str, Value], ...] = tuple(
        dict(
            zip(
                _COLUMNS,
                (looked.name, layer, *_counted(place), round(float(cosine), 6)),
                strict=True,
            )
        )
        for layer, cosines in _numbered(looked, found)
        for place, cosine in np.ndenumerate(cosines)
    )
    stem = f"similarity-{looked.stem}"
    return Report(stem, figure.title, (), (), _COLUMNS, rows, (figure,), (), ())


def _profile(looked: Looked) -> Report:
    from vitexp.evaluation.learned import profiles

    found = [each.numpy() for each in profiles(looked.model())]
    offsets = range(-(found[0].shape[1] // 2), found[0].shape[1] // 2 + 1)
    heads = len(found[0])
    if len(found) == 1:
        kind = "one head a line" if heads > 1 else "all heads share them"
        named = {f"head {h + 1}": line for h, line in enumerate(found[0])}
    else:
        kind = "the mean over heads"
        names = _names(looked, len(found))
        named = {name: each.mean(axis=0) for name, each in zip(names, found, strict=True)}
    series = tuple(
        Series(name, tuple(zip(offsets, map(float, line), strict=True)))
        for name, line in named.items()
    )
    figure = TraceFigure(
        "Similarity of the offsets' embeddings to that of offset 0",
        "offset of the key from the query (patches in raster order)",
        (TracePanel(f"cosine ({kind})", series),),
        looked.facts,
        tuple((line.name, f"colour {n // _DASHED}") for n, line in enumerate(series)),
    )
    rows: tuple[dict[str, Value], ...] = tuple(
        dict(
            zip(_PROFILE, (looked.name, layer, head + 1, at, round(float(cosine), 6)), strict=True)
        )
        for layer, lines in _numbered(looked, found)
        for head, line in enumerate(lines)
        for at, cosine in zip(offsets, line, strict=True)
    )
    stem = f"similarity-{looked.stem}"
    return Report(stem, figure.title, (), (), _PROFILE, rows, (figure,), (), ())


def _counted(place: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(index + 1 for index in place)


def _names(looked: Looked, tables: int) -> list[str]:
    """What the tables are called: ``layer 3``, or where there is one, where it enters."""
    if tables > 1:
        return [f"layer {layer + 1}" for layer in range(tables)]
    return ["every layer" if looked.spec.transformer.position.placement == "shared" else "layer 1"]


def _numbered(looked: Looked, tables: list[np.ndarray]) -> Iterator[tuple[int | str, np.ndarray]]:
    """Each with its layer, counted from 1; ``all`` where they share it."""
    shared = looked.spec.transformer.position.placement == "shared"
    for number, table in enumerate(tables):
        yield "all" if shared else number + 1, table
