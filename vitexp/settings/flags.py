"""Every flag of a training command: its name, unit, default and range, in this one place.

The command line's flags and the keys of a ``--config`` file are generated from
:class:`Settings`; :mod:`vitexp.settings.run` turns its values into a complete run.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import shlex
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitexp.catalog.recipes import AUGMENTATIONS, PRESETS
from vitexp.errors import VitexpError, unknown
from vitexp.positions import POSITIONS
from vitexp.spec import PLACEMENTS, Optimizer, Pool, Reading, Schedule, Stem

DATA, MODEL, TRAINING, MACHINE = "Data", "Model", "Training", "Machine and output"


@dataclass(frozen=True)
class Flag:
    """What is known about a setting.

    Attributes:
        panel: heading that it stands under in ``--help``.
        help: one line, with its unit.
        default: what stands in for it when it is left out.
        choices: the only values that it takes; None where any of its type will do.
        circumstance: whether it says with what and how often, and not what nor where.
        least, above, most, below: bounds, the ends included, excluded, included, excluded.
    """

    panel: str
    help: str
    default: str
    choices: tuple[str, ...] | None = None
    circumstance: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def allows(self, value: float) -> bool:
        """Whether ``value`` is finite and within the bounds."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        words = {
            "at least": self.least,
            "above": self.above,
            "at most": self.most,
            "below": self.below,
        }
        return " and ".join(f"{word} {end:g}" for word, end in words.items() if end is not None)


def setting(panel: str, help: str, default: str, **known: Any) -> Any:
    """A field of :class:`Settings` that may be left out."""
    return dataclasses.field(default=None, metadata={"flag": Flag(panel, help, default, **known)})


