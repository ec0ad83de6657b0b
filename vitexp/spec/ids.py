"""The id that follows from a value.

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
from dataclasses import field
from typing import Any

FORMAT = 1
"""Version of the spec's meaning; part of every id. Raise it when equal fields train otherwise."""


def label(default: Any = dataclasses.MISSING) -> Any:
    """A field for people, outside a run's identity."""
    return field(default=default, metadata={"identity": False})


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
