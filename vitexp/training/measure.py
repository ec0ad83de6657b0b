"""Probing trained weights on images of any kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from vitexp.datasets.image_set import ImageSet
from vitexp.evaluation.accuracy import accuracy
from vitexp.evaluation.few_shot import few_shot
from vitexp.models.build import build
from vitexp.models.weights.files import load_weights
from vitexp.runs.measurement import Measurement
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.record import pack_correct
from vitexp.spec import Checkpoint, ModelSpec, ProbeSpec, RunSpec
from vitexp.training.determinism import set_deterministic
from vitexp.training.environment import environment
from vitexp.training.execution import DTYPES


def measure(
    of: RunSpec | Checkpoint,
    spec: ModelSpec,
    weights: Path,
    probe: ProbeSpec,
    images: ImageSet,
    device: torch.device,
    options: ExecutionOptions,
    reads_test: Callable[[], int],
) -> Measurement:
    """The few-shot linear probe of weights on ``images``.

    Args:
        of: the run that ended with them, or the file they came in.
        spec: their model. weights: the file that they are in.
        images: of the model's size and channels; their classes may be others.
        reads_test: counts a read of the test split before it is made.

    Raises:
        VitexpError: the file does not hold such a model.
    """
    set_deterministic(options.deterministic)
    assert images.fingerprint == probe.data.fingerprint
    model = build(spec, of.seed if isinstance(of, RunSpec) else 0)
    copy = of.file.copy if isinstance(of, Checkpoint) else None
    load_weights(model, spec, weights, "features", copy=copy)
    model.to(device)
    dtype = DTYPES[of.precision]
    # Top-1 of the old head means nothing on other classes: of this, features alone are used.
    reads = reads_test()
    test = accuracy(model, images.test, device, dtype)
    found = few_shot(model, images, test, device, dtype)
    return Measurement(
        of.id,
        probe,
        {f"{p.name}_top1": p.mean for p in found},
        {p.name: [pack_correct(row) for row in p.correct] for p in found},
        {
            **environment(device),
            "deterministic": options.deterministic,
            "few_shot": [p.details() for p in found],
            "test_reads": reads,
            "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )
