"""Batches made on the device from the resident uint8 images.

B images, S side, C channels, K classes.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vitexp.datasets.image_set import Split
from vitexp.models.inputs import normalise, resident, sent
from vitexp.models.stream import Stream
from vitexp.spec import Recipe
from vitexp.training.draws import Site, batch_generator, order, uniform

RESIDENT_SHARE = 0.4
"""Of the memory, at most, for images that are kept on the device."""


@dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes:
        images: float32, (B, C, S, S).
        targets: class probabilities, float32, (B, K).
    """

    images: Tensor
    targets: Tensor


class Batches:
    """The training split as a sequence of batches, each a function of the step alone.

    Args:
        split: training images.
        recipe: batch size, augmentation, label smoothing.
        classes: K.
        seed: the run's.
        device: where batches are made.
        memory: bytes that there are; images that take too large a share of it stay where they
            are and come batch by batch. None for all of them on the device.
    """

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        classes: int,
        seed: int,
        device: torch.device,
        memory: int | None = None,
    ) -> None:
        assert recipe.batch <= len(split)
        self.labels = torch.from_numpy(np.array(split.labels)).to(device)
        self.streamed = memory is not None and split.images.nbytes > RESIDENT_SHARE * memory
        if self.streamed:
            self._stream = Stream(split.images, self._rows, device)
        else:
            self._resident = resident(split.images, device)
        self.resident_bytes = 0 if self.streamed else split.images.nbytes
        self.recipe, self.classes, self.seed, self.device = recipe, classes, seed, device
        self.side = split.images.shape[1]
        self.steps_per_epoch = len(split) // recipe.batch
        # The batches that are made ready ahead may belong to the next epoch.
        self._order = functools.lru_cache(2)(lambda epoch: order(seed, epoch, len(split)))
        self._sites = _sites(recipe)

    def at(self, step: int) -> Batch:
        """The batch of ``step``, counted from 0; an epoch's incomplete last one is left out."""
        drawn = {name: sent(values, self.device) for name, values in self.draws(step).items()}
        return self.made(drawn, self.source(step))

    def draws(self, step: int) -> dict[str, np.ndarray]:
        """What is drawn on the host for a batch, by name; the same shapes at every step.

        ``samples``: indices, int64, (B,); ``augment``: draws in [0, 1), float32, one row for each
        site; ``mixup``, ``swap``: what the reversed batch's images and targets weigh, float32, ();
        ``box``: CutMix's, int64, (4,).
        """
        epoch, samples = step // self.steps_per_epoch, self._samples(step)
        drawn = {"samples": samples}
        if self._sites:
            each = [uniform(self.seed, epoch, samples, site) for site in self._sites]
            drawn["augment"] = np.stack(each).astype(np.float32)
        return drawn | self._mixing(step)

    def source(self, step: int) -> Tensor:
        """The images that :meth:`made` takes a step's from: all, or, streamed, only these."""
        return self._stream.at(step) if self.streamed else self._resident.tensor

    def made(self, drawn: dict[str, Tensor], images: Tensor) -> Batch:
        """The batch that follows from :meth:`draws`, on the device, and :meth:`source`.

        Nothing but kernels on fixed shapes, so that a CUDA graph can hold it.
        """
        samples = drawn["samples"]
        classes = torch.arange(self.classes, device=self.device)
        targets = (self.labels[samples][:, None] == classes).float()
        smoothing = self.recipe.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / self.classes
        chosen = torch.arange(len(samples), device=self.device) if self.streamed else samples
        draws = dict(zip(self._sites, drawn["augment"], strict=True)) if self._sites else {}
        return self._mixed(Batch(self._augmented(images, chosen, draws), targets), drawn)

    def _samples(self, step: int) -> np.ndarray:
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._order(epoch)[index * self.recipe.batch :][: self.recipe.batch]

    def _rows(self, step: int) -> np.ndarray | None:
        return self._samples(step) if step < self.recipe.steps else None

    def _augmented(self, images: Tensor, chosen: Tensor, draws: dict[Site, Tensor]) -> Tensor:
        """The images ``chosen`` of ``images``, changed as befits the ``draws``."""
        recipe = self.recipe
        flip = draws[Site.FLIP] < 0.5 if recipe.flip else None
        if recipe.resized_crop is not None:
            boxes = torch.stack([draws[site] for site in _BOX])
            return resized_crop(normalise(images[chosen]), boxes, recipe.resized_crop, flip)
        if not recipe.crop and flip is None:
            return normalise(images[chosen])
        shifts = torch.stack([draws[site] for site in _SHIFT]) if recipe.crop else None
        return normalise(shifted_crop(images, chosen, shifts, flip))

    def _mixing(self, step: int) -> dict[str, np.ndarray]:
        mixup, cutmix = self.recipe.mixup, self.recipe.cutmix
        if mixup is None and cutmix is None:
            return {}
        generator, side = batch_generator(self.seed, step), self.side
        box, other = np.zeros(4, np.int64), 0.0
        if mixup is None or (cutmix is not None and generator.random() < 0.5):
            assert cutmix is not None
            box = random_box(side, 1.0 - generator.beta(cutmix, cutmix), generator)
            swap = (box[1] - box[0]) * (box[3] - box[2]) / side**2
        else:
            swap = other = 1.0 - generator.beta(mixup, mixup)
        return {
            "mixup": np.array(other, np.float32),
            "swap": np.array(swap, np.float32),
            "box": box,
        }

    def _mixed(self, batch: Batch, drawn: dict[str, Tensor]) -> Batch:
        if "swap" not in drawn:
            return batch
        images, targets = batch.images, batch.targets
        if self.recipe.mixup is not None:
            images = images.lerp(images.flip(0), drawn["mixup"])
        if self.recipe.cutmix is not None:
            images = paste_box(images, batch.images, drawn["box"])
        return Batch(images, targets.lerp(targets.flip(0), drawn["swap"]))


