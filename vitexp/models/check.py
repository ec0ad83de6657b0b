"""Whether a trained model can look at some images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.spec import ModelSpec


def with_channels(model: ModelSpec, images: ImageSet, path: Path) -> ModelSpec:
    """A named model with the channels of the file that its weights are in.

    Raises:
        VitexpError: the file is no checkpoint, or none of a known layout.
    """
    if images.channels == 3:
        return dataclasses.replace(model, channels=3)
    # Only the file says whether it is of grey images or of RGB ones, and reading it takes torch.
    from vitexp.models.weights.files import fitted

    return dataclasses.replace(model, channels=fitted(model, path).channels)


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
