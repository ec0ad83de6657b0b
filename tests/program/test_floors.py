"""House rules: imports go down, the reading wing does without torch, nothing unsafe is called."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vitexp

HOME = Path(vitexp.__file__).parent

FLOORS = [
    ["errors", "amounts"],
    ["registry"],
    ["spec"],
    ["catalog"],
    ["datasets"],
    ["initialisation"],
    ["positions"],
    ["models"],
    ["evaluation"],
    ["runs"],
    ["training"],
    ["analysis"],
    ["settings"],
    ["reporting"],
    ["render"],
    ["experiment"],
    ["studies"],
    ["tasks"],
    ["page"],
    ["launch"],
    ["trackers"],
    ["worker"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
TORCH = ("initialisation", "positions", "models", "evaluation", "training", "worker")
SOURCES = sorted(HOME.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> set[str]:
    """Full names of the modules of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("vitexp.")}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(HOME)))
def test_imports_go_down(path):
    room = room_of(path)
    if room == "__init__":
        return
    for name in imported(path):
        below = name.split(".")[1]
        if below in LEVEL:
            assert LEVEL[below] <= LEVEL[room], f"{room} may not import {name}"


def test_the_reading_wing_does_without_torch():
    """All its modules, imported in one process, and torch is not among what came with them."""
    modules = [
        ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if room_of(path) not in TORCH
    ]
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\n"
    code += "print(len(sys.modules), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"
    assert len(modules) > 20


FORBIDDEN = (
    *("eval", "exec", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("torch.hub.load", "joblib.load", "pd.read_pickle", "yaml.load", "shutil.unpack_archive"),
)
UNSAFE = {"pickle", "marshal", "shelve", "dill", "joblib", "telnetlib"}
"""What runs code that it reads."""
LISTENING = {"socket", "socketserver", "http.server", "xmlrpc.server", "multiprocessing.managers"}
CLOCKLESS = ("runs", "launch", "worker", "training")
"""Rooms in which nothing may depend on a clock that can be set."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(HOME)))
def test_no_pickles_no_ports_and_no_clock_that_can_be_set(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not names & (UNSAFE | LISTENING)
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not any(name.endswith((".listen", ".bind", ".extractall")) for name in called)
    if room_of(path) in CLOCKLESS:
        assert "time.time" not in called


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(HOME)))
def test_nothing_unsafe_is_called(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        assert called not in FORBIDDEN
        if called == "torch.load":
            assert keywords.get("weights_only") == "True"
        assert keywords.get("allow_pickle", "False") == "False"
        assert keywords.get("shell", "False") == "False"


def test_every_room_is_on_a_floor():
    rooms = {room_of(path) for path in SOURCES} - {"__init__"}
    assert rooms == set(LEVEL)
