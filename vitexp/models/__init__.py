"""Model families: a file here is one, its stem is its name for ``--model``."""

from __future__ import annotations

from vitexp.registry import Registry

MODELS = Registry(
    "model family",
    {
        "vit": "vitexp.models.vit:ViT",
        "resnet": "vitexp.models.resnet:ResNet",
        "hybrid": "vitexp.models.hybrid:hybrid",
    },
)