@dataclass(frozen=True)
class Settings:
    """What a user asked for; None means the default that the field's help names."""

    dataset: str | None = setting(
        DATA,
        "digits, a Hugging Face id, a folder of images, or files of tables or arrays",
        "digits",
    )
    image_size: int | None = setting(DATA, "side of the images in pixels", "the data's", least=1)
    skip_broken: bool | None = setting(DATA, "count unreadable images and go on", "stop")
    follow_links: bool | None = setting(
        DATA, "read what links out of a folder lead to", "refuse them"
    )
    image_column: str | None = setting(DATA, "a table's column of images", "by name and type")
    label_column: str | None = setting(DATA, "a table's column of labels", "by name and type")
    fraction: float | None = setting(
        DATA, "share of the train split to use, stratified, drawn by the seed", "1", above=0, most=1
    )
    folds: int | None = setting(
        DATA,
        "cross-validation: test all images, each by one of so many runs a seed",
        "the data's own splits",
        least=2,
        most=20,
    )
    model: str | None = setting(
        MODEL,
        "such as vit-ti/4, r20 or r20+vit-ti (see models), or my_net.py:MyNet",
        "by image size",
    )
    patch: int | None = setting(MODEL, "side of a patch in pixels", "the model's", least=1)
    width: int | None = setting(MODEL, "D, width of a token", "the model's", least=1)
    depth: int | None = setting(MODEL, "encoder blocks", "the model's", least=1)
    heads: int | None = setting(MODEL, "attention heads a block", "the model's", least=1)
    mlp: int | None = setting(MODEL, "hidden width of the MLPs", "the model's", least=1)
    blocks: str | None = setting(MODEL, "a ResNet's blocks of each stage: 3,4,6,3", "the model's")
    trunk_width: int | None = setting(MODEL, "a ResNet's first width", "the model's", least=1)
    stem: str | None = setting(
        MODEL,
        "a ResNet's: imagenet (stride 4) or small",
        "the model's",
        choices=typing.get_args(Stem),
    )
    pool: str | None = setting(
        MODEL, "token (class token) or gap (mean)", "token", choices=typing.get_args(Pool)
    )
    gelu: str | None = setting(
        MODEL, "exact, or tanh as in the paper's code", "exact", choices=("exact", "tanh")
    )
    position: str | None = setting(
        MODEL, f"{', '.join(POSITIONS)}, or my_signal.py:MySignal", "learned_1d"
    )
    placement: str | None = setting(
        MODEL, "stem, every-layer or shared", "stem", choices=PLACEMENTS
    )
    position_std: str | None = setting(
        MODEL, "initial std of the positional tables: 0.5, or *=0.5,relative=2", "the recipe's"
    )
    recipe: str | None = setting(
        TRAINING, f"preset: {', '.join(PRESETS)}", "by data set", choices=tuple(PRESETS)
    )
    seeds: int | None = setting(
        TRAINING,
        "how many seeds, counted from --seed",
        "ablate 3, train 1",
        least=1,
        circumstance=True,
    )
    seed: int | None = setting(TRAINING, "first seed", "0", least=0, circumstance=True)
    epochs: float | None = setting(TRAINING, "passes over the train split", "the recipe's", above=0)
    steps: int | None = setting(
        TRAINING, "optimiser steps, instead of --epochs", "by --epochs", least=1
    )
    batch: int | None = setting(TRAINING, "images a step", "the recipe's", least=1)
    lr: float | None = setting(TRAINING, "peak learning rate", "the recipe's", above=0)
    weight_decay: float | None = setting(
        TRAINING, "decoupled, kernels only", "the recipe's", least=0
    )
    optimizer: str | None = setting(
        TRAINING, "adamw or sgd", "the recipe's", choices=typing.get_args(Optimizer)
    )
    momentum: float | None = setting(TRAINING, "of sgd", "the recipe's", least=0, below=1)
    schedule: str | None = setting(
        TRAINING,
        "cosine, linear or constant, after the warm-up",
        "the recipe's",
        choices=typing.get_args(Schedule),
    )
    warmup: float | None = setting(
        TRAINING, "linear warm-up in steps; below 1, a share of all steps", "the recipe's", least=0
    )
    clip: float | None = setting(
        TRAINING, "largest global gradient norm; 0 for none", "the recipe's", least=0
    )
    dropout: float | None = setting(
        TRAINING, "probability at the paper's three sites", "the recipe's", least=0, below=1
    )
    stochastic_depth: float | None = setting(
        TRAINING, "drop probability of the last block", "the recipe's", least=0, below=1
    )
    label_smoothing: float | None = setting(
        TRAINING, "mass spread over all classes", "the recipe's", least=0, below=1
    )
    early_stopping: bool | None = setting(
        TRAINING, "keep the weights that do best on validation", "the last ones"
    )
    averaging: float | None = setting(
        TRAINING,
        "keep a mean of the weights over the steps, with this factor: 0.9999",
        "the last weights",
        above=0,
        below=1,
    )
    augment: str | None = setting(
        TRAINING, f"none, or a list of {', '.join(AUGMENTATIONS)}", "the recipe's"
    )
    precision: str | None = setting(
        MACHINE, "auto, fp32 or bf16", "auto", choices=("auto", "fp32", "bf16")
    )
    device: str | None = setting(
        MACHINE, "auto, cpu, mps, cuda (all) or cuda:0", "auto", circumstance=True
    )
    jobs: int | None = setting(
        MACHINE, "runs at the same time", "one a core or device", least=1, circumstance=True
    )
    deterministic: bool | None = setting(
        MACHINE,
        "the same bits again, also on CUDA, where it is slower",
        "as fast as can be",
        circumstance=True,
    )
    micro_batch: int | None = setting(
        MACHINE,
        "images computed at once, with the whole batch's gradient",
        "all that fit",
        least=1,
        circumstance=True,
    )
    grad_checkpointing: bool | None = setting(
        MACHINE,
        "compute blocks again instead of keeping them: less memory, more time",
        "keep",
        circumstance=True,
    )
    compile: bool | None = setting(
        MACHINE,
        "compile the encoder's blocks",
        "where the run is long enough to repay it",
        circumstance=True,
    )
    strict: bool | None = setting(
        MACHINE,
        "let a run fail where a way to compute it does",
        "say so and go on by a plainer one",
        circumstance=True,
    )
    yes: bool | None = setting(
        MACHINE,
        "begin without asking what takes over an hour",
        "ask on a terminal",
        circumstance=True,
    )
    keep: bool | None = setting(
        MACHINE,
        "keep the final weights, which probe, look, predict and ablate bias need",
        "keep",
        circumstance=True,
    )
    checkpoint_seconds: float | None = setting(
        MACHINE, "work that a kill may cost at most, each run", "60", above=0, circumstance=True
    )
    out: str | None = setting(MACHINE, "folder for runs/, tables/ and plots/", ".")
    name: str | None = setting(
        MACHINE, "what to call the runs, for runs list and --grid", "nothing", circumstance=True
    )
    tag: list[str] | None = setting(  # noqa: RUF009
        MACHINE, "a tag for the runs; may be repeated", "none", circumstance=True
    )
    track: list[str] | None = setting(  # noqa: RUF009
        MACHINE,
        "tensorboard, wandb, mlflow or trackio, or NAME:WHERE; may be repeated",
        "none",
        circumstance=True,
    )

    def __post_init__(self) -> None:
        for name, flag in flags().items():
            check(name, flag, getattr(self, name))

    @property
    def reading(self) -> Reading:
        """How the data set's files are read."""
        return Reading(
            bool(self.skip_broken), bool(self.follow_links), self.image_column, self.label_column
        )


