"""The paper's ResNets (section 4.1): post-activation, GroupNorm, weight-standardised kernels.

As in the authors' big_vision/models/bit.py: bottlenecks with the stride in the 3x3, SAME padding
as TensorFlow defines it, the last norm of a block starting at zero. The sizes of published nets
have 32 groups a norm; nets with the small stem have about 8 channels a group, because 32 groups
of their few channels would normalise next to single values.

Standardised kernels are not divided by sqrt(fan-in): a GroupNorm follows each convolution, so a
constant factor changes neither the outputs nor the gradients.

B images, S side, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.initialisation import constant, lecun_normal, parameter, starts
from vitexp.models import masks as sites
from vitexp.models.count_resnet import EXPANSION, given, map_channels, projects, same_padding
from vitexp.models.masks import LayerNoise, Noise, drop_path
from vitexp.models.vit import linear
from vitexp.spec import ModelSpec, ResNetShape, Stem


class ResNet(nn.Module):
    """Images to class logits.

    Args:
        spec: its trunk's sizes and the number of classes.
        dropout: has no place in a ResNet; must be 0.
        stochastic_depth: drop rate of the last block's branch, rising linearly from 0.
    """

    def __init__(self, spec: ModelSpec, dropout: float = 0.0, stochastic_depth: float = 0.0):
        super().__init__()
        assert spec.trunk is not None and dropout == 0.0
        self.trunk = Trunk(spec.channels, spec.trunk, stochastic_depth)
        self.head = linear(map_channels(spec.trunk), spec.classes, constant(0.0), constant(0.0))

    def forward(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, S, S)."""
        logits: Tensor = self.head(self.features(images, noise))
        return logits

    def features(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """What the head sees: the last map's mean over its cells, (B, channels)."""
        features: Tensor = self.trunk(images, noise).mean(dim=(2, 3))
        return features


class Trunk(nn.Module):
    """Images (B, C, S, S) to the last map (B, C', S', S')."""

    def __init__(self, channels: int, shape: ResNetShape, stochastic_depth: float = 0.0) -> None:
        super().__init__()
        large = shape.stem == "imagenet"
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = StdConv(channels, shape.width, kernel, stride)
        self.norm = group_norm(shape.width, shape.stem)
        self.pool: nn.Module = SamePool() if large else nn.Identity()
        rise = stochastic_depth / max(1, sum(shape.blocks) - 1)
        kind = Basic if shape.block == "basic" else Bottleneck
        blocks: list[Residual] = []
        inputs = shape.width
        for stage, count in enumerate(shape.blocks):
            for unit in range(count):
                stride = 2 if unit == 0 and stage > 0 else 1
                project = projects(shape, stage, unit)
                block = kind(inputs, shape.width << stage, stride, project, shape.stem)
                block.drop_path_rate = rise * len(blocks)
                blocks.append(block)
                inputs = given(shape, stage)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        x: Tensor = self.pool(F.relu(self.norm(self.stem(images))))
        for layer, block in enumerate(self.blocks):
            x = block(x, None if noise is None else noise.at(layer))
        return x


class Residual(nn.Module):
    """A branch beside a shortcut; ReLU after the sum (He et al. 2015).

    A block is made from: inputs, the channels of the map that it reads; width, those of its 3x3;
    stride, of the 3x3 and of the shortcut; project, whether the shortcut is a 1x1 convolution;
    stem, which decides the groups of the norms.
    """

    drop_path_rate = 0.0
    projection: nn.Module

    def branch(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) -> (B, outputs, S', S')."""
        raise NotImplementedError

    def forward(self, x: Tensor, noise: LayerNoise | None) -> Tensor:
        h = drop_path(self.branch(x), self.drop_path_rate, noise, sites.PATH_CONV)
        return F.relu(self.projection(x) + h)


class Basic(Residual):
    """3x3, 3x3; ``width`` channels throughout."""

    def __init__(self, inputs: int, width: int, stride: int, project: bool, stem: Stem) -> None:
        super().__init__()
        self.conv1, self.norm1 = StdConv(inputs, width, 3, stride), group_norm(width, stem)
        self.conv2, self.norm2 = StdConv(width, width, 3), group_norm(width, stem)
        starts(self.norm2.weight, constant(0.0))
        self.projection = _shortcut(inputs, width, stride, project, stem)

    def branch(self, x: Tensor) -> Tensor:
        h: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return h


class Bottleneck(Residual):
    """1x1, 3x3, 1x1, the stride in the 3x3; its 3x3 has ``width`` channels, and it gives four
    times as many."""

    def __init__(self, inputs: int, width: int, stride: int, project: bool, stem: Stem) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1, self.norm1 = StdConv(inputs, width, 1), group_norm(width, stem)
        self.conv2, self.norm2 = StdConv(width, width, 3, stride), group_norm(width, stem)
        self.conv3, self.norm3 = StdConv(width, outputs, 1), group_norm(outputs, stem)
        starts(self.norm3.weight, constant(0.0))
        self.projection = _shortcut(inputs, outputs, stride, project, stem)

    def branch(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        h = F.relu(self.norm2(self.conv2(h)))
        branch: Tensor = self.norm3(self.conv3(h))
        return branch


def _shortcut(inputs: int, outputs: int, stride: int, project: bool, stem: Stem) -> nn.Module:
    if not project:
        return nn.Identity()
    return nn.Sequential(StdConv(inputs, outputs, 1, stride), group_norm(outputs, stem))


class StdConv(nn.Module):
    """A convolution whose kernel is standardised over its inputs (Qiao et al. 2019)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = parameter((outputs, inputs, kernel, kernel), lecun_normal)

    def forward(self, x: Tensor) -> Tensor:
        kernel = standardised(self.kernel)
        before, after = same_padding(x.shape[-1], kernel.shape[-1], self.stride)
        if before == after:
            return F.conv2d(x, kernel, stride=self.stride, padding=before)
        return F.conv2d(F.pad(x, (before, after, before, after)), kernel, stride=self.stride)


def standardised(kernel: Tensor) -> Tensor:
    """(out, in, k, k) with mean 0 and standard deviation 1 for each output."""
    std, mean = torch.std_mean(kernel, dim=(1, 2, 3), correction=0, keepdim=True)
    return (kernel - mean) / (std + 1e-5)


class SamePool(nn.Module):
    """3x3 max pool of stride 2 with SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        before, after = same_padding(x.shape[-1], 3, 2)
        # What is padded was rectified, so no zero of the padding exceeds it.
        return F.max_pool2d(F.pad(x, (before, after, before, after)), 3, 2)


def group_norm(channels: int, stem: Stem) -> nn.GroupNorm:
    """The norm after a convolution; its groups are explained at the top of this file."""
    groups = 32
    if stem == "small":
        groups = next(n for n in range(max(1, channels // 8), 0, -1) if channels % n == 0)
    return nn.GroupNorm(min(32, groups), channels, eps=1e-6)
