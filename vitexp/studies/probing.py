"""Which measurement is asked for: a finished run, and images that its model can look at."""

from __future__ import annotations

from collections.abc import Callable

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import describe
from vitexp.datasets.shots import left_out
from vitexp.errors import VitexpError
from vitexp.runs.store import Store
from vitexp.spec import ModelSpec, ProbeSpec, RunSpec


def probe_of(spec: RunSpec, dataset: str, store: Store, remark: Callable[[str], None]) -> ProbeSpec:
    """The few-shot probe of a run on ``dataset``, or on its own where that is empty.

    Images are resized to the run's size.

    Raises:
        VitexpError: the run has no weights, or the images' channels are not the model's.
    """
    store.weights(spec.id)
    side = spec.model.image_size
    data, images = describe(dataset or spec.data.source, image_size=side)
    check_channels(spec.model, images)
    if fewer := left_out(images.train.labels, images.names):
        remark(fewer)
    return ProbeSpec("few_shot", data)


def check_channels(model: ModelSpec, images: ImageSet) -> None:
    """Refuse images with other channels than a trained model's.

    Raises:
        VitexpError: they differ.
    """
    if images.channels == model.channels:
        return
    words = {1: "grey", 3: "RGB"}
    raise VitexpError(
        f"The images of {images.name} are {words[images.channels]}, and {model.name} was trained"
        f" on {words[model.channels]} ones.",
        "Choose a data set with the same channels, or a run trained on such images.",
    )
