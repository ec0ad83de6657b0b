"""Top-1 and top-5 accuracy, and which images were classified correctly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitexp.datasets.image_set import Split
from vitexp.models.inputs import normalise, sent
from vitexp.models.stream import in_turn

BATCH, CUDA_BATCH = 256, 1024
"""Images classified at once, at most; a larger device is kept busy with fewer launches."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on one split.

    Attributes:
        correct: whether each image's top-1 is its label: bool, (n,).
        taken: the class that each image is taken for: int64, (n,).
        top5: share of images with the label among the five largest logits, in [0, 1].
        features: what the head saw: float32, (n, F), on the CPU; None for a model without
            ``features`` and ``head``.
    """

    correct: np.ndarray
    taken: np.ndarray
    top5: float
    features: Tensor | None

    @property
    def top1(self) -> float:
        return float(self.correct.mean())


@dataclass(frozen=True)
class Classified:
    """What is queued on a device to be found out; :meth:`accuracy` waits for it.

    Attributes:
        first, five: whether the label is the largest logit, or among the five largest: bool, (n,).
        taken, features: as of :class:`Accuracy`, on the device.
    """

    first: Tensor
    five: Tensor
    taken: Tensor
    features: Tensor | None

    def accuracy(self) -> Accuracy:
        return Accuracy(
            self.first.cpu().numpy(),
            self.taken.cpu().numpy(),
            float(self.five.float().mean()),
            None if self.features is None else self.features.cpu(),
        )


def accuracy(
    model: nn.Module,
    split: Split,
    device: torch.device,
    precision: torch.dtype,
    batch: int | None = None,
    rows: np.ndarray | None = None,
) -> Accuracy:
    """Classifies the images ``rows`` of ``split`` (all by default), ``batch`` at a time."""
    return classified(model, split, device, precision, batch, rows).accuracy()


@torch.inference_mode()
def classified(
    model: nn.Module,
    split: Split,
    device: torch.device,
    precision: torch.dtype,
    batch: int | None = None,
    rows: np.ndarray | None = None,
) -> Classified:
    """What :func:`accuracy` does, without waiting for the device."""
    batch = min(batch or BATCH, CUDA_BATCH if device.type == "cuda" else BATCH)
    wanted = np.arange(len(split)) if rows is None else rows
    model.eval()
    first, five, taken, seen = [], [], [], []
    for chosen, images in in_turn(split.images, wanted, batch, device):
        logits, own = answered(model, images, precision)
        if own is not None:
            seen.append(own.float())
        target = sent(split.labels[chosen], device)[:, None]
        likely = largest(logits)
        best = likely == target
        taken.append(likely[:, 0])
        first.append(best[:, 0])
        five.append(best.any(dim=1))
    model.train()
    features = torch.cat(seen) if seen else None
    return Classified(torch.cat(first), torch.cat(five), torch.cat(taken), features)


def answered(
    model: nn.Module, images: Tensor, precision: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Logits (B, K) of stored images, uint8 (B, S, S, C), in float32, and what :func:`outputs`
    gives with them."""
    with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
        logits, features = outputs(model, normalise(images))
    return logits.float(), features


def largest(logits: Tensor) -> Tensor:
    """The classes of the five largest logits, the largest first: int64, (B, at most 5)."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices


def outputs(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits (B, K) of normalised images, and the features (B, F) that the head read."""
    features, head = getattr(model, "features", None), getattr(model, "head", None)
    if features is None or head is None:
        return model(images), None
    seen: Tensor = features(images)
    return head(seen), seen
