"""What a run is: frozen, JSON-only values, and the id that follows from them.

Two runs with the same id are the same run. The id is a hash of the resolved spec (nothing
left to a default of the day), so a changed question is a new run and an old result is never
mistaken for a new one. Fields marked as labels (where the data lie, what a preset is called)
do not enter the hash, nor do fields that are None: a feature that a run does not use does not
change its id.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from vitexp.errors import VitexpError

FORMAT = 1
"""Version of the spec's meaning; part of every id. Raise it when equal fields train otherwise."""

Placement = Literal["stem", "every-layer", "shared"]
PLACEMENTS: tuple[Placement, ...] = typing.get_args(Placement)
Pool = Literal["token", "gap"]
Precision = Literal["fp32", "bf16"]
Schedule = Literal["cosine", "linear", "constant"]
Optimizer = Literal["adamw", "sgd"]
Stem = Literal["imagenet", "small"]


def label(default: Any = dataclasses.MISSING) -> Any:
    """A field for people, outside a run's identity."""
    return field(default=default, metadata={"identity": False})


@dataclass(frozen=True)
class PositionSpec:
    """One positional signal in one placement (paper, appendix D.4).

    Attributes:
        kind: name in ``vitexp/positions/`` or ``file.py:Class``.
        placement: where it enters; always ``"stem"`` for kinds that have no placement.
        std: initial standard deviation of its learned tables (the paper's: 0.02).
        scaled: relative only: logits divided by sqrt(head width), like the content logits.
        per_head: relative only: each head has its own table.
        code: SHA-256 of the user's file, when ``kind`` is one.
        grid: sine/cosine only: side of the grid on which the waves are laid out before they are
            stretched to the model's; None: the model's own.
    """

    kind: str = "learned_1d"
    placement: Placement = "stem"
    std: float = 0.02
    scaled: bool = True
    per_head: bool = True
    code: str | None = None
    grid: int | None = None


@dataclass(frozen=True)
class ViTShape:
    """The Vision Transformer's sizes (paper, Table 1) and choices.

    Attributes:
        patch: side of a patch in pixels; of a hybrid, in cells of the trunk's map.
        width: D, the width of a token.
        depth: number of encoder blocks.
        heads: attention heads a block.
        mlp: hidden width of a block's MLP.
        pool: class token, or mean of the patch tokens (then there is no class token).
        gelu: exact, or the tanh form that the paper's code uses.
        pre_logits: width of the tanh layer before the head (paper, section 3.1), or None.
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp: int
    pool: Pool = "token"
    gelu: Literal["exact", "tanh"] = "exact"
    pre_logits: int | None = None
    position: PositionSpec = PositionSpec()


@dataclass(frozen=True)
class ResNetShape:
    """A ResNet's sizes (paper, section 4.1), by itself or as a hybrid's trunk.

    Attributes:
        blocks: blocks of each stage; none is the stem alone.
        width: channels of the stem and of the first stage's 3x3; each stage doubles it, and a
            stage of bottlenecks gives four times its own (the paper's R50x1: 64, R50x2: 128).
        stem: ``imagenet``, a 7x7 convolution and a 3x3 max pool of stride 2 each, or ``small``,
            one 3x3 convolution of stride 1, for images up to 64 px.
        block: ``basic``, two 3x3 convolutions (He et al. 2015); None for bottlenecks.
    """

    blocks: tuple[int, ...]
    width: int
    stem: Stem = "imagenet"
    block: Literal["basic"] | None = None

    @property
    def stride(self) -> int:
        """Pixels of the image between two neighbours of the last map."""
        stem = 4 if self.stem == "imagenet" else 1
        return stem << max(0, len(self.blocks) - 1)


@dataclass(frozen=True)
class ModelSpec:
    """A model to build.

    Attributes:
        family: name in ``vitexp/models/`` or ``file.py:Class``.
        image_size: side of the square input in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: number of outputs.
        vit: the transformer's sizes; None for a ResNet.
        name: what the size is called on the command line.
        code: SHA-256 of the user's file, when ``family`` is one.
        trunk: the ResNet's sizes; None for a ViT.
    """

    family: str
    image_size: int
    channels: int
    classes: int
    vit: ViTShape | None = None
    name: str = label("")
    code: str | None = None
    trunk: ResNetShape | None = None

    @property
    def transformer(self) -> ViTShape:
        """``vit`` of a model that is known to have one."""
        assert self.vit is not None
        return self.vit


@dataclass(frozen=True)
class DataSpec:
    """Images to train and test on.

    Attributes:
        name: short name for tables.
        source: what ``--dataset`` was given; where to find the images again.
        fingerprint: hash of the encoded bytes, the labels and the preprocessing's version.
        image_size: side of the stored square images in pixels.
        train, val, test: number of images in each split.
        split_seed: draws the validation split where the source has none.
        fraction: share of the training split that is used (nested, stratified subsets).
        subset_seed: draws the subset.
        classes: the labels of the only classes that are used, rising; ``train``, ``val`` and
            ``test`` count their images. None: all.
        held_out: share of train that becomes validation where the source has none; None: 0.1.
        skip_broken: whether unreadable images were counted and left out.
    """

    fingerprint: str
    image_size: int
    train: int
    val: int
    test: int
    split_seed: int = 0
    fraction: float | None = None
    subset_seed: int | None = None
    classes: tuple[int, ...] | None = None
    held_out: float | None = None
    name: str = label("")
    source: str = label("")
    skip_broken: bool = label(False)

    @property
    def used(self) -> int:
        """Number of images to train on."""
        return self.train if self.fraction is None else round(self.fraction * self.train)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        lr: peak learning rate.
        weight_decay: decoupled, on kernels only (AdamW; for SGD added to the gradient).
        steps: optimiser steps; 0 for a run that only measures what it starts from.
        batch: images a step.
        warmup: steps of linear warm-up.
        schedule: what follows the warm-up, down to 0 at the last step.
        clip: largest global gradient norm, or None.
        label_smoothing: mass spread over all classes.
        dropout: probability at the paper's three sites.
        stochastic_depth: drop probability of the last block's branches, rising linearly.
        crop, flip: random crop after zero-padding by 1/8 of the side; horizontal flip.
        resized_crop: smallest area share of a random-resized crop, or None.
        mixup, cutmix: Beta parameter, or None; with both, a batch gets one of them.
        early_stopping: steps between two looks at the validation split, of which the best
            one's weights are the result (the first of equals); None: the last weights are.
        averaging: factor of an exponential mean of the weights over the steps, which then is
            what is evaluated and kept (the paper's 0.9999, section 4.1); None: the last weights.
        evaluate_every: steps between two looks at the validation split.
        name: the preset it departed from.
    """

    lr: float
    weight_decay: float
    steps: int
    batch: int
    warmup: int
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "cosine"
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.9
    clip: float | None = 1.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    crop: bool = False
    flip: bool = False
    resized_crop: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    early_stopping: int | None = None
    averaging: float | None = None
    evaluate_every: int = label(100)
    name: str = label("")


Head = Literal["kept", "ridge"]


@dataclass(frozen=True)
class FromRun:
    """First weights that a run of the same store ended with; its head is left behind.

    Attributes:
        run: its id; the run need not be done before one that starts from it is planned.
        tables: ``fresh`` draws the positional tables anew; None brings the learned ones to the
            grid of the images.
        head: ``kept`` keeps that run's head after all; ``ridge`` solves the new one by ridge
            regression on the features of the training images, the penalty chosen on validation;
            None starts it from zero.
    """

    run: str
    tables: Literal["fresh"] | None = None
    head: Head | None = None


@dataclass(frozen=True)
class FromFile:
    """First weights from a file; its head is left behind.

    Attributes:
        sha256: of the file.
        path: where it was.
    """

    sha256: str
    path: str = label("")


Init = FromRun | FromFile
"""Where first weights are from, if they are not drawn from the seed."""


@dataclass(frozen=True)
class RunSpec:
    """One training run; everything in it follows from this value.

    Attributes:
        asked: the flags that it was asked for with, for a command that extends its grid.
        init: where the first weights are from; None draws them from the seed.
    """

    model: ModelSpec
    data: DataSpec
    recipe: Recipe
    seed: int
    precision: Precision = "fp32"
    asked: str = label("")
    init: Init | None = None

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits that stand for everything that decides the run."""
        return digest(identity(self))

    def seeded(self, seed: int) -> RunSpec:
        """This run with another seed, which also draws its subset of the training split."""
        part = self.data.fraction is not None
        data = dataclasses.replace(self.data, subset_seed=seed) if part else self.data
        return dataclasses.replace(self, data=data, seed=seed)

    @property
    def parent(self) -> str | None:
        """Id of the run that has to be done before this one can start."""
        return self.init.run if isinstance(self.init, FromRun) else None

    @property
    def position(self) -> PositionSpec:
        """The signal of a run whose model is known to have a transformer."""
        return self.model.transformer.position


@dataclass(frozen=True)
class ProbeSpec:
    """A measurement to make on a finished run; it is not a run and changes none.

    Attributes:
        kind: what is measured.
        data: on which images, at the run's image size.
    """

    kind: Literal["few_shot"]
    data: DataSpec


@dataclass(frozen=True)
class Checkpoint:
    """A file with weights, as something to measure.

    Attributes:
        model: the one in it; where only its name was given, the file decides the classes, the
            channels, the pool and the layer before the head.
        file: the file.
        precision: of the arithmetic.
    """

    model: ModelSpec
    file: FromFile
    precision: Precision = "fp32"

    @property
    def id(self) -> str:
        """16 hexadecimal digits that stand for the weights and how they are read."""
        return digest(identity(self))


SoupKind = Literal["greedy", "uniform"]


@dataclass(frozen=True)
class SoupSpec:
    """The mean of several runs' weights (Wortsman et al. 2022, Model soups, arXiv 2203.05482).

    Attributes:
        kind: ``uniform``, all of them; ``greedy``, those without which validation is no better.
        runs: their ids, rising.
        weights: SHA-256 of each one's weights.
    """

    kind: SoupKind
    runs: tuple[str, ...]
    weights: tuple[str, ...]

    @property
    def id(self) -> str:
        """16 hexadecimal digits that stand for the ingredients and the way they are mixed."""
        return digest(identity(self))


def digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of ``value``'s canonical JSON and the format."""
    text = json.dumps([FORMAT, value], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_PLAIN = (str, int, float, tuple)


def identity(spec: Any) -> dict[str, Any]:
    """``spec`` as JSON without labels and without fields that are None."""
    pairs = {}
    kind: Any = type(spec)
    for name in identifying(kind):
        value = getattr(spec, name)
        if value is not None:
            pairs[name] = value if isinstance(value, _PLAIN) else identity(value)
    return pairs


# A report reads thousands of specs: what follows from a class is found out once.
@functools.cache
def identifying(kind: type) -> tuple[str, ...]:
    """The fields of a spec that are no labels."""
    return tuple(f.name for f in dataclasses.fields(kind) if f.metadata.get("identity", True))


def to_json(spec: Any) -> dict[str, Any]:
    """``spec`` as JSON, whole."""
    return dataclasses.asdict(spec)


S = TypeVar("S")


def from_json(kind: type[S], value: Any) -> S:
    """The inverse of :func:`to_json`.

    Raises:
        VitexpError: ``value`` is not an object with the fields of ``kind``.
    """
    assert dataclasses.is_dataclass(kind)
    if not isinstance(value, dict):
        raise VitexpError(
            f"A {kind.__name__} is an object, not {value!r}.",
            "The file was not written by this version of vitexp; remove or convert it.",
        )
    hints = _hints(kind)
    wrong = sorted((value.keys() - hints.keys()) | (_required(kind) - value.keys()))
    if wrong:
        raise VitexpError(
            f"A {kind.__name__} with fields of another version: {', '.join(wrong)}.",
            "The file was not written by this version of vitexp; remove or convert it.",
        )
    converted = {n: _convert(hints[n], value[n]) for n in _converted(kind) if n in value}
    return typing.cast(S, kind(**(value | converted)))


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    fields = dataclasses.fields(kind)
    return frozenset(item.name for item in fields if item.default is dataclasses.MISSING)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _converted(kind: type) -> tuple[str, ...]:
    """The fields whose JSON is not their value."""
    forms = {name: _nested(hint) for name, hint in _hints(kind).items()}
    return tuple(name for name, (kinds, _, is_tuple) in forms.items() if kinds or is_tuple)


def _convert(hint: Any, value: Any) -> Any:
    kinds, optional, is_tuple = _nested(hint)
    if is_tuple and isinstance(value, list):
        return tuple(value)
    if not kinds or (optional and value is None):
        return value
    # Of several specs it is the one that has the value's fields.
    fits = [kind for kind in kinds if isinstance(value, dict) and set(value) == set(_hints(kind))]
    return _part((fits or kinds)[0], value)


# Thousands of runs share a few data sets, recipes and models: equal text is read once.
_parts: dict[tuple[type, str], Any] = {}


def _part(kind: type, value: Any) -> Any:
    key = (kind, repr(value))
    if key not in _parts:
        _parts[key] = from_json(kind, value)
    return _parts[key]


@functools.cache
def _nested(hint: Any) -> tuple[list[type], bool, bool]:
    """The specs that a field may hold, whether it may be None, and whether it holds a tuple."""
    arms = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [arm for arm in arms if isinstance(arm, type) and dataclasses.is_dataclass(arm)]
    is_tuple = any(typing.get_origin(arm) is tuple for arm in arms)
    return kinds, types.NoneType in arms, is_tuple
