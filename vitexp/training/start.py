"""Where a run's first weights are, if they are not drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vitexp.datasets.image_set import ImageSet
from vitexp.errors import VitexpError
from vitexp.evaluation.few_shot import linear_map
from vitexp.models.weights.files import Reach, load_weights
from vitexp.spec import Copy, Head, ModelSpec


@dataclass(frozen=True)
class Start:
    """Trained weights to begin with.

    Attributes:
        weights: the file.
        sha: its SHA-256.
        fresh_tables: whether positional tables are left behind.
        head: as in :class:`vitexp.spec.FromRun`.
        copy: as in :class:`vitexp.spec.FromFile`.
    """

    weights: Path
    sha: str
    fresh_tables: bool = False
    head: Head | None = None
    copy: Copy | None = None

    def give(self, model: nn.Module, spec: ModelSpec) -> None:
        """Copies the weights into ``model``; a new head stays zero (paper, section 3.2)."""
        drawn = {n: v.clone() for n, v in model.state_dict().items() if n.startswith("position.")}
        reach: Reach = "all" if self.head == "kept" else "body"
        load_weights(model, spec, self.weights, reach, "bilinear", self.copy)
        if self.fresh_tables:
            model.load_state_dict(drawn, strict=False)

    def solve(
        self,
        model: nn.Module,
        images: ImageSet,
        device: torch.device,
        precision: torch.dtype,
        batch: int | None = None,
    ) -> float | None:
        """Gives ``model``, on its device, a head by ridge regression, where one is asked for.

        Args:
            batch: images that are looked at at once, at most.

        Returns:
            The penalty, or None.

        Raises:
            VitexpError: the model has no linear head on features.
        """
        if self.head != "ridge":
            return None
        head = getattr(model, "head", None)
        if not isinstance(head, nn.Linear):
            raise VitexpError(
                "This model has no linear head on features.",
                "Give it `features` and `head`, as those in vitexp/models have.",
            )
        found, penalty = linear_map(model, images, device, precision, batch)
        with torch.no_grad():
            head.weight.copy_(found[:-1].T)
            head.bias.copy_(found[-1])
        return penalty
