"""Which measurement is asked for: a finished run or a file with weights, and images that its
model can look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from vitexp.catalog import sizes
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe
from vitexp.errors import VitexpError
from vitexp.models.weights.header import model_in
from vitexp.runs.files import file_hash
from vitexp.runs.store import Store
from vitexp.spec import USUAL, Checkpoint, FromFile, ModelSpec, ProbeSpec, RunSpec


def probe_of(spec: RunSpec, dataset: str, store: Store, remark: Callable[[str], None]) -> ProbeSpec:
    """The few-shot probe of a run on ``dataset``, or on its own where that is empty.

    Images are resized to the run's size.

    Raises:
        VitexpError: the run has no weights, or the images' channels are not the model's.
    """
    store.weights(spec.id)
    side = spec.model.image_size
    reading = USUAL if dataset else spec.data.reading
    data, images = describe(dataset or spec.data.source, image_size=side, reading=reading)
    for text in (*data.remarks, *check_channels(spec.model, images)):
        remark(text)
    return ProbeSpec("few_shot", data)


def probe_of_file(
    path: Path, model: str | None, dataset: str, remark: Callable[[str], None]
) -> tuple[Checkpoint, ProbeSpec]:
    """The few-shot probe of a file with weights on ``dataset``.

    Images are resized to the model's size.

    Args:
        model: its name, such as ``vit-b/16@384``; None where the file says it.

    Raises:
        VitexpError: the file says no model and none is named, or no data set.
    """
    if not dataset:
        raise VitexpError(f"On which images is {path} to be probed?", "Say it: --dataset digits.")
    file, said = from_file(path), model_in(path)
    if said is None and model is None:
        raise VitexpError(f"Which model is in {path}?", "Say it: --model vit-b/16@384.")
    if said is not None and model is not None:
        raise VitexpError(f"{path} says itself that it holds {said.name}.", "Leave --model out.")
    found = said or sizes.at_usual_side(model or "")
    data, images = describe(dataset, image_size=found.image_size)
    of = said or with_channels(found, images, path)
    for text in (*data.remarks, *check_channels(of, images)):
        remark(text)
    return Checkpoint(found, file), ProbeSpec("few_shot", data)


def from_file(path: Path) -> FromFile:
    """The file ``path``, by what is in it.

    Raises:
        VitexpError: there is none.
    """
    if not path.is_file():
        raise VitexpError(f"There is no file {str(path)!r}.", "Give a run or a file.")
    return FromFile(file_hash(path), str(path.absolute()))


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
