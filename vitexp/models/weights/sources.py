"""Checkpoint files as names, shapes and one tensor at a time; nothing in them is ever executed.

A file is opened anew for each tensor, so that no more of it stays in memory than that tensor:
a mapping that lived on would keep every page that was read.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vitexp.errors import VitexpError
from vitexp.models.weights import place

Shape = tuple[int, ...]


class Source(ABC):
    """A file with tensors.

    Attributes:
        path: the file.
        shapes: name -> shape of each tensor.
        odd: name -> what it holds, of those that hold no floating-point numbers.
        copy: ``ema`` where that was chosen of a file that has both copies; else None.
        said: what was decided about the file, a sentence each.
    """

    copy: Literal["ema"] | None = None
    said: tuple[str, ...] = ()

    def __init__(
        self, path: Path, shapes: Mapping[str, Shape], odd: Mapping[str, str] | None = None
    ) -> None:
        self.path, self.shapes, self.odd = path, dict(shapes), dict(odd or {})

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The tensor called ``name``, on the CPU."""


def open_source(path: Path) -> Source:
    """Everything in the checkpoint ``path``, of whichever kind its content is.

    Raises:
        VitexpError: no such file; not a checkpoint; truncated; or one with code or objects in it.
    """
    path = place.find(path)
    try:
        return _kind(path)(path)
    except (SafetensorError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> VitexpError:
    """The error for a file that ends early or is not what it seems."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return VitexpError(
        f"{path} is truncated, damaged or no checkpoint: {first}",
        "Fetch it again, and compare its size with the original's.",
    )


def _kind(path: Path) -> Callable[[Path], Source]:
    with path.open("rb") as file:
        start = file.read(9)
    if start[:4] == b"PK\3\4":
        with zipfile.ZipFile(path) as file:
            arrays = all(name.endswith(".npy") for name in file.namelist())
        return NpzSource if arrays else TorchSource
    if files := place.index(path):
        return lambda path: ShardedSource(path, files)
    if start[8:9] == b"{":
        return SafetensorsSource
    if start[:1] == b"\x80":
        return TorchSource
    raise VitexpError(
        f"{path} is not a checkpoint that vitexp reads.",
        "It reads .npz, .safetensors, and torch files with nothing but tensors.",
    )


class SafetensorsSource(Source):
    """A ``.safetensors`` file."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.offset_keys()}
            kinds = {name: str(part.get_dtype()) for name, part in parts.items()}
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
        odd = {name: kind for name, kind in kinds.items() if not kind.startswith(("F", "BF"))}
        super().__init__(path, shapes, odd)

    def read(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name).clone()
        return tensor


class ShardedSource(Source):
    """Several files, and an index that says which tensor is in which."""

    def __init__(self, path: Path, files: Mapping[str, Path]) -> None:
        opened = {file: open_source(file) for file in sorted(set(files.values()))}
        self._sources = {name: opened[file] for name, file in files.items()}
        for name, source in self._sources.items():
            if name not in source.shapes:
                raise ValueError(f"{source.path.name} does not hold {name}")
        shapes = {name: source.shapes[name] for name, source in self._sources.items()}
        odd = {name: s.odd[name] for name, s in self._sources.items() if name in s.odd}
        super().__init__(path, shapes, odd)

    def read(self, name: str) -> Tensor:
        return self._sources[name].read(name)


class NpzSource(Source):
    """A ``.npz`` file of plain numbers."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if name.endswith(".npy")]
            heads = {name.removesuffix(".npy"): _header(file, name) for name in names}
        for name, (_, dtype) in heads.items():
            if dtype.hasobject:
                raise VitexpError(
                    f"{path}: the array {name!r} holds Python objects.",
                    "They could run code and are never opened; save plain float arrays.",
                )
        odd = {name: str(dtype) for name, (_, dtype) in heads.items() if not _is_float(dtype)}
        super().__init__(path, {name: shape for name, (shape, _) in heads.items()}, odd)

    def read(self, name: str) -> Tensor:
        with zipfile.ZipFile(self.path) as file, file.open(f"{name}.npy") as entry:
            array = np.lib.format.read_array(entry, allow_pickle=False)
        if array.dtype == _BF16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


_BF16 = np.dtype("V2")
"""What numpy keeps of the type bfloat16, which it does not know."""


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype == _BF16 or (dtype.kind == "f" and dtype.itemsize <= 8)


def _header(file: zipfile.ZipFile, name: str) -> tuple[Shape, np.dtype[Any]]:
    with file.open(name) as entry:
        return _npy_header(entry)


def _npy_header(entry: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(entry)
    return shape, dtype


class TorchSource(Source):
    """A file of ``torch.save`` with nothing but tensors, numbers and texts in dicts; a tensor in
    dicts in dicts is called by all their keys, with dots."""

    def __init__(self, path: Path) -> None:
        tensors = self._open(path)
        odd = {n: str(t.dtype) for n, t in tensors.items() if not t.is_floating_point()}
        super().__init__(path, {name: tuple(t.shape) for name, t in tensors.items()}, odd)

    def read(self, name: str) -> Tensor:
        return self._open(self.path)[name].clone()

    @staticmethod
    def _open(path: Path) -> dict[str, Tensor]:
        # Files of before torch 1.6 cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        try:
            # Training scripts keep their flags beside the weights, and a Namespace runs nothing.
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:
            if type(error).__name__ != "UnpicklingError":
                raise
            raise _unsafe(path, str(error)) from error
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} instead of a dict of tensors")
        return dict(_flat(content))


def _unsafe(path: Path, why: str) -> VitexpError:
    named = re.search(r"GLOBAL ([\w.]+)", why)
    what = f" ({named[1]})" if named else ""
    return VitexpError(
        f"{path} holds Python objects or code{what}, which opening it could run.",
        "It was not opened. Use a .safetensors or .npz file of the same weights.",
    )


_DEEPEST = 8
"""Dicts in dicts; a file may hold one that contains itself."""


def _flat(
    content: Mapping[Any, Any], above: str = "", depth: int = 0
) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{above}{key}", value
        elif isinstance(value, dict) and depth < _DEEPEST:
            yield from _flat(value, f"{above}{key}.", depth + 1)
