"""The Vision Transformer (arXiv 2010.11929, section 3.1, equations 1 to 4).

    z_0  = [x_class; x_p^1 E; ...; x_p^N E] + E_pos
    z'_l = MSA(LN(z_{l-1})) + z_{l-1}
    z_l  = MLP(LN(z'_l)) + z'_l
    y    = LN(z_L^0)

B images, S side, C channels, P patch, N patches, T tokens, R rows kept, D width, H heads,
d = D / H.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.initialisation import (
    Initialiser,
    constant,
    lecun_normal,
    normal,
    parameter,
    starts,
    xavier_uniform,
)
from vitexp.models import count
from vitexp.models import masks as sites
from vitexp.models.masks import LayerNoise, Noise, drop, drop_path
from vitexp.positions import POSITIONS
from vitexp.positions.base import AttentionSignal, Geometry, Position, Rows
from vitexp.spec import ModelSpec, ViTShape

_ALL, FIRST = slice(None), slice(0, 1)
Watch = Callable[[Tensor], None]


class ViT(nn.Module):
    """Images to class logits.

    Args:
        spec: sizes and position.
        dropout: rate after E_pos, after the attention's projection, after both MLP layers.
        stochastic_depth: drop rate of the last block's branches, rising linearly from 0.
        embedding: images (B, C, S, S) to tokens (B, N, D); patches of the image where None.
    """

    def __init__(
        self,
        spec: ModelSpec,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        shape, side = spec.transformer, count.side(spec)
        self.dropout = dropout
        self.geometry = Geometry(
            (side, side), shape.pool == "token", shape.width, shape.heads, shape.depth
        )
        self.embedding = embedding or PatchEmbedding(spec.channels, shape)
        if self.geometry.class_token:
            self.class_token = parameter((1, 1, shape.width), constant(0.0))
        self.position: Position = POSITIONS.load(shape.position.kind)(shape.position, self.geometry)
        rise = stochastic_depth / max(1, shape.depth - 1)
        self.blocks = nn.ModuleList(
            Block(shape, dropout, rise * layer) for layer in range(shape.depth)
        )
        self.norm = nn.LayerNorm(shape.width, eps=1e-6)
        features = shape.width
        self.pre_logits: nn.Module = nn.Identity()
        if shape.pre_logits is not None:
            features = shape.pre_logits
            hidden = linear(shape.width, features, lecun_normal, constant(0.0))
            self.pre_logits = nn.Sequential(hidden, nn.Tanh())
        self.head = linear(features, spec.classes, constant(0.0), constant(0.0))

    def forward(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, S, S)."""
        logits: Tensor = self.head(self.features(images, noise))
        return logits

    def features(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """What the head sees: (B, D), or (B, pre_logits) with a pre-logits layer."""
        # The residual stream has the parameters' precision whatever is added to it: else autocast
        # would leave it in bf16 for those positions that add no table.
        x = self.embedding(images).to(self.norm.weight.dtype)
        if self.geometry.class_token:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            masks = None if noise is None else noise.at(layer)
            x = self.position.tokens(x, layer)
            if layer == 0:
                x = drop(x, self.dropout, masks, sites.EMBEDDING, x.shape[1])
            # After the last block's attention only what the pool reads goes on.
            rows = FIRST if layer == last and self.geometry.class_token else _ALL
            x = block(x, self.position.attention(layer), rows, masks)
        x = self.norm(x)
        pooled = x[:, 0] if self.geometry.class_token else x.mean(dim=1)
        features: Tensor = self.pre_logits(pooled)
        return features


class PatchEmbedding(nn.Module):
    """A P x P convolution with stride P, computed as one matrix product over unfolded patches."""

    def __init__(self, channels: int, shape: ViTShape) -> None:
        super().__init__()
        self.patch = shape.patch
        self.kernel = parameter((shape.width, channels, shape.patch, shape.patch), lecun_normal)
        self.bias = parameter((shape.width,), constant(0.0))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, N, D), patches in raster order."""
        b, c, s, _ = images.shape
        p = self.patch
        patches = images.reshape(b, c, s // p, p, s // p, p).permute(0, 2, 4, 1, 3, 5)
        return F.linear(patches.reshape(b, -1, c * p * p), self.kernel.flatten(1), self.bias)


class Block(nn.Module):
    """Pre-norm encoder block: attention, then MLP, each on a residual branch."""

    def __init__(self, shape: ViTShape, dropout: float, drop_path_rate: float) -> None:
        super().__init__()
        self.dropout, self.drop_path_rate = dropout, drop_path_rate
        self.norm1 = nn.LayerNorm(shape.width, eps=1e-6)
        self.attention = Attention(shape)
        self.norm2 = nn.LayerNorm(shape.width, eps=1e-6)
        self.expand = linear(shape.width, shape.mlp, xavier_uniform(), normal(1e-6))
        self.contract = linear(shape.mlp, shape.width, xavier_uniform(), normal(1e-6))
        self.gelu = nn.GELU("tanh" if shape.gelu == "tanh" else "none")

    def forward(
        self, x: Tensor, signal: AttentionSignal | None, rows: Rows, noise: LayerNoise | None
    ) -> Tensor:
        """(B, T, D) -> (B, R, D): the block's output at the kept rows."""
        tokens = x.shape[1]

        def dropped(h: Tensor, site: sites.Site) -> Tensor:
            return drop(h, self.dropout, noise, site, tokens)

        h = dropped(self.attention(self.norm1(x), signal, rows), sites.ATTENTION)
        x = x[:, rows] + drop_path(h, self.drop_path_rate, noise, sites.PATH_ATTENTION)
        h = dropped(self.gelu(self.expand(self.norm2(x))), sites.HIDDEN)
        h = dropped(self.contract(h), sites.MLP)
        return x + drop_path(h, self.drop_path_rate, noise, sites.PATH_MLP)


