"""Names under which others keep a model's weights: a file here is one, its stem its name."""

from __future__ import annotations

from vitexp.registry import Registry

LAYOUTS = Registry(
    "weights' layout",
    {
        "vitexp": "vitexp.models.weights.vitexp:links",
        "npz": "vitexp.models.weights.npz:links",
        "timm": "vitexp.models.weights.timm:links",
        "hf": "vitexp.models.weights.hf:links",
        "hf5": "vitexp.models.weights.hf:links_5",
    },
)