@functools.cache
def flags() -> dict[str, Flag]:
    """What is known about each setting, in the order of the help."""
    return {f.name: f.metadata["flag"] for f in dataclasses.fields(Settings)}


@functools.cache
def kinds() -> dict[str, type]:
    """The type of each setting's value."""
    hints = typing.get_type_hints(Settings)
    return {name: _without_none(hints[name]) for name in flags()}


def _without_none(hint: types.UnionType) -> type:
    arms: tuple[type, ...] = typing.get_args(hint)
    return next(arm for arm in arms if arm is not types.NoneType)


def asked(settings: Settings, source: str) -> str:
    """The flags that ask for the same runs again, on the data set ``source``."""
    words = ["--dataset", source]
    for name in flags():
        value = getattr(settings, name)
        if value in (None, False) or name == "dataset" or flags()[name].circumstance:
            continue
        words += [spelled(name)] if value is True else [spelled(name), str(value)]
    return shlex.join(words)


def said(text: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The inverse of :func:`asked`: settings by their names; and a command's own flags with
    their values, as they are written."""
    settings: dict[str, Any] = {}
    others: dict[str, list[str]] = {}
    for flag, values in _flags_in(shlex.split(text)).items():
        name = flag.removeprefix("--").replace("-", "_")
        if name not in flags():
            others[flag] = values
        else:
            settings[name] = kinds()[name](values[0]) if values else True
    return settings, others


def _flags_in(words: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            last = found[word] = []
        else:
            last.append(word)
    return found


def names(text: str) -> tuple[str, ...]:
    """``"a, b"`` as ``("a", "b")``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def spelled(name: str) -> str:
    """A setting as it is written on the command line."""
    return "--" + name.replace("_", "-")


def check(name: str, flag: Flag, value: Any) -> None:
    """Hold one value against what is known about its setting.

    Raises:
        VitexpError: not one of the choices, or out of bounds.
    """
    if value is None or isinstance(value, bool):
        return
    if flag.choices is not None and value not in flag.choices:
        raise unknown(spelled(name), value, flag.choices)
    if isinstance(value, int | float) and not flag.allows(value):
        raise VitexpError(
            f"{spelled(name)} is {value}.", f"Write a number {flag.bounds or 'that is finite'}."
        )


def from_mapping(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The settings that ``values``, read from the file ``source``, names.

    Keys may be written with ``-`` or ``_``.

    Raises:
        VitexpError: an unknown key, or a value of another type.
    """
    settings = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in flags():
            raise unknown(f"key in {source}:", key, [n.replace("_", "-") for n in flags()])
        settings[name] = _typed(name, value, source)
    return settings


def _typed(name: str, value: Any, source: str) -> Any:
    kind = kinds()[name]
    if kind is float and type(value) is int:
        return float(value)
    if kind == list[str]:
        return _texts(name, value, source)
    if name == "position_std" and type(value) in (int, float):
        return str(value)
    if type(value) is not kind:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}
        raise VitexpError(
            f"{source}: {name.replace('_', '-')} = {value!r} is not "
            f"{wanted.get(kind, 'a text in quotes')}.",
            f"It is: {flags()[name].help}.",
        )
    return value


def _texts(name: str, value: Any, source: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return texts
    raise VitexpError(
        f"{source}: {name} = {value!r} is not a list of texts in quotes.",
        f"Write it as: {name} = ['one', 'another'].",
    )
