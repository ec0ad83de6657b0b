"""Our own names, as in the weights that runs keep."""

from __future__ import annotations

from vitexp.models.build import skeleton
from vitexp.models.weights.link import SAME, Link
from vitexp.spec import ModelSpec


def links(spec: ModelSpec) -> list[Link]:
    """Every parameter under its own name."""
    return [Link(name, (name,), SAME) for name in skeleton(spec).state_dict()]
