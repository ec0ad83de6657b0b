"""Where in images a ResNet finds the class that it gives (class-activation maps)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitexp.errors import VitexpError
from vitexp.reporting.report import Report, Tile, TilesFigure, Value
from vitexp.spec import RunSpec
from vitexp.tasks.look.images import Wanted
from vitexp.tasks.look.maps import greys, lit, short
from vitexp.tasks.look.opened import Looked
from vitexp.tasks.predict import own_images

if TYPE_CHECKING:
    import torch

_AT_ONCE = 32
_COLUMNS = ("run", "image", "class", "row", "column", "logit")
_TOLD = (
    "Of each image: it; it with the brightness of what speaks for the class that is given; the"
    " class-activation map (Zhou et al. 2016), black the least and white the most: what each cell"
    " of the last map adds to that class's logit, which is their sum and the head's bias."
)


def cam(looked: Looked, wanted: Wanted, device: torch.device) -> Report:
    """The map of the class that is given, of each image.

    Raises:
        VitexpError: none of the images can be read.
    """
    from vitexp.evaluation.class_maps import class_maps
    from vitexp.models.inputs import sent
    from vitexp.training.execution import DTYPES

    model, precision = looked.resnet().to(device), DTYPES[looked.of.precision]
    names = own_images(looked.of).names if isinstance(looked.of, RunSpec) else None
    source, batches = wanted.of(looked, _AT_ONCE)
    tiles, rows, images = list[Tile](), list[dict[str, Value]](), 0
    for some, pixels in batches:
        classes, maps = class_maps(model, sent(pixels, device), precision)
        for name, image, label, cells in zip(
            some, pixels, classes.tolist(), maps.numpy(), strict=True
        ):
            given = names[label] if names else str(label)
            span = f"{cells.min():.2f} to {cells.max():.2f}"
            tiles += [Tile(image, (short(name),)), Tile(lit(image, cells), (given,))]
            tiles.append(Tile(greys(cells), (span,)))
            rows += _rows(looked, name, given, cells)
        images += len(some)
    if not images:
        raise VitexpError("None of these images can be read.", "Give images.")
    remarks = (_TOLD, looked.facts, f"{images} {source}.")
    figure = TilesFigure("Class-activation maps", tuple(tiles), remarks)
    stem = f"cam-{looked.stem}"
    return Report(stem, figure.title, (), (), _COLUMNS, tuple(rows), (figure,), (), ())


def _rows(looked: Looked, name: str, given: str, cells: np.ndarray) -> list[dict[str, Value]]:
    return [
        {
            "run": looked.name,
            "image": name,
            "class": given,
            "row": row + 1,
            "column": column + 1,
            "logit": round(float(value), 6),
        }
        for (row, column), value in np.ndenumerate(cells)
    ]
