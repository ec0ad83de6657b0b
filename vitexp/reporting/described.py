"""A run in words: the facts that runs are told apart by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vitexp.amounts import count
from vitexp.catalog.sizes import called, signal
from vitexp.registry import is_reference
from vitexp.spec import DataSpec, ModelSpec, RunSpec

NOTHING = dict.fromkeys(
    ("data", "fold", "size", "share", "model", "position", "pool", "start", "recipe", "steps"), ""
)
"""What there is to say of a run that is not known."""

USUAL = {"share": "100 %", "pool": "token"}
"""What goes without saying."""


_HOME = re.compile(r"(?<![\w.])(?:/home/[^/\s:]+|/Users/[^/\s:]+|/root(?![\w.-]))")


def facts(spec: RunSpec) -> dict[str, str]:
    """What a run is, but for its seed; ``""`` where there is nothing to say."""
    fold = spec.data.fold
    return {
        "data": f"{spec.data.name} in {fold.of} folds" if fold else spec.data.name,
        "fold": f"fold {fold.index + 1}" if fold else "",
        "size": f"{spec.model.image_size} px",
        "share": f"{100 * (spec.data.fraction or 1):g} %",
        "model": called(spec.model),
        "position": position_words(spec.model),
        "pool": _pool(spec.model),
        "start": "fine-tuned" if spec.init else "",
        "recipe": f"{spec.recipe.optimizer} lr {spec.recipe.lr:g}",
        "steps": count(spec.recipe.steps, "step"),
    }


def homeless(text: str) -> str:
    """``text`` with ``~`` for each home folder in it, for what leaves the machine."""
    return _HOME.sub("~", text)


def images_words(data: DataSpec, of_train: str = "") -> str:
    """How many images are trained and tested on; of folds, what is alike in all.

    Args:
        of_train: what else there is to say of those to train on.
    """
    data = data.undrawn
    counts = (
        f"{data.train} train{of_train}, {data.val} validation, {count(data.test, 'test image')}"
    )
    if data.fold is None:
        return counts
    every = f"all {data.pool} images, each tested once a seed"
    return f"{every}, in {data.fold.of} folds of about {counts}"


def position_words(model: ModelSpec) -> str:
    """``"learned_1d shared"``; of a signal from a user's own file the name alone."""
    position = signal(model)
    if position is None:
        return ""
    kind = position.kind.rpartition(":")[2]
    return kind if kind == "none" else f"{kind} {position.placement}"


def _pool(model: ModelSpec) -> str:
    """What a model of a user's own file does with its tokens, if it has any, is not known."""
    return "" if model.vit is None or is_reference(model.family) else model.vit.pool


def differing(several: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of the facts that are not the same in all of ``several``."""
    return [name for name in several[0] if len({own[name] for own in several}) > 1]


def common(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts, with ``""`` for those that are not the same in all of ``several``."""
    return {**several[0], **dict.fromkeys(differing(several), "")}


def shared(several: Sequence[Mapping[str, str]]) -> list[str]:
    """The facts that are the same in all of ``several``, but for what goes without saying."""
    return [text for name, text in common(several).items() if text and text != USUAL.get(name)]
