"""S Vision Transformers of one shape as one model with a leading seed axis: a contender, no more.

S seeds, B images of each, T tokens, R rows kept, D width, H heads, P patch, N patches, C channels,
K classes. A linear layer is one ``baddbmm``; attention takes the seeds as more images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from vitexp.models.build import build
from vitexp.models.inputs import sent
from vitexp.models.vit import attend
from vitexp.spec import ModelSpec, Recipe, RunSpec, ViTShape
from vitexp.training.batches import Batches
from vitexp.training.execution import DTYPES
from vitexp.training.optimisation import is_kernel, ready
from vitexp.training.schedule import learning_rate

WARM_UPS = 3

Weights = dict[str, Tensor]
"""By the names that they have in one model, each with an axis of seeds before its own."""


class Stacked:
    """Images (S, B, C, side, side) to logits (S, B, K).

    Args:
        spec: with a class token, learned 1-D positions at the stem, and no layer before the head.
        models: S ordinary models of ``spec``, whose weights are copied.
        device: where to.
        compiled: whether the blocks are.
    """

    def __init__(
        self, spec: ModelSpec, models: Sequence[nn.Module], device: torch.device, compiled: bool
    ) -> None:
        self.shape = shape = spec.transformer
        assert shape.pool == "token" and shape.pre_logits is None
        assert (shape.position.kind, shape.position.placement) == ("learned_1d", "stem")
        each = [model.state_dict() for model in models]
        self.weights: Weights = {
            name: torch.stack([one[name] for one in each]).to(device).requires_grad_()
            for name in each[0]
        }
        self.blocks = [self._below(f"blocks.{layer}.") for layer in range(shape.depth)]
        self.block = torch.compile(block, dynamic=False) if compiled else block

    def _below(self, prefix: str) -> Weights:
        return {n.removeprefix(prefix): v for n, v in self.weights.items() if n.startswith(prefix)}

    def of(self, seed: int) -> Weights:
        """The weights of one model, as its ``state_dict`` has them."""
        return {name: value[seed].detach() for name, value in self.weights.items()}

    def __call__(self, images: Tensor) -> Tensor:
        w = self.weights
        kernel = w["embedding.kernel"].flatten(2)
        x = linear(patches(images, self.shape.patch), kernel, w["embedding.bias"])
        first = w["class_token"].expand(-1, x.shape[1], -1, -1).to(x.dtype)
        x = torch.cat([first, x], dim=2) + w["position.tables.places.0.embedding"][:, None]
        for layer, weights in enumerate(self.blocks):
            x = self.block(self.shape, weights, x, layer == self.shape.depth - 1)
        x = norm(x[:, :, 0], *_layer(w, "norm"))
        return linear(x, *_layer(w, "head"))


def patches(images: Tensor, p: int) -> Tensor:
    """(S, B, C, side, side) -> (S, B, N, C P P), in raster order."""
    s, b, c, side, _ = images.shape
    n = side // p
    cut = images.view(s, b, c, n, p, n, p).permute(0, 1, 3, 5, 2, 4, 6)
    return cut.reshape(s, b, n * n, c * p * p)


def block(shape: ViTShape, w: Weights, x: Tensor, last: bool) -> Tensor:
    """A pre-norm block, (S, B, T, D) -> (S, B, R, D): the last one for the class token only."""
    h = norm(x, *_layer(w, "norm1"))
    h = _first(shape, w, h) if last else _every(shape, w, h)
    x = x[:, :, : h.shape[2]] + linear(h, *_layer(w, "attention.projection"))
    h = linear(norm(x, *_layer(w, "norm2")), *_layer(w, "expand"))
    h = F.gelu(h, approximate="tanh" if shape.gelu == "tanh" else "none")
    return x + linear(h, *_layer(w, "contract"))


def _every(shape: ViTShape, w: Weights, x: Tensor) -> Tensor:
    """What all rows take from the values, (S, B, T, D)."""
    s, b, t, _ = x.shape
    h = linear(x, *_layer(w, "attention.qkv"))
    q, k, v = h.view(s * b, t, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
    return attend(q, k, v, None).transpose(1, 2).reshape(x.shape)


def _first(shape: ViTShape, w: Weights, x: Tensor) -> Tensor:
    """What the first row takes, (S, B, 1, D), by :meth:`vitexp.models.vit.Attention`'s way."""
    s, b, _, width = x.shape
    kernel, bias = _layer(w, "attention.qkv")
    kernels, biases = kernel.view(s, 3, shape.heads, -1, width), bias.view(s, 3, -1)
    q = linear(x[:, :, 0], kernels[:, 0].flatten(1, 2), biases[:, 0])
    q = q.view(s, b, shape.heads, -1).transpose(1, 2)
    q = ((q * q.shape[-1] ** -0.5) @ kernels[:, 1]).transpose(1, 2)
    x = x.to(q.dtype)
    mixed = (q @ x.transpose(2, 3)).softmax(dim=-1) @ x
    out = (mixed.transpose(1, 2) @ kernels[:, 2].transpose(2, 3)).transpose(1, 2)
    first: Tensor = out.reshape(s, b, 1, width) + biases[:, None, None, 2]
    return first


