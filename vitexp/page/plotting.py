"""The library that draws curves: a script that its Python package brings along."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILES = ("bokeh.min.js", "bokeh-api.min.js")
"""What figures and their tools need; 1.4 MB together."""


def scripts() -> list[str]:
    """The text of each of :data:`FILES`; none where Bokeh is not installed."""
    # Found, not imported, which would take a second for Python code that nothing here needs.
    spec = importlib.util.find_spec("bokeh")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0], "server", "static", "js")
    paths = [folder / name for name in FILES]
    if not all(path.is_file() for path in paths):
        return []
    return [path.read_text(encoding="utf-8") for path in paths]
