"""Which measurement is asked for: a finished run or a file with weights, and images that its
model can look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.catalog import sizes
from vitexp.datasets.load import describe
from vitexp.errors import VitexpError
from vitexp.models.check import check_channels, check_head, model_of_file, open_file
from vitexp.models.weights.header import model_in
from vitexp.runs.store import Store
from vitexp.runs.weights_file import from_file
from vitexp.spec import USUAL, Checkpoint, Copy, ModelSpec, ProbeSpec, Reading, RunSpec

if TYPE_CHECKING:
    from vitexp.models.weights.files import Reach


def probe_of(
    spec: RunSpec, dataset: str, reading: Reading, store: Store, remark: Callable[[str], None]
) -> ProbeSpec:
    """The few-shot probe of a run on ``dataset``, or on its own where that is empty.

    Images are resized to the run's size.

    Args:
        reading: how files are read; the run's own as they were for it, unless anything is said.

    Raises:
        VitexpError: the run has no weights, or the images' channels are not the model's.
    """
    store.weights(spec.id)
    side = spec.model.image_size
    reading = reading if dataset or reading != USUAL else spec.data.reading
    data, images = describe(dataset or spec.data.source, image_size=side, reading=reading)
    for text in (*data.remarks, *check_channels(spec.model, images)):
        remark(text)
    if spec.data.fold is not None and data.fingerprint == spec.data.fingerprint:
        # The run was trained on the others.
        data = data.in_fold(spec.data.fold)
    return ProbeSpec("few_shot", data)


def probe_of_file(
    path: Path,
    model: str | None,
    dataset: str,
    reading: Reading,
    remark: Callable[[str], None],
    copy: Copy | None = None,
) -> tuple[Checkpoint, ProbeSpec]:
    """The few-shot probe of a file with weights on ``dataset``.

    Images are resized to the model's size. Whether the file holds the model is found out before
    any image is decoded.

    Args:
        model: its name, such as ``vit-b/16@384``; None where the file says it.
        reading: how the files of ``dataset`` are read.
        copy: which of a file's copies of it.

    Raises:
        VitexpError: the file says no model and none is named, it holds another, or no data set.
    """
    if not dataset:
        raise VitexpError(f"On which images is {path} to be probed?", "Say it: --dataset digits.")
    found, of = checkpoint(path, model, copy, remark)
    data, images = describe(dataset, image_size=found.model.image_size, reading=reading)
    for text in (*data.remarks, *check_channels(of, images)):
        remark(text)
    return found, ProbeSpec("few_shot", data)


def checkpoint(
    path: Path,
    model: str | None,
    copy: Copy | None,
    remark: Callable[[str], None],
    reach: Reach = "features",
) -> tuple[Checkpoint, ModelSpec]:
    """A file with weights as something to measure, and the model that is in it.

    Args:
        model, copy: as for :func:`probe_of_file`.
        reach: how much of the model the file has to hold.

    Raises:
        VitexpError: the file says no model and none is named, or it holds another or no classifier
            where that is needed.
    """
    source = open_file(path, copy, remark)
    said = model_in(source.path)
    if said is None and model is None:
        raise VitexpError(f"Which model is in {path}?", "Say it: --model vit-b/16@384.")
    if said is not None and model is not None:
        raise VitexpError(f"{path} says itself that it holds {said.name}.", "Leave --model out.")
    found = said or sizes.at_usual_side(model or "")
    if reach == "all":
        check_head(found, source)
    of = model_of_file(found, source, reach)
    return Checkpoint(found, from_file(path, source.copy)), of
