"""The trained transformer in a run or in a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.catalog.sizes import called
from vitexp.errors import VitexpError
from vitexp.reporting.described import position_words
from vitexp.runs.predictions import told
from vitexp.runs.store import Store
from vitexp.spec import Checkpoint, Copy, ModelSpec, RunSpec
from vitexp.tasks.probe import checkpoint

if TYPE_CHECKING:
    from vitexp.models.vit import ViT


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
        """It, on the CPU, as it is evaluated.

        Raises:
            VitexpError: the file does not hold such a model, or it is from a user's own file.
        """
        from vitexp.models.build import build
        from vitexp.models.vit import ViT
        from vitexp.models.weights.files import load_weights

        model = build(self.spec, seed=0)
        if not isinstance(model, ViT):
            raise _no_transformer(self.name, self.spec)
        copy = self.of.file.copy if isinstance(self.of, Checkpoint) else None
        load_weights(model, self.spec, self.weights, "features", copy=copy)
        return model.eval()


def looked_run(spec: RunSpec, store: Store) -> Looked:
    """A run to look into.

    Raises:
        VitexpError: it has no weights, or no transformer.
    """
    return _checked(Looked(spec.id, spec, spec.model, store.weights(spec.id)))


def looked_file(
    path: Path, model: str | None, copy: Copy | None, remark: Callable[[str], None]
) -> Looked:
    """A file of weights to look into; a classifier need not be among them.

    Args:
        model, copy: as for :func:`vitexp.tasks.probe.probe_of_file`.

    Raises:
        VitexpError: the file says no model and none is named, or it holds another, or one without a
            transformer.
    """
    found, spec = checkpoint(path, model, copy, remark)
    return _checked(Looked(told(str(path)), found, spec, path))


def _checked(looked: Looked) -> Looked:
    if looked.spec.vit is None:
        raise _no_transformer(looked.name, looked.spec)
    return looked


def _no_transformer(name: str, spec: ModelSpec) -> VitexpError:
    return VitexpError(
        f"{name} is of {called(spec)}, which has neither the patches nor the positions nor the"
        " attention of the Vision Transformer.",
        "Choose runs or files of ViTs or hybrids.",
    )