_SHIFT = (Site.ROW, Site.COLUMN)
_BOX = (Site.AREA, Site.ASPECT, Site.BOX_ROW, Site.BOX_COLUMN)


def _sites(recipe: Recipe) -> tuple[Site, ...]:
    """What is drawn for each image."""
    flip = (Site.FLIP,) if recipe.flip else ()
    if recipe.resized_crop is not None:
        return (*flip, *_BOX)
    return (*flip, *_SHIFT) if recipe.crop else flip


def shifted_crop(
    images: Tensor, chosen: Tensor, shifts: Tensor | None, flip: Tensor | None
) -> Tensor:
    """Crops of the zero-padded images, mirrored where ``flip``: uint8, (B, S, S, C).

    Args:
        images: all images, uint8, (n, S, S, C).
        chosen: sample indices, (B,).
        shifts: row and column draws in [0, 1), (2, B), for a crop after padding by S / 8; or None.
        flip: bools, (B,); or None.
    """
    side = images.shape[1]
    at = torch.arange(side, device=images.device).expand(len(chosen), side)
    rows = columns = at
    if shifts is not None:
        pad = max(1, side // 8)
        offset = (shifts * (2 * pad + 1)).long() - pad
        rows, columns = at + offset[0][:, None], at + offset[1][:, None]
    if flip is not None:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[
        :, None
    ]
    rows, columns = rows.clamp(0, side - 1), columns.clamp(0, side - 1)
    crops = images[chosen[:, None, None], rows[:, :, None], columns[:, None]]
    return crops * inside[..., None]


def resized_crop(images: Tensor, draws: Tensor, smallest: float, flip: Tensor | None) -> Tensor:
    """Random boxes of the images, bilinearly resized to full size (Szegedy et al. 2015).

    Args:
        images: (B, C, S, S).
        draws: area, aspect, row and column draws in [0, 1), (4, B).
        smallest: least share of the area; the aspect ratio lies in [3/4, 4/3].
        flip: bools, (B,); or None.
    """
    area = smallest + draws[0] * (1 - smallest)
    aspect = torch.exp((2 * draws[1] - 1) * math.log(4 / 3))
    height, width = (area / aspect).sqrt().clamp(max=1), (area * aspect).sqrt().clamp(max=1)
    zero = torch.zeros_like(height)
    # In the sampler's units the image spans [-1, 1], so a box of height h is centred within 1 - h.
    centre_row, centre_column = (1 - height) * (2 * draws[2] - 1), (1 - width) * (2 * draws[3] - 1)
    if flip is not None:
        width = torch.where(flip, -width, width)
    theta = torch.stack(
        [
            torch.stack([width, zero, centre_column], 1),
            torch.stack([zero, height, centre_row], 1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def random_box(side: int, area: float, generator: np.random.Generator) -> np.ndarray:
    """A square of a share ``area`` of an image, cut off at its border, anywhere.

    Returns:
        Top, bottom, left and right in pixels: int64, (4,); the second and fourth are not in it.
    """
    half = math.sqrt(area) * side / 2
    row, column = generator.random(2) * side
    edges = [centre + d for centre in (row, column) for d in (-half, half)]
    return np.array([np.clip(round(edge), 0, side) for edge in edges], np.int64)


def paste_box(images: Tensor, originals: Tensor, box: Tensor) -> Tensor:
    """CutMix (Yun et al. 2019): a box of each image comes from the batch in reverse order.

    Args:
        images: (B, C, S, S).
        originals: what is pasted, (B, C, S, S).
        box: as :func:`random_box` gives it.
    """
    at = torch.arange(images.shape[-1], device=images.device)
    top, bottom, left, right = box
    rows, columns = (at >= top) & (at < bottom), (at >= left) & (at < right)
    return torch.where(rows[:, None] & columns, originals.flip(0), images)
