"""Predicting images with trained weights, as a run's own evaluation does.

B images, S side, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.pictures import decoded, names_of_test, open_pictures
from vitexp.evaluation.accuracy import BATCH, CUDA_BATCH, answered, largest
from vitexp.models.build import build
from vitexp.models.inputs import sent
from vitexp.models.stream import in_turn
from vitexp.models.weights.files import load_weights
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.predictions import Predicted, writing
from vitexp.runs.record import RunRecord
from vitexp.spec import Checkpoint, DataSpec, ModelSpec, RunSpec, Shown
from vitexp.training.determinism import set_deterministic
from vitexp.training.execution import DTYPES

Batches = Iterator[tuple[list[str], np.ndarray, Tensor]]
"""Names; labels, int64 (B,), -1 for none; uint8 images (B, S, S, C) on the device."""


def predict(
    of: RunSpec | Checkpoint,
    spec: ModelSpec,
    weights: Path,
    batches: Batches,
    to: Path,
    device: torch.device,
    options: ExecutionOptions,
    count: Callable[[int], None],
) -> None:
    """Writes what the model says of each image to ``to``, a file of
    :mod:`vitexp.runs.predictions`.

    Args:
        of: the run that ended with the weights, or the file they came in.
        spec: their model. weights: the file that they are in.
        count: called with how many images are done.

    Raises:
        VitexpError: the file does not hold such a model, or an image cannot be shown to it.
    """
    set_deterministic(options.deterministic)
    model = build(spec, of.seed if isinstance(of, RunSpec) else 0)
    copy = of.file.copy if isinstance(of, Checkpoint) else None
    load_weights(model, spec, weights, copy=copy)
    model.to(device).eval()
    done = 0
    with torch.inference_mode(), writing(to, spec.classes) as add:
        for names, labels, images in batches:
            logits, _ = answered(model, images, DTYPES[of.precision])
            best = largest(logits)[:, 0].cpu().numpy()
            add(Predicted(names, labels, best, logits.softmax(dim=1).cpu().numpy()))
            done += len(names)
            count(done)


def test_batches(
    images: ImageSet, data: DataSpec, record: RunRecord, device: torch.device
) -> Batches:
    """A run's test images, as many at once as when it measured its accuracy: how many there are
    can change the last bits of their logits."""
    names, rows = names_of_test(data, images), np.arange(len(images.test))
    micro, cuda = record.execution.get("micro_batch"), device.type == "cuda"
    batch = micro or (4 * record.spec.recipe.batch if cuda else BATCH)
    at_once = min(batch, CUDA_BATCH if cuda else BATCH)
    for part, shown in in_turn(images.test.images, rows, at_once, device):
        yield [names[row] for row in part], images.test.labels[part], shown


def shown_batches(shown: Shown, spec: ModelSpec, device: torch.device) -> Batches:
    """Other images, as the loader would decode them for the model; a label is the class of that
    name, if the model has it.

    Raises:
        VitexpError: as :func:`vitexp.datasets.pictures.decoded`.
    """
    assert shown.source is not None
    pictures = open_pictures(shown.source, shown.reading)
    known = pictures.labels_among(shown.names)
    side, channels = spec.image_size, spec.channels
    for names, rows, pixels in decoded(pictures, side, channels, shown.reading.skip_broken):
        if names:
            yield names, known[rows], sent(pixels, device)