def _layer(w: Weights, name: str) -> tuple[Tensor, Tensor]:
    return w[f"{name}.weight"], w[f"{name}.bias"]


def linear(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """(S, ..., in) -> (S, ..., out), by kernels (S, out, in) and biases (S, out)."""
    rows, columns = x.flatten(1, -2), kernel.transpose(1, 2)
    if torch.compiler.is_compiling():
        # It leaves baddbmm as it is, but fuses a sum with what follows.
        out = torch.bmm(rows, columns)
        out = out + bias[:, None].to(out.dtype)
    else:
        out = torch.baddbmm(bias[:, None], rows, columns)
    return out.view(*x.shape[:-1], -1)


def norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm of (S, ..., D), then scale and shift, (S, D) each."""
    even = F.layer_norm(x, x.shape[-1:], eps=1e-6).flatten(1, -2)
    return torch.addcmul(shift[:, None], even, scale[:, None]).view(x.shape)


def optimiser(weights: Weights, recipe: Recipe) -> torch.optim.AdamW:
    """One fused AdamW for all seeds, which decays what it decays in one model."""
    assert recipe.optimizer == "adamw"
    kernels = [v for n, v in weights.items() if is_kernel(n, v[0])]
    others = [v for n, v in weights.items() if not is_kernel(n, v[0])]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    rate, betas = torch.tensor(recipe.lr, device=kernels[0].device), (recipe.beta1, recipe.beta2)
    return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=True, capturable=True)


class StackedStep:
    """The training steps of runs that differ in their seed alone; on CUDA each is one graph.

    Args:
        runs: S resolved runs.
        batches: what each trains on, all of it resident.
        device: where.
        compiled: whether the blocks are.
    """

    def __init__(
        self,
        runs: Sequence[RunSpec],
        batches: Sequence[Batches],
        device: torch.device,
        compiled: bool = False,
    ) -> None:
        assert not any(feed.streamed for feed in batches)
        self.recipe, self.dtype = runs[0].recipe, DTYPES[runs[0].precision]
        models = [build(run.model, run.seed) for run in runs]
        self.model = Stacked(runs[0].model, models, device, compiled)
        self.batches, self.device = batches, device
        self.optimizer = optimiser(self.model.weights, self.recipe)
        ready(self.optimizer)
        # The graph reads these tensors, wherever it is replayed.
        self.drawn = self._draws(0)
        self.graph = self._captured() if device.type == "cuda" else None

    def __call__(self, step: int) -> Tensor:
        """Takes step ``step`` of each run; their losses, (S,), which the next overwrites."""
        for name, values in self._draws(step).items():
            self.drawn[name].copy_(values)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(learning_rate(self.recipe, step))
        if self.graph is None:
            self._take()
        else:
            self.graph.replay()
        return self.losses

    def _draws(self, step: int) -> dict[str, Tensor]:
        each = [feed.draws(step) for feed in self.batches]
        return {n: sent(np.stack([one[n] for one in each]), self.device) for n in each[0]}

    def _captured(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._gradients()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._take()
        return graph

    def _take(self) -> None:
        self.losses = self._gradients()
        self.optimizer.step()

    def _gradients(self) -> Tensor:
        """Writes the gradients, clipped for each seed by itself; the losses, (S,)."""
        self.optimizer.zero_grad(set_to_none=True)
        images, targets = self._made()
        mixed = self.dtype != torch.float32
        # A cast that is kept would be read by a captured graph after it is gone.
        with torch.autocast(self.device.type, self.dtype, enabled=mixed, cache_enabled=False):
            logits = self.model(images)
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(0, 1), reduction="none"
        )
        losses = losses.view(targets.shape[:2]).mean(dim=1)
        losses.sum().backward()
        if self.recipe.clip is not None:
            clip(
                [v.grad for v in self.model.weights.values() if v.grad is not None],
                self.recipe.clip,
            )
        return losses.detach()

    def _made(self) -> tuple[Tensor, Tensor]:
        """Images (S, B, C, side, side) and targets (S, B, K)."""
        each = [
            feed.made({name: values[seed] for name, values in self.drawn.items()}, feed.source(0))
            for seed, feed in enumerate(self.batches)
        ]
        return torch.stack([one.images for one in each]), torch.stack([one.targets for one in each])


def clip(gradients: Sequence[Tensor], most: float) -> None:
    """Scales each seed's gradients to a norm of at most ``most``, all of them together."""
    for seed in range(len(gradients[0])):
        own = [gradient[seed] for gradient in gradients]
        torch._foreach_mul_(own, (most / (get_total_norm(own) + 1e-6)).clamp(max=1.0))
