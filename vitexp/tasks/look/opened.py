"""The trained transformer, or ResNet, in a run or in a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vitexp.catalog.sizes import called
from vitexp.errors import VitexpError
from vitexp.reporting.described import position_words
from vitexp.runs.predictions import told
from vitexp.runs.store import Store
from vitexp.spec import Checkpoint, Copy, ModelSpec, RunSpec
from vitexp.tasks.probe import checkpoint

if TYPE_CHECKING:
    from torch import nn

    from vitexp.models.resnet import ResNet
    from vitexp.models.vit import ViT
    from vitexp.models.weights.files import Reach


Part = Literal["transformer", "resnet"]
"""What is looked at."""


@dataclass(frozen=True)
class Looked:
    """What is looked into.

    Attributes:
        name: a run's id, or a file's path.
        of: the run or the file.
        spec: its model.
        weights: the file that they are in.
    """

    name: str
    of: RunSpec | Checkpoint
    spec: ModelSpec
    weights: Path

    @property
    def stem(self) -> str:
        """How its files' names end."""
        return self.of.id[:8]

    @property
    def facts(self) -> str:
        """Which weights these are, in a sentence."""
        model = " ".join(filter(None, (called(self.spec), position_words(self.spec))))
        if not isinstance(self.of, RunSpec):
            return f"{self.name}: {model}."
        data, steps = self.of.data.name, self.of.recipe.steps
        return f"Run {self.stem}: {model}, {data}, {steps:,} steps, seed {self.of.seed}."

    def model(self) -> ViT:
        """It, on the CPU, as it is evaluated, perhaps without its classifier.

        Raises:
            VitexpError: the file does not hold such a model, or it is from a user's own file.
        """
        from vitexp.models.vit import ViT

        model = self._built("features")
        if not isinstance(model, ViT):
            raise self._unfit("transformer")
        return model

    def resnet(self) -> ResNet:
        """It, likewise, with its classifier.

        Raises:
            VitexpError: the file does not hold such a model.
        """
        from vitexp.models.resnet import ResNet

        model = self._built("all")
        assert isinstance(model, ResNet)
        return model

    def _built(self, reach: Reach) -> nn.Module:
        from vitexp.models.build import build
        from vitexp.models.weights.files import load_weights

        model = build(self.spec, seed=0)
        copy = self.of.file.copy if isinstance(self.of, Checkpoint) else None
        load_weights(model, self.spec, self.weights, reach, copy=copy)
        return model.eval()

    def checked(self, part: Part) -> Looked:
        """Itself.

        Raises:
            VitexpError: it does not have the part that is to be looked at.
        """
        has = self.spec.vit is not None if part == "transformer" else self.spec.family == "resnet"
        if not has:
            raise self._unfit(part)
        return self

    def _unfit(self, part: Part) -> VitexpError:
        of = f"{self.name} is of {called(self.spec)}"
        if part == "transformer":
            return VitexpError(
                f"{of}, which has neither the patches nor the positions nor the attention of the"
                " Vision Transformer.",
                "Choose runs or files of ViTs or hybrids; `vitexp look cam` shows where in an image"
                " a ResNet finds its class.",
            )
        return VitexpError(
            f"{of}, whose head does not read the mean of a ResNet's map.",
            "Choose runs or files of ResNets; `vitexp look attention` is for the others.",
        )


def looked_run(spec: RunSpec, store: Store, part: Part = "transformer") -> Looked:
    """A run to look into.

    Raises:
        VitexpError: it has no weights, or not that part.
    """
    return Looked(spec.id, spec, spec.model, store.weights(spec.id)).checked(part)


def looked_file(
    path: Path,
    model: str | None,
    copy: Copy | None,
    remark: Callable[[str], None],
    part: Part = "transformer",
) -> Looked:
    """A file of weights to look into; for a transformer a classifier need not be among them.

    Args:
        model, copy: as for :func:`vitexp.tasks.probe.probe_of_file`.

    Raises:
        VitexpError: the file says no model and none is named, or it holds another, or one without
            that part.
    """
    reach: Reach = "features" if part == "transformer" else "all"
    found, spec = checkpoint(path, model, copy, remark, reach)
    return Looked(told(str(path)), found, spec, path).checked(part)
