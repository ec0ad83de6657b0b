"""Measuring trained weights on images of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitexp.datasets.image_set import ImageSet
from vitexp.evaluation.accuracy import accuracy
from vitexp.evaluation.bias import bias
from vitexp.evaluation.few_shot import few_shot
from vitexp.models.build import build
from vitexp.models.weights.files import Reach, load_weights
from vitexp.runs.measurement import Measurement, pack_numbers
from vitexp.runs.options import ExecutionOptions
from vitexp.runs.record import pack_correct
from vitexp.spec import Checkpoint, ModelSpec, ProbeKind, ProbeSpec, RunSpec
from vitexp.training.determinism import set_deterministic
from vitexp.training.environment import environment
from vitexp.training.execution import DTYPES


@dataclass(frozen=True)
class _Found:
    """As of a :class:`Measurement`; ``details`` are for its ``execution``."""

    values: dict[str, float]
    per_example: dict[str, list[str]]
    details: dict[str, Any] = field(default_factory=dict)


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
    """What ``probe`` finds out about weights on ``images``.

    Args:
        of: the run that ended with them, or the file they came in.
        spec: their model. weights: the file that they are in.
        images: of the model's size and channels; for the few-shot probe their classes may be
            others.
        reads_test: counts a read of the test split before it is made.

    Raises:
        VitexpError: the file does not hold such a model.
    """
    set_deterministic(options.deterministic)
    assert images.fingerprint == probe.data.fingerprint
    model = build(spec, of.seed if isinstance(of, RunSpec) else 0)
    copy = of.file.copy if isinstance(of, Checkpoint) else None
    reach, found_by = _KINDS[probe.kind]
    load_weights(model, spec, weights, reach, copy=copy)
    model.to(device)
    reads = reads_test()
    found = found_by(model, images, device, DTYPES[of.precision])
    return Measurement(
        of.id,
        probe,
        found.values,
        found.per_example,
        {
            **environment(device),
            "deterministic": options.deterministic,
            **found.details,
            "test_reads": reads,
            "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )


def _few_shot(
    model: nn.Module, images: ImageSet, device: torch.device, dtype: torch.dtype
) -> _Found:
    # Top-1 of the old head means nothing on other classes: of this, features alone are used.
    test = accuracy(model, images.test, device, dtype)
    found = few_shot(model, images, test, device, dtype)
    return _Found(
        {f"{p.name}_top1": p.mean for p in found},
        {p.name: [pack_correct(row) for row in p.correct] for p in found},
        {"few_shot": [p.details() for p in found]},
    )


def _bias(model: nn.Module, images: ImageSet, device: torch.device, dtype: torch.dtype) -> _Found:
    found = bias(model, images.test, device, dtype)
    packed = {name: [pack_numbers(each)] for name, each in found.per_image.items()}
    return _Found(found.values, packed)


_KINDS: dict[ProbeKind, tuple[Reach, Callable[..., _Found]]] = {
    "few_shot": ("features", _few_shot),
    "bias": ("all", _bias),
}
"""How much of the model each needs, and what makes it."""