class Attention(nn.Module):
    """Multi-head self-attention (paper, appendix A) with the positional signal inside it.

    Attributes:
        fused: whether one kernel may compute it, where there is one.
        watch: where it is set, takes the weights of all queries, (B, H, T, T), whichever are kept.
    """

    fused = True
    watch: Watch | None = None

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = linear(shape.width, 3 * shape.width, xavier_uniform(parts=3), constant(0.0))
        self.projection = linear(shape.width, shape.width, xavier_uniform(), constant(0.0))

    def forward(self, x: Tensor, signal: AttentionSignal | None, rows: Rows) -> Tensor:
        """(B, T, D) -> (B, R, D)."""
        b, t, width = x.shape
        if self.watch is not None and rows == FIRST:
            return self.forward(x, signal, _ALL)[:, FIRST]
        if signal is None and rows == FIRST:
            return self._first(x)
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if signal is not None:
            q, k = signal.rotate(q, k)
        q = q[:, :, rows]
        bias = None if signal is None else signal.logits(q, rows)
        out = attend(q, k, v, bias, self.fused, self.watch)
        mixed: Tensor = self.projection(out.transpose(1, 2).reshape(b, -1, width))
        return mixed

    def _first(self, x: Tensor) -> Tensor:
        """The first row's output alone, (B, T, D) -> (B, 1, D).

        With one query an image it is cheaper to take the kernels of keys and values to it than to
        the tokens: q (x K)' = (q K') x' and a (x V) = (a x) V.
        """
        b, _, width = x.shape
        kernels = self.qkv.weight.view(3, self.heads, -1, width)
        biases = self.qkv.bias.view(3, -1)
        q = F.linear(x[:, 0], kernels[0].flatten(0, 1), biases[0])
        q = q.view(b, self.heads, -1).transpose(0, 1)
        # The keys' bias would add the same to all logits of a query, which the softmax ignores.
        q = ((q * q.shape[-1] ** -0.5) @ kernels[1]).transpose(0, 1)
        # Under autocast once, and not for each product.
        x = x.to(q.dtype)
        mixed = (q @ x.transpose(1, 2)).softmax(dim=-1) @ x
        out = (mixed.transpose(0, 1) @ kernels[2].transpose(1, 2)).transpose(0, 1)
        projected: Tensor = self.projection(out.reshape(b, 1, width) + biases[2])
        return projected


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    fused: bool = True,
    watch: Watch | None = None,
) -> Tensor:
    """softmax(q k' / sqrt(d) + bias) v: (B, H, R, d), (B, H, T, d) twice -> (B, H, R, d); the
    softmax is told to ``watch``."""
    # With a bias, which is as large as the logits, a fused kernel saves little; those that there
    # are want it aligned, and only some give its gradient.
    if fused and q.device.type != "cpu" and bias is None and watch is None:
        return F.scaled_dot_product_attention(q, k, v)
    # On a CPU the fused kernel's backward is slower than plain products at these lengths, and the
    # compiler would take it if it saw the product scaled.
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    weights = logits.softmax(dim=-1)
    if watch is not None:
        watch(weights)
    weighted: Tensor = weights @ v
    return weighted


def linear(inputs: int, outputs: int, kernel: Initialiser, bias: Initialiser) -> nn.Linear:
    """An ``nn.Linear`` whose kernel and bias know how they start."""
    layer = nn.Linear(inputs, outputs)
    starts(layer.weight, kernel)
    starts(layer.bias, bias)
    return layer
