"""Specs as JSON, and back."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

from vitexp.errors import VitexpError


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
    remedy = "The file was not written by this version of vitexp; remove or convert it."
    if not isinstance(value, dict):
        raise VitexpError(f"A {kind.__name__} is an object, not {value!r}.", remedy)
    hints = _hints(kind)
    wrong = sorted((value.keys() - hints.keys()) | (_required(kind) - value.keys()))
    if wrong:
        raise VitexpError(
            f"A {kind.__name__} with fields of another version: {', '.join(wrong)}.", remedy
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
    if is_tuple and isinstance(value, list | tuple):
        return tuple(_convert(kinds[0], item) for item in value) if kinds else tuple(value)
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
    """The specs that a field may hold, itself or in a tuple, whether it may be None, and whether
    it holds a tuple."""
    arms = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    is_tuple = any(typing.get_origin(arm) is tuple for arm in arms)
    inner = [item for arm in arms for item in (typing.get_args(arm) if is_tuple else (arm,))]
    kinds = [item for item in inner if isinstance(item, type) and dataclasses.is_dataclass(item)]
    return kinds, types.NoneType in arms, is_tuple
