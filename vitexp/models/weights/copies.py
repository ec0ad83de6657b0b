"""Which tensors of a file are the model, and what they are called without what stands before it.

Training scripts keep a model in dicts and wrappers (``state_dict``, ``module.``, ``backbone.``),
beside an exponential mean of it, an optimiser's state and whatever else. Every model has a first
kernel, and what stands before that name stands before all names of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from vitexp.errors import VitexpError
from vitexp.models.weights.sources import Source, open_source
from vitexp.spec import Copy

_BARE = "embeddings.patch_embeddings.projection.weight"
"""Of Hugging Face's ViTModel, which its other classes keep under ``vit.``."""

_FIRST = (
    r"patch_embed\.proj\.weight",
    r"(?<!patch_embed\.backbone\.)stem\.conv\.weight",
    r"(?:vit\.)?" + re.escape(_BARE),
    r"(?:embedding|conv_root)/kernel",
    r"embedding\.(?:cells\.)?kernel",
    r"(?<!embedding\.)trunk\.stem\.kernel",
)
"""First kernels: timm's, Hugging Face's, the official ones, ours."""

_FIRST_NAME = re.compile(rf"((?:.*?[./])??)(?:{'|'.join(_FIRST)})")
_MEANS = {"ema", "averaged", "shadow", "teacher", "momentum", "target"}
_OPTIMISERS = {"opt", "opt_state", "optim", "optimizer", "optimizers", "optimizer_states"}


class Part(Source):
    """Some tensors of another source, under other names."""

    def __init__(
        self,
        source: Source,
        names: Mapping[str, str],
        copy: Literal["ema"] | None,
        said: Iterable[str],
    ) -> None:
        shapes = {new: source.shapes[old] for new, old in names.items()}
        odd = {new: source.odd[old] for new, old in names.items() if old in source.odd}
        super().__init__(source.path, shapes, odd)
        self._source, self._names, self.copy, self.said = source, names, copy, tuple(said)

    def read(self, name: str) -> Tensor:
        return self._source.read(self._names[name])


def open_weights(path: Path, copy: Copy | None = None) -> Source:
    """The model in a checkpoint, under the plain names of its layout.

    Args:
        copy: the weights as they were trained (``raw``) or their exponential mean (``ema``);
            None: raw where the file has both.

    Raises:
        VitexpError: as :func:`open_source`; a copy that the file does not hold; several models.
    """
    source = open_source(path)
    roots = _roots(source.shapes)
    means = [root for root in roots if _words(root) & _MEANS]
    plain = [root for root in roots if root not in means]
    if not roots:
        return source
    found = {"ema": means, "raw": plain, None: plain or means}[copy]
    if not found:
        raise VitexpError(
            f"{source.path} holds only {'the weights' if plain else 'a mean of the weights'},"
            f" under {_listed(roots)}.",
            f"Leave --weights {copy} out.",
        )
    if found[1:]:
        raise VitexpError(
            f"{source.path} holds several models, under {_listed(found)}.",
            "Save the one that you mean in a file of its own.",
        )
    (root,) = found
    names, rest = _names(source, root, roots)
    said = [*_which(source.path, root, means, plain), *_off(source, root, rest)]
    return Part(source, names, "ema" if root in means and plain else None, said)


def _roots(names: Iterable[str]) -> list[str]:
    """What stands before a first kernel, but for an optimiser's moments of one."""
    found = {match[1] for name in names if (match := _FIRST_NAME.fullmatch(name))}
    return sorted(root for root in found if not _of_optimiser(root))


def _of_optimiser(name: str) -> bool:
    return not _OPTIMISERS.isdisjoint(re.split("[./]", name)[:-1])


def _words(root: str) -> set[str]:
    return set(re.split("[./_]", root.lower()))


def _names(source: Source, root: str, roots: list[str]) -> tuple[dict[str, str], list[str]]:
    """New name -> old one of what belongs to ``root``; and what belongs to no root at all."""

    def owner(name: str) -> str | None:
        above = [other for other in roots if name.startswith(other)]
        return None if _of_optimiser(name) or not above else max(above, key=len)

    owners = {name: owner(name) for name in source.shapes}
    own = {name.removeprefix(root): name for name, of in owners.items() if of == root}
    rest = [n for n, of in owners.items() if of is None and n not in source.odd]
    bare = "vit." if _BARE in own else ""
    return {bare + new: old for new, old in own.items()}, rest


def _which(path: Path, root: str, means: list[str], plain: list[str]) -> list[str]:
    """What is said of the copy that is read."""
    if not means:
        return []
    if not plain:
        return [f"{path.name} holds an exponential mean of the weights, which is read."]
    both = f"{path.name} holds the weights and an exponential mean of them ({_listed(means)})"
    if root in means:
        return [f"{both}: the mean is read."]
    return [f"{both}: the weights themselves are read; --weights ema reads the mean."]


def _off(source: Source, root: str, rest: list[str]) -> list[str]:
    """What is said of names that are shortened, and of tensors that are left."""
    said = [f"{source.path.name}: {root!r} before the names is taken off."] if root else []
    if others := [name for name in rest if not _of_optimiser(name)]:
        said.append(
            f"{source.path.name}: {len(others)} tensors outside the model are not read, "
            f"such as {others[0]}."
        )
    return said


def _listed(roots: list[str]) -> str:
    return ", ".join(repr(root) if root else "no prefix" for root in roots)
