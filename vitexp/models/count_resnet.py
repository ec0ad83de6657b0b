"""Parameters and multiply-accumulates of a ResNet without its head, by closed formula."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from vitexp.spec import ResNetShape

Taps = Literal["all", "inside"]
"""Which taps of a padded convolution count: all of them, or those that fall inside the map."""

EXPANSION = 4
"""Channels that a bottleneck gives, over those of its 3x3; a basic block gives as many."""


@dataclass(frozen=True)
class Conv:
    """A square convolution with SAME padding, as TensorFlow and Flax define it."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    side: int
    """Of the map that it reads."""

    @property
    def params(self) -> int:
        """The kernel, and scale and bias of the GroupNorm that follows each convolution."""
        return self.inputs * self.outputs * self.kernel**2 + 2 * self.outputs

    def macs(self, taps: Taps) -> int:
        along = reach(self.side, self.stride) * self.kernel
        if taps == "inside":
            along = _taps_inside(self.side, self.kernel, self.stride)
        return self.inputs * self.outputs * along**2


def reach(side: int, stride: int) -> int:
    """Side of the map that a SAME convolution or pool gives."""
    return -(-side // stride)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a row, so that a map of ``side`` gives ``reach(side, stride)``."""
    total = max(0, (reach(side, stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2


def _taps_inside(side: int, kernel: int, stride: int) -> int:
    before, _ = same_padding(side, kernel, stride)
    starts = range(-before, reach(side, stride) * stride - before, stride)
    return sum(min(side, start + kernel) - max(0, start) for start in starts)


def params(shape: ResNetShape, channels: int) -> int:
    """Learned values, the head's left out."""
    return sum(conv.params for conv in convolutions(shape, channels, 1))


def macs(shape: ResNetShape, channels: int, side: int, taps: Taps) -> int:
    """MACs of one image of ``side`` pixels, the head's left out."""
    return sum(conv.macs(taps) for conv in convolutions(shape, channels, side))


def given(shape: ResNetShape, stage: int) -> int:
    """Channels of the map that a stage, counted from 0, gives."""
    return (1 if shape.block == "basic" else EXPANSION) * shape.width << stage


def map_channels(shape: ResNetShape) -> int:
    """Channels of the last map."""
    return given(shape, len(shape.blocks) - 1) if shape.blocks else shape.width


def map_side(shape: ResNetShape, side: int) -> int:
    """Side of the last map for images of ``side`` pixels."""
    side = _after_stem(shape, side)
    for _ in shape.blocks[1:]:
        side = reach(side, 2)
    return side


def _after_stem(shape: ResNetShape, side: int) -> int:
    return reach(reach(side, 2), 2) if shape.stem == "imagenet" else side


def projects(shape: ResNetShape, stage: int, block: int) -> bool:
    """Whether the shortcut around a block is a convolution: where the map changes."""
    return block == 0 and (stage > 0 or shape.block is None)


def convolutions(shape: ResNetShape, channels: int, side: int) -> Iterator[Conv]:
    """Every convolution of a ResNet, in the order of the forward pass."""
    return chain.from_iterable(units(shape, channels, side))


def units(shape: ResNetShape, channels: int, side: int) -> Iterator[list[Conv]]:
    """The stem's convolution, then those of each block."""
    kernel, step = (7, 2) if shape.stem == "imagenet" else (3, 1)
    yield [Conv(channels, shape.width, kernel, step, side)]
    side, inputs = _after_stem(shape, side), shape.width
    for stage, blocks in enumerate(shape.blocks):
        width, outputs = shape.width << stage, given(shape, stage)
        for block in range(blocks):
            step = 2 if stage > 0 and block == 0 else 1
            after = reach(side, step)
            if shape.block == "basic":
                unit = [Conv(inputs, width, 3, step, side), Conv(width, width, 3, 1, after)]
            else:
                unit = [
                    Conv(inputs, width, 1, 1, side),
                    Conv(width, width, 3, step, side),
                    Conv(width, outputs, 1, 1, after),
                ]
            if projects(shape, stage, block):
                unit.append(Conv(inputs, outputs, 1, step, side))
            yield unit
            side, inputs = after, outputs
