"""Specs as JSON, and back."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vitexp.errors import VitexpError


def to_json(spec: Any) -> dict[str, Any]:
    """``spec`` as JSON, whole."""
    return dataclasses.asdict(spec)


def flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Fields of fields as ``above.below``; what is no mapping stays as it is."""
    pairs: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            pairs |= flat(item, f"{above}{key}.")
        else:
            pairs[above + key] = item
    return pairs


S = TypeVar("S")

_REMEDY = "The file was not written by this version of vitexp; remove or convert it."


def from_json(kind: type[S], value: Any) -> S:
    """The inverse of :func:`to_json`.

    Raises:
        VitexpError: ``value`` is not an object with the fields of ``kind``, each of its type.
    """
    assert dataclasses.is_dataclass(kind)
    if not isinstance(value, dict):
        raise VitexpError(f"A {kind.__name__} is an object, not {value!r}.", _REMEDY)
    hints = _hints(kind)
    wrong = sorted((value.keys() - hints.keys()) | (_required(kind) - value.keys()))
    if wrong:
        raise VitexpError(
            f"A {kind.__name__} with fields of another version: {', '.join(wrong)}.", _REMEDY
        )
    return kind(**{name: _field(kind, name, item) for name, item in value.items()})


def _field(kind: type, name: str, item: Any) -> Any:
    try:
        return _reader(_hints(kind)[name])(item)
    except _Unfit as error:
        raise VitexpError(
            f"A {kind.__name__} cannot have {reprlib.repr(item)} as its {name}.", _REMEDY
        ) from error


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    fields = dataclasses.fields(kind)
    return frozenset(item.name for item in fields if item.default is dataclasses.MISSING)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


class _Unfit(Exception):
    """JSON that is no value of a type."""


@functools.cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """From JSON to a value of a type; what it gives raises :class:`_Unfit`."""
    origin, arms = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return functools.partial(_part, hint)
    if origin in (types.UnionType, typing.Union):
        return functools.partial(_one_of, arms)
    if origin is typing.Literal:
        return functools.partial(_checked, lambda value: type(value) is str and value in arms)
    if origin is tuple:
        return functools.partial(_tuple, arms[0])
    return functools.partial(_checked, functools.partial(_is, hint))


def _checked(fits: Callable[[Any], bool], value: Any) -> Any:
    if not fits(value):
        raise _Unfit
    return value


def _is(kind: type, value: Any) -> bool:
    """Whether JSON is plainly of a type: a whole number also is a float, no bool is a number."""
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _tuple(kind: Any, value: Any) -> tuple[Any, ...]:
    """A tuple of any length."""
    if not isinstance(value, list | tuple):
        raise _Unfit
    return tuple(map(_reader(kind), value))


def _one_of(arms: tuple[Any, ...], value: Any) -> Any:
    if value is None and types.NoneType in arms:
        return None
    specs = [arm for arm in arms if isinstance(arm, type) and dataclasses.is_dataclass(arm)]
    if specs:
        # Of several specs it is the one that has the value's fields.
        fit = (s for s in specs if isinstance(value, dict) and value.keys() == _hints(s).keys())
        return _part(next(fit, specs[0]), value)
    for arm in arms:
        try:
            return _reader(arm)(value)
        except _Unfit:
            continue
    raise _Unfit


# Thousands of runs share a few data sets, recipes and models: equal text is read once.
_parts: dict[tuple[type, str], Any] = {}


def _part(kind: type, value: Any) -> Any:
    key = (kind, repr(value))
    if key not in _parts:
        _parts[key] = from_json(kind, value)
    return _parts[key]
