"""Whether a file holds a model, and whether a trained model can look at some images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.models.weights.header import model_in
from vitexp.spec import Copy, ModelSpec

if TYPE_CHECKING:
    from vitexp.models.weights.files import Reach
    from vitexp.models.weights.sources import Source


def model_of_file(
    model: ModelSpec, source: Source, reach: Reach = "features", resize: bool = False
) -> ModelSpec:
    """A named model with what the file of its weights decides: channels, classes, pool and the
    layer before the head.

    Args:
        source, reach, resize: as for :func:`vitexp.models.weights.files.check`.

    Raises:
        VitexpError: the file does not hold such a model.
    """
    from vitexp.models.weights.files import check, fitted

    found = model_in(source.path) or fitted(model, source)
    check(found, source, reach, resize)
    return found


def check_head(model: ModelSpec, source: Source) -> None:
    """Refuse a file that holds no classifier.

    Raises:
        VitexpError: saying what such a file is good for.
    """
    from vitexp.models.weights.files import has_head

    if not has_head(model, source):
        raise VitexpError(
            f"{source.path} holds no classifier, so it predicts nothing.",
            "Fine-tune it with `vitexp finetune --from FILE`, or look at its features with"
            " `vitexp probe FILE`.",
        )


def open_file(path: Path, copy: Copy | None, remark: Callable[[str], None]) -> Source:
    """The model in a file, after saying what was decided about it.

    Raises:
        VitexpError: as :func:`vitexp.models.weights.copies.open_weights`.
    """
    # Only commands that are given a file need torch, which takes seconds.
    from vitexp.models.weights.copies import open_weights

    source = open_weights(path, copy)
    for text in source.said:
        remark(text)
    return source


def check_channels(model: ModelSpec, images: ImageSet) -> tuple[str, ...]:
    """Hold images against a trained model's channels.

    Returns:
        What is to be said where grey images are shown to a model of RGB ones.

    Raises:
        VitexpError: RGB images for a model of grey ones.
    """
    if images.channels == model.channels:
        return ()
    if images.channels == 1:
        return (
            f"The images of {images.name} are grey, and {model.name} was trained on RGB ones: "
            "it sees them as three equal channels.",
        )
    raise VitexpError(
        f"The images of {images.name} are RGB, and {model.name} was trained on grey ones.",
        "Choose a data set of grey images, or a run or file of a model of RGB ones.",
    )
