"""Which split a name means: of folders, files and the splits of a data set alike.

A name is cut into words at changes of case and at everything that is no letter, so
``seg_train``, ``testSet``, ``val2017`` and ``train-00000-of-00002`` are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from vitexp.datasets.split import PARTS, Part
from vitexp.errors import VitexpError

Word = Literal["train", "val", "test", "eval"]

_WORDS: dict[str, tuple[Word, ...]] = {
    **dict.fromkeys(("train", "training", "trn"), ("train",)),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating"), ("val",)),
    **dict.fromkeys(("dev", "devel", "development"), ("val",)),
    **dict.fromkeys(("test", "tests", "testing", "tst", "holdout", "heldout"), ("test",)),
    **dict.fromkeys(("eval", "evaluation", "evaluate"), ("eval",)),
    **dict.fromkeys(("trainval", "traintest", "valtest"), ("train", "val")),
}
_THINGS = ("set", "data", "dataset", "split", "images", "imgs", "folder", "dir")
_FILLERS = frozenset(
    (*_THINGS, "sets", "datasets", "splits", "image", "img", "photos", "pictures", "pics")
)
_UNKNOWN = frozenset(("unknown", "unlabeled", "unlabelled", "unclassified", "none", *_WORDS))
_COMPOUND = {word + thing: meaning for word, meaning in _WORDS.items() for thing in _THINGS}
_COMPOUND |= {axis + word: meaning for word, meaning in _WORDS.items() for axis in "xy"}
_MEANINGS = _WORDS | _COMPOUND
_IN_TWO = re.compile(r"(held|hold)[\W_]out", re.IGNORECASE)
_BETWEEN = re.compile(r"[\W\d_]+")
_TOKEN = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[^\W\d_][^\W\d_A-Z]*")
SPELLINGS = "train (training, trn), val (valid, validation, dev), test (testing, tst, holdout)"


def _tokens(name: str) -> list[str]:
    tokens: list[str] = []
    for part in _BETWEEN.split(_IN_TWO.sub("holdout", name)):
        whole = part.lower()
        # "TRAINset" has its change of case in the wrong place.
        tokens += [whole] if whole in _MEANINGS else map(str.lower, _TOKEN.findall(part))
    return tokens


def words(name: str) -> tuple[Word, ...]:
    """The splits that a name names, in a fixed order; several where it is not clear which."""
    found = {word for token in _tokens(name) for word in _MEANINGS.get(token, ())}
    return tuple(word for word in (*PARTS, "eval") if word in found)


def is_only_a_split(name: str) -> bool:
    """Whether a name says which split it is and nothing else (``training_set``, ``val2017``)."""
    tokens = [token for token in _tokens(name) if token not in _FILLERS]
    return bool(tokens) and all(token in _MEANINGS or len(token) == 1 for token in tokens)


def says_nothing(name: str) -> bool:
    """Whether a name says nothing about the class of what it holds (``images``, ``unknown``)."""
    tokens = _tokens(name)
    return bool(tokens) and all(token in _FILLERS | _UNKNOWN for token in tokens)


@dataclass(frozen=True)
class Named:
    """What a set of names means.

    Attributes:
        parts: name -> split, of the names that name one.
        others: the names that name none.
        notes: what was decided where a name has no one meaning.
    """

    parts: Mapping[str, Part]
    others: tuple[str, ...]
    notes: tuple[str, ...] = ()


def understood(names: Iterable[str], where: str) -> Named:
    """The splits that ``names`` name, each judged beside the others.

    ``eval`` is validation beside a test split, else test.

    Args:
        where: what holds them, in messages.

    Raises:
        VitexpError: a name that names two splits, or ``eval`` beside validation and test.
    """
    found = {name: words(name) for name in sorted(names)}
    for name, several in found.items():
        if len(several) > 1:
            raise VitexpError(
                f"{where}: {name!r} names several splits ({', '.join(several)}).",
                f"Rename it so that it names one: {SPELLINGS}.",
            )
    single = {name: several[0] for name, several in found.items() if several}
    there = set(single.values())
    meaning: Part = "val" if "test" in there else "test"
    notes = []
    if "eval" in there:
        evals = [name for name, word in single.items() if word == "eval"]
        if {"val", "test"} <= there:
            raise VitexpError(
                f"{where} holds {_listed(evals)} beside a validation and a test split.",
                "Move it away, or the one of the three that is not wanted.",
            )
        full = {"val": "validation", "test": "test"}[meaning]
        notes.append(f"{_listed(evals)} is taken as the {full} split.")
    parts: dict[str, Part] = {
        name: meaning if word == "eval" else word for name, word in single.items()
    }
    return Named(parts, tuple(name for name in found if name not in parts), tuple(notes))


def refuse_mixed(named: Named, where: str, remedy: str) -> None:
    """Refuse names of which some name a split and others do not.

    Raises:
        VitexpError: naming both.
    """
    if named.parts and named.others:
        raise VitexpError(
            f"{where}: {_listed(named.parts)} {_verb(named.parts, 'names a split', 'name splits')}"
            f" and {_listed(named.others)} {_verb(named.others, 'names', 'name')} none.",
            remedy,
        )


def refuse_twice(named: Named, where: str) -> None:
    """Refuse two names of one split.

    Raises:
        VitexpError: naming them.
    """
    parts = list(named.parts.values())
    twice = sorted(name for name, part in named.parts.items() if parts.count(part) > 1)
    if twice:
        raise VitexpError(
            f"{where} holds the same split twice: {', '.join(twice)}.", "Keep one of them."
        )


def refuse_several_spellings(named: Named, where: str) -> None:
    """Refuse files of one split that name it in several ways (``val-*`` and ``dev-*``).

    Raises:
        VitexpError: naming them.
    """
    spelled: dict[Part, dict[str, str]] = {}
    for name, part in named.parts.items():
        word = next(token for token in _tokens(name) if token in _MEANINGS)
        spelled.setdefault(part, {}).setdefault(word, name)
    for several in spelled.values():
        if len(several) > 1:
            raise VitexpError(
                f"{where} holds the same split twice: {', '.join(several.values())}.",
                "Keep one of them, or name the files of one split alike.",
            )


def _listed(names: Iterable[str]) -> str:
    own = sorted(names)
    more = f" and {len(own) - 4} more" if len(own) > 4 else ""
    return ", ".join(map(repr, own[:4])) + more


def _verb(names: Iterable[str], one: str, several: str) -> str:
    return several if len(list(names)) > 1 else one
