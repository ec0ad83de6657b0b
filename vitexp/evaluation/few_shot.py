"""Few-shot linear probe: how well a linear map tells classes apart from k images of each.

The paper's own measure of its ablation (Table 8 and Figure 4, 5 shots): ridge regression from
frozen features to targets in {-1, 1}, in closed form (section 4.1).

n images, F features, K classes, L regularisers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.datasets import shots
from vitexp.datasets.image_set import ImageSet, Split, spread
from vitexp.evaluation.accuracy import Accuracy, accuracy

REGULARISERS = tuple(2.0**power for power in range(-10, 21, 2))
"""Ridge penalties, on standardised features, that the validation split chooses from."""

LOOKED_AT = 10_000
"""Validation images, at most, that the choice of a penalty looks at."""

SCORES = 1 << 24
"""Scores that are held in memory at a time."""


@dataclass(frozen=True)
class FewShot:
    """The probe with one number of shots.

    Attributes:
        shots: images a class that it learned from.
        top1: accuracy on test of each draw, shares in [0, 1].
        penalty: the ridge penalty, chosen on validation for all draws together.
        correct: whether each test image was classified correctly: bool, (draws, test images).
    """

    shots: int
    top1: tuple[float, ...]
    penalty: float
    correct: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.mean(self.top1))

    @property
    def name(self) -> str:
        return f"few_shot_{self.shots}"

    def details(self) -> dict[str, Any]:
        """What stands behind the mean, as JSON."""
        return {"shots": self.shots, "top1": list(self.top1), "penalty": self.penalty}


def few_shot(
    model: nn.Module,
    images: ImageSet,
    test: Accuracy,
    device: torch.device,
    precision: torch.dtype,
    batch: int | None = None,
) -> list[FewShot]:
    """The probe of a model with as many shots as the training split allows.

    Only the images that are drawn are looked at in train. A draw needs no seed: it follows from
    the data, see :func:`vitexp.datasets.shots.draw`.

    Args:
        test: what :func:`vitexp.evaluation.accuracy.accuracy` found on the test split.
        batch: as for that function.

    Returns:
        One entry a number of shots; none where the model gives no features.
    """
    if test.features is None:
        return []
    labels, classes = images.train.labels, len(images.names)
    drawn = {
        k: [shots.draw(labels, images.fingerprint, k, i) for i in range(shots.DRAWS)]
        for k in shots.allowed(labels, classes)
    }
    if not drawn:
        return []
    wanted = np.unique(np.concatenate([rows for draws in drawn.values() for rows in draws]))
    train = _features(model, images.train, wanted, device, precision, batch)
    val = _features(model, images.val, spread(len(images.val), LOOKED_AT), device, precision, batch)
    target = Features(test.features.double(), torch.from_numpy(np.array(images.test.labels)))
    return [
        probe([train.at(np.searchsorted(wanted, rows)) for rows in draws], val, target, k, classes)
        for k, draws in drawn.items()
    ]


def linear_map(
    model: nn.Module,
    images: ImageSet,
    device: torch.device,
    precision: torch.dtype,
    batch: int | None = None,
) -> tuple[Tensor, float]:
    """Ridge regression from the features of all training images to their classes.

    Args:
        model: with ``features`` and ``head``.
        batch: as for :func:`few_shot`.

    Returns:
        The map (F + 1, K), its last row the bias, and its penalty, chosen on validation.
    """
    every = np.arange(len(images.train))
    train = _features(model, images.train, every, device, precision, batch)
    val = _features(model, images.val, spread(len(images.val), LOOKED_AT), device, precision, batch)
    fits = fitted(train, len(images.names))
    best = _strongest(val.correct(fits).sum(dim=1).tolist())
    return fits[best], REGULARISERS[best]


def _features(
    model: nn.Module,
    split: Split,
    rows: np.ndarray,
    device: torch.device,
    precision: torch.dtype,
    batch: int | None,
) -> Features:
    found = accuracy(model, split, device, precision, batch, rows).features
    assert found is not None
    return Features(found.double(), torch.from_numpy(split.labels[rows]))


@dataclass(frozen=True)
class Features:
    """Features of some images, float64, (n, F), and their labels, int64, (n,)."""

    values: Tensor
    labels: Tensor

    def at(self, rows: np.ndarray) -> Features:
        return Features(self.values[rows], self.labels[rows])

    def correct(self, maps: Tensor) -> Tensor:
        """Whether the largest of a linear map's K scores is the label's: bool, (maps, n).

        Args:
            maps: (maps, F + 1, K), the last row the bias.
        """
        count, _, classes = maps.shape
        together = maps.transpose(0, 1).flatten(1)
        rows = max(1, SCORES // together.shape[1])
        right = [
            (values @ together[:-1] + together[-1]).view(-1, count, classes).argmax(2)
            == labels[:, None]
            for values, labels in zip(
                torch.split(self.values, rows), torch.split(self.labels, rows), strict=True
            )
        ]
        return torch.cat(right).T


def probe(
    draws: list[Features], val: Features, test: Features, shots: int, classes: int
) -> FewShot:
    """Fits each draw with every penalty, chooses one on ``val`` and reads ``test`` with it.

    Of penalties that are equally good the strongest is taken.
    """
    fits = [fitted(draw, classes) for draw in draws]
    on_val = torch.stack([val.correct(fit).sum(dim=1) for fit in fits]).sum(dim=0).tolist()
    best = _strongest(on_val)
    correct = test.correct(torch.stack([fit[best] for fit in fits])).numpy()
    top1 = tuple(float(row.mean()) for row in correct)
    return FewShot(shots, top1, REGULARISERS[best], correct)


def _strongest(right: list[int]) -> int:
    """Of the penalties with the most images right, the strongest one's index."""
    return max(range(len(right)), key=lambda index: (right[index], index))


def fitted(draw: Features, classes: int) -> Tensor:
    """Ridge regression on a draw's standardised features: (L, F + 1, K), for raw features."""
    mean, spread = draw.values.mean(dim=0), draw.values.std(dim=0, correction=0) + 1e-5
    x = F.pad((draw.values - mean) / spread, (0, 1), value=1.0)
    targets = F.one_hot(draw.labels, classes).double() * 2 - 1
    solved = ridge(x, targets, REGULARISERS)
    slopes = solved[:, :-1] / spread[:, None]
    bias = solved[:, -1] - mean @ slopes
    return torch.cat([slopes, bias[:, None]], dim=1)


def ridge(x: Tensor, y: Tensor, penalties: tuple[float, ...]) -> Tensor:
    """argmin |x w - y|^2 + penalty |w|^2 for each penalty, by one eigendecomposition.

    The primal one or the dual one, whichever is smaller.

    Args:
        x: (n, F). y: (n, K).

    Returns:
        (L, F, K).
    """
    dual = x.shape[0] < x.shape[1]
    values, vectors = torch.linalg.eigh(x @ x.T if dual else x.T @ x)
    left = x.T @ vectors if dual else vectors
    right = vectors.T @ (y if dual else x.T @ y)
    # Rounding can make the smallest eigenvalues of a singular matrix negative.
    scale = (
        values.clamp(min=0)[None, :, None] + torch.tensor(penalties, dtype=x.dtype)[:, None, None]
    )
    solved: Tensor = left @ (right / scale)
    return solved
