"""Which inductive bias a trained model has: what of its answer and of its map stays when images are
changed, how near what matters is, how far heads look, and whether positions form a plane.

N images, B of them at once, S side, C channels, G side of a map, L layers, H heads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitexp.datasets.image_set import Split, spread
from vitexp.errors import VitexpError
from vitexp.evaluation.accuracy import answered
from vitexp.evaluation.attention import distances, uniform_distance
from vitexp.evaluation.changes import changes, shifts
from vitexp.evaluation.learned import similarities
from vitexp.evaluation.maps import Likeness, centres, dependence, mapped
from vitexp.evaluation.topology import Plane, plane
from vitexp.models.inputs import sent
from vitexp.models.stream import in_turn
from vitexp.models.vit import ViT

IMAGES = 1_000
"""Test images that are looked at, at most, spread over all."""
_GRADIENTS = 64
"""Images of which gradients are taken, at most."""
_PIXELS = 2**22
"""Of a batch, about."""
_NEAR, _FAR = 0.25, 0.5
"""Up to and from which distance to what is hidden, in sides, a cell is near and far."""

_MEANS = {"shift": "shift_{}", "shift_top1": "shift_{}_top1", "map_shift": "map_shift_{}"}
"""What is a mean over the pixels of the shift."""


@dataclass(frozen=True)
class Bias:
    """What was found out of a model.

    Attributes:
        values: ``images`` that were looked at and, as shares, ``top1``; ``shift_K`` (the class is
            the same after a circular shift of K pixels, in four directions), ``shift`` (the mean
            over K), ``shuffle`` (with tiles in another order), ``hidden`` (one tile in grey), and
            with ``_top1`` behind these names the accuracy then; ``map_shift_K``, ``map_shift``,
            ``map_shuffle`` (correlation with the map that goes along); ``hidden_near``,
            ``hidden_far`` (how much cells near and far of what is hidden change, over what two of
            them differ by); ``within_E`` (of what a cell depends on within E eighths of the side),
            ``reach`` (its mean distance); ``attention_L_near``, ``_mean``, ``_far`` (distance of
            the nearest head of layer L, of all, of the farthest; like ``reach`` over that of equal
            attention to all); ``plane_rows``, ``plane_columns``, ``plane_p`` (see
            :class:`~vitexp.evaluation.topology.Plane`). What a model has no part for is left out.
        per_image: ``shift``, and of attention ``near`` and ``far``, the nearest and the farthest
            head of the lowest quarter of layers: float, (N,).
    """

    values: dict[str, float]
    per_image: dict[str, np.ndarray]


@torch.no_grad()
def bias(model: nn.Module, split: Split, device: torch.device, precision: torch.dtype) -> Bias:
    """The bias of a model that is on ``device``, measured on images of ``split``.

    Args:
        precision: of the arithmetic, but for gradients.
    """
    model.eval()
    rows, side = spread(len(split), IMAGES), split.images.shape[1]
    found = _Changed(model, precision, len(rows), side)
    far = []
    for chosen, images in in_turn(split.images, rows, max(1, _PIXELS // side**2), device):
        found.add(images, sent(split.labels[chosen], device))
        if isinstance(model, ViT):
            far.append(distances(model, images, precision) / uniform_distance(model, side))
    values, per_image = found.values(), found.per_image()
    some = sent(split.images[spread(len(split), _GRADIENTS)], device)
    if depends := dependence(model, some):
        within, reach = depends
        values |= {f"within_{n}": float(share) for n, share in enumerate(within, 1)}
        values["reach"] = reach
    if far:
        values |= _by_layer(torch.cat(far))
        per_image |= _early(torch.cat(far))
    return Bias(values | _plane(model), per_image)


class _Changed:
    """What of answers and maps stays, batch by batch."""

    def __init__(self, model: nn.Module, precision: torch.dtype, images: int, side: int) -> None:
        self.model, self.precision = model, precision
        self.changes, self.side = list(changes(side)), side
        self.draws = Counter(change.name for change in self.changes)
        self.same = {name: torch.zeros(images) for name in self.draws}
        self.right = Counter[str]()
        self.alike: defaultdict[str, Likeness] = defaultdict(Likeness)
        self.moved: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        self.done = 0

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Images (B, S, S, C), uint8, and their labels."""
        classes, here = self._seen(images)
        self.right["plain"] += int((classes == labels).sum())
        rows = slice(self.done, self.done + len(images))
        for change in self.changes:
            answer, there = self._seen(change.images(images))
            self.same[change.name][rows] += (answer == classes).float().cpu()
            self.right[change.name] += int((answer == labels).sum())
            if here is None or there is None:
                continue
            if (along := change.cells(here)) is not None:
                self.alike[change.name].add(along, there)
            if change.hides:
                self._move(here, there, change.hides)
        self.done += len(images)

    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        with mapped(self.model) as maps:
            logits, _ = answered(self.model, images, self.precision)
        return logits.argmax(dim=1), maps[0].float() if maps else None

    def _move(self, here: Tensor, there: Tensor, hidden: tuple[float, float]) -> None:
        apart = (centres(here.shape[1]) - torch.tensor(hidden)).norm(dim=2).to(here.device)
        change = (there - here).square().sum(dim=3)
        for name, cells in (("near", apart <= _NEAR), ("far", apart >= _FAR)):
            own = change[:, cells]
            self.moved[f"hidden_{name}"] += (float(own.sum()), own.numel())

    def values(self) -> dict[str, float]:
        """See :class:`Bias`."""
        found = {"images": float(self.done), "top1": self.right["plain"] / self.done}
        for name, draws in self.draws.items():
            found[name] = float(self.same[name].double().mean()) / draws
            found[f"{name}_top1"] = self.right[name] / draws / self.done
        found |= {
            f"map_{name}": like.value for name, like in self.alike.items() if name != "hidden"
        }
        # Two cells differ by twice what one is from the mean.
        usual = max(2 * self.alike["hidden"].spread, 1e-12) if self.moved else 1.0
        found |= {name: float(change / n) / usual for name, (change, n) in self.moved.items() if n}
        for name, each in _MEANS.items():
            several = [found[key] for k in shifts(self.side) if (key := each.format(k)) in found]
            found |= {name: float(np.mean(several))} if several else {}
        return found

    def per_image(self) -> dict[str, np.ndarray]:
        """Of each image the share of all shifts after which its class is the same."""
        several = [self.same[f"shift_{k}"] / self.draws[f"shift_{k}"] for k in shifts(self.side)]
        return {"shift": torch.stack(several).mean(dim=0).numpy()}


def _by_layer(far: Tensor) -> dict[str, float]:
    """From the distances of each image, (N, L, H)."""
    heads = far.mean(dim=0)
    return {
        f"attention_{layer}_{name}": float(value)
        for layer, own in enumerate(heads, 1)
        for name, value in (("near", own.min()), ("mean", own.mean()), ("far", own.max()))
    }


def _early(far: Tensor) -> dict[str, np.ndarray]:
    """The heads are chosen over all images; then each image says how far they look in it."""
    early = far[:, : -(-far.shape[1] // 4)].flatten(1)
    mean = early.mean(dim=0)
    chosen = {"near": mean.argmin(), "far": mean.argmax()}
    return {name: early[:, head].numpy() for name, head in chosen.items()}


def _plane(model: nn.Module) -> dict[str, float]:
    """Of the first table that is added, if any is."""
    if not isinstance(model, ViT):
        return {}
    try:
        tables = similarities(model)
    except VitexpError:
        return {}
    found: Plane = plane(tables[0].numpy(), model.geometry.grid[0])
    return {"plane_rows": found.rows, "plane_columns": found.columns, "plane_p": found.p}
