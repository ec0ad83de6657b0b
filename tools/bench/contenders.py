"""Who is compared: this program's training, and other people's ViTs as their users train them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.noise import noise, noise_spec
from vitexp.runs.options import DEFAULTS, ExecutionOptions
from vitexp.settings.flags import Settings
from vitexp.settings.run import resolve_on
from vitexp.spec import ModelSpec, Precision, RunSpec
from vitexp.tasks.bench import STEPS
from vitexp.training.batches import Batches
from vitexp.training.host import Progress, Waits
from vitexp.training.loop import training
from vitexp.training.pace import Trial
from vitexp.training.sharing import ActiveRun, ActiveRuns

OURS = "vitexp"
TOGETHER = "vitexp, together"
"""Several runs of ours in one process."""
STACKED = "stacked"
"""As many models in one, with an axis of seeds: what ours is not."""

Stepping = Callable[[int], object]
"""Takes step n of all runs."""


def our_run(model: ModelSpec, batch: int, precision: Precision) -> tuple[RunSpec, ImageSet]:
    """A long run of ``model`` on images of noise, without dropout, which peers do without, too."""
    data = noise_spec(model.image_size, 8 * batch)
    images = noise(data, model.channels, model.classes)
    settings = Settings(batch=batch, steps=STEPS, dropout=0.0)
    spec = resolve_on(settings, data, images, precision)
    return replace(spec, model=model), images


class Counted(Trial):
    """Counts the steps of a run that goes on for as long as it is asked to.

    Args:
        say: takes what the run has to tell.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.steps, self._say = 0, say

    def say(self, message: str) -> None:
        self._say(message)

    def report(self, progress: Progress) -> None:
        self.steps += 1

    def stopping(self) -> bool:
        return False


def together(
    runs: Sequence[RunSpec],
    images: ImageSet,
    device: torch.device,
    threads: int,
    options: ExecutionOptions = DEFAULTS,
    say: Callable[[str], None] = print,
) -> Stepping:
    """Runs that share the device as those of a worker do."""
    hosts = [Counted(say) for _ in runs]
    active = ActiveRuns(device, len(runs), lambda capacity: None)

    def begun(run: RunSpec, host: Counted, one: ActiveRun) -> Waits:
        yield from training(run, images, host, device, threads, options=options)

    for host, run in zip(hosts, runs, strict=True):
        active.start(run.model.name, functools.partial(begun, run, host))
    before = max(host.steps for host in hosts)

    def step(number: int) -> None:
        while min(host.steps for host in hosts) <= before + number:
            active.turn()

    return step


def feeds(runs: Sequence[RunSpec], images: ImageSet, device: torch.device) -> list[Batches]:
    """What each run trains on."""
    return [Batches(images.train, run.recipe, run.model.classes, run.seed, device) for run in runs]


def simple_vit(spec: ModelSpec) -> nn.Module:
    """vit-pytorch's SimpleViT, from its file alone: the package's front door wants torchvision."""
    package = importlib.util.find_spec("vit_pytorch")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'vit_pytorch'")
    vit = spec.transformer
    model: nn.Module = _module(Path(package.origin).with_name("simple_vit.py")).SimpleViT(
        image_size=spec.image_size,
        patch_size=vit.patch,
        num_classes=spec.classes,
        dim=vit.width,
        depth=vit.depth,
        heads=vit.heads,
        mlp_dim=vit.mlp,
        channels=spec.channels,
        dim_head=vit.width // vit.heads,
    )
    return model


def _module(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def hugging_face(spec: ModelSpec) -> nn.Module:
    """transformers' ViTForImageClassification; its output holds the logits."""
    from transformers import ViTConfig, ViTForImageClassification

    vit = spec.transformer
    sizes: dict[str, Any] = {
        "hidden_size": vit.width,
        "num_hidden_layers": vit.depth,
        "num_attention_heads": vit.heads,
        "intermediate_size": vit.mlp,
        "image_size": spec.image_size,
        "patch_size": vit.patch,
        "num_channels": spec.channels,
        "num_labels": spec.classes,
    }
    model: nn.Module = ViTForImageClassification(ViTConfig(**sizes))
    return model


def timm(spec: ModelSpec) -> nn.Module:
    """timm's VisionTransformer."""
    from timm.models.vision_transformer import VisionTransformer

    vit = spec.transformer
    model: nn.Module = VisionTransformer(
        img_size=spec.image_size,
        patch_size=vit.patch,
        in_chans=spec.channels,
        num_classes=spec.classes,
        embed_dim=vit.width,
        depth=vit.depth,
        num_heads=vit.heads,
        mlp_ratio=vit.mlp / vit.width,
    )
    return model


PEERS: dict[str, tuple[str, Callable[[ModelSpec], nn.Module]]] = {
    "SimpleViT": ("vit-pytorch", simple_vit),
    "transformers": ("transformers", hugging_face),
    "timm": ("timm", timm),
}
"""Name -> (distribution, builder)."""


def peer_step(
    model: nn.Module, spec: ModelSpec, batch: int, device: torch.device, dtype: torch.dtype
) -> Callable[[], None]:
    """A plain training step on images that lie on the device already, ready as floats."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    images = torch.randn(batch, spec.channels, spec.image_size, spec.image_size, device=device)
    labels = torch.randint(spec.classes, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(_logits(model(images)).float(), labels)
        loss.backward()
        optimizer.step()

    return step


def _logits(output: Any) -> Tensor:
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return logits
