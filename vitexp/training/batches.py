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
            self._images = resident(split.images, device)
        self.recipe, self.classes, self.seed, self.device = recipe, classes, seed, device
        self.steps_per_epoch = len(split) // recipe.batch
        # The batches that are made ready ahead may belong to the next epoch.
        self._order = functools.lru_cache(2)(lambda epoch: order(seed, epoch, len(split)))

    def at(self, step: int) -> Batch:
        """The batch of ``step``, counted from 0; an epoch's incomplete last one is left out."""
        samples = self._samples(step)
        chosen = sent(samples, self.device)
        targets = F.one_hot(self.labels[chosen], self.classes).float()
        smoothing = self.recipe.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / self.classes
        if self.streamed:
            images, chosen = self._stream.at(step), torch.arange(len(samples), device=self.device)
        else:
            images = self._images
        images = self._augmented(images, chosen, samples, step // self.steps_per_epoch)
        return self._mixed(images, targets, step)

    def _samples(self, step: int) -> np.ndarray:
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._order(epoch)[index * self.recipe.batch :][: self.recipe.batch]

    def _rows(self, step: int) -> np.ndarray | None:
        return self._samples(step) if step < self.recipe.steps else None

    def _augmented(self, images: Tensor, chosen: Tensor, samples: np.ndarray, epoch: int) -> Tensor:
        """The images ``chosen`` of ``images``, changed as befits these ``samples``."""
        recipe = self.recipe

        def draw(site: Site) -> Tensor:
            values = uniform(self.seed, epoch, samples, site).astype(np.float32)
            return sent(values, self.device)

        flip = draw(Site.FLIP) < 0.5 if recipe.flip else None
        if recipe.resized_crop is not None:
            boxes = torch.stack(
                [draw(s) for s in (Site.AREA, Site.ASPECT, Site.BOX_ROW, Site.BOX_COLUMN)]
            )
            return resized_crop(normalise(images[chosen]), boxes, recipe.resized_crop, flip)
        if not recipe.crop and flip is None:
            return normalise(images[chosen])
        shifts = torch.stack([draw(Site.ROW), draw(Site.COLUMN)]) if recipe.crop else None
        return normalise(shifted_crop(images, chosen, shifts, flip))

    def _mixed(self, images: Tensor, targets: Tensor, step: int) -> Batch:
        mixup, cutmix = self.recipe.mixup, self.recipe.cutmix
        if mixup is None and cutmix is None:
            return Batch(images, targets)
        generator = batch_generator(self.seed, step)
        use_cutmix = mixup is None or (cutmix is not None and generator.random() < 0.5)
        if use_cutmix:
            assert cutmix is not None
            images, weight = paste_box(images, generator.beta(cutmix, cutmix), generator)
        else:
            assert mixup is not None
            weight = generator.beta(mixup, mixup)
            images = images.lerp(images.flip(0), 1.0 - weight)
        return Batch(images, targets.lerp(targets.flip(0), 1.0 - weight))


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


def paste_box(
    images: Tensor, weight: float, generator: np.random.Generator
) -> tuple[Tensor, float]:
    """CutMix (Yun et al. 2019): a box of area 1 - ``weight`` from the batch in reverse order.

    Returns:
        The images, (B, C, S, S), and the share of each that is its own.
    """
    side = images.shape[-1]
    half = math.sqrt(1.0 - weight) * side / 2
    row, column = generator.random(2) * side
    top, bottom = (int(np.clip(round(row + d), 0, side)) for d in (-half, half))
    left, right = (int(np.clip(round(column + d), 0, side)) for d in (-half, half))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
    return mixed, 1.0 - (bottom - top) * (right - left) / side**2
