"""All that the page's script shows, as one JSON text that is safe within HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vitexp.errors import printable
from vitexp.page.answer import Answer
from vitexp.page.cells import cells
from vitexp.page.runs import listing
from vitexp.page.traces import traces
from vitexp.runs.record import Results
from vitexp.runs.store import Store
from vitexp.tasks.listed import Listed

_MARKUP = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def data(answers: Sequence[Answer], runs: Sequence[Listed], store: Store, done: Results) -> str:
    """The runs, their courses, the fields of all tables and the images that these name."""
    places = {one.entry.id: place for place, one in enumerate(runs)}
    found, sets = cells(answers, done, places)
    courses = [store.curve(one.entry) if one.entry.spec else [] for one in runs]
    return embedded(
        {
            "runs": listing(runs),
            "traces": traces([one.entry.spec for one in runs], courses),
            "cells": found,
            "sets": sets,
        }
    )


def embedded(value: Any) -> str:
    """JSON that ends no element that it stands in, and in which no text steers a reader."""
    text = json.dumps(_cleaned(value), allow_nan=False, separators=(",", ":"))
    return text.translate(_MARKUP)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value
