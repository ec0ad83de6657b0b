"""A folder is a registry: an explicit dict from a name to ``"module:Attribute"``.

Names are known without importing what they stand for. The same form serves code from
outside the package: ``my_signal.py:MySignal``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitexp.errors import VitexpError, unknown


class Registry(Mapping[str, str]):
    """Named choices of one kind, loaded when asked for.

    Args:
        kind: what a choice is called in messages, for instance ``"position"``.
        entries: name -> ``"package.module:Attribute"``.
        aliases: other spellings -> name.
        dashed: whether names are written with dashes on the command line.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        dashed: bool = False,
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._aliases = dict(aliases or {})
        self._dashed = dashed

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def canonical(self, name: str) -> str:
        """The one spelling of ``name``; a ``file.py:Name`` reference is returned as it is.

        Raises:
            VitexpError: the name is not known, or the file of a reference does not exist, is no
            Python, or defines no such name; it is not run for that.
        """
        if is_reference(name):
            _check_defined(reference_path(name, self.kind), name.rpartition(":")[2])
            return name
        plain = name.lower().replace("-", "_")
        plain = self._aliases.get(plain, plain)
        if plain not in self._entries:
            raise unknown(self.kind, name, map(self.typed, self._entries))
        return plain

    def typed(self, name: str) -> str:
        """``name``, which is known, as it is written on the command line."""
        return name if is_reference(name) or not self._dashed else name.replace("_", "-")

    def load(self, name: str) -> Any:
        """The object that ``name`` stands for.

        Raises:
            VitexpError: unknown name, or a file that cannot be imported or lacks the name.
        """
        name = self.canonical(name)
        if is_reference(name):
            return _load_reference(name, self.kind)
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)


def is_reference(name: str) -> bool:
    """Whether ``name`` has the form ``file.py:Name``."""
    path, _, attribute = name.rpartition(":")
    return path.endswith(".py") and attribute.isidentifier()


def reference_path(name: str, kind: str) -> Path:
    """The file of ``file.py:Name``.

    Raises:
        VitexpError: there is no such file.
    """
    path = Path(name.rpartition(":")[0])
    if not path.is_file():
        raise VitexpError(
            f"There is no file {str(path)!r} for the {kind} {name!r}.",
            "Give the path of a Python file that exists, as path/to/file.py:ClassName.",
        )
    return path


def _check_defined(path: Path, attribute: str) -> None:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise VitexpError(
            f"{path} is not Python: {error}.", f"Mend the file; `python {path}` shows where."
        ) from error
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
    # What a star brings, or a module makes when asked, is only known by running it.
    if not names & {attribute, "*", "__getattr__"}:
        own = [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        raise unknown(f"name in {path}", attribute, own)


def code_hash(name: str, kind: str) -> str | None:
    """SHA-256 of the file behind ``file.py:Name``; None for a built-in name.

    It is part of a run's identity: edited code asks a new question.
    """
    if not is_reference(name):
        return None
    return hashlib.sha256(reference_path(name, kind).read_bytes()).hexdigest()


def _load_reference(name: str, kind: str) -> Any:
    path = reference_path(name, kind)
    attribute = name.rpartition(":")[2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    module_name = f"vitexp_user_{path.stem}_{digest}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise VitexpError(
                f"{path} cannot be imported: {type(error).__name__}: {error}",
                f"Mend the file; `python {path}` shows where it fails.",
            ) from error
    if not hasattr(module, attribute):
        raise unknown(f"name in {path}", attribute, (n for n in vars(module) if n[0] != "_"))
    return getattr(module, attribute)
