"""Checkpoint files as names, shapes and one tensor at a time; nothing in them is ever executed.

A file is opened anew for each tensor, so that no more of it stays in memory than that tensor:
a mapping that lived on would keep every page that was read.
"""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vitexp.errors import VitexpError

Shape = tuple[int, ...]


class Source(ABC):
    """A file with tensors.

    Attributes:
        path: the file.
        shapes: name -> shape of each tensor.
    """

    def __init__(self, path: Path, shapes: Mapping[str, Shape]) -> None:
        self.path, self.shapes = path, dict(shapes)

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The tensor called ``name``, on the CPU."""


def open_source(path: Path) -> Source:
    """The checkpoint in the file ``path``, whichever of the three kinds it is.

    Raises:
        VitexpError: no such file; not a checkpoint; truncated; or one with code or objects in it.
    """
    if not path.is_file():
        raise VitexpError(f"There is no file {str(path)!r}.", "Give the path of a checkpoint.")
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
            super().__init__(
                path, {n: tuple(file.get_slice(n).get_shape()) for n in file.offset_keys()}
            )

    def read(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name).clone()
        return tensor


class NpzSource(Source):
    """A ``.npz`` file of plain numbers."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if name.endswith(".npy")]
            shapes = {name.removesuffix(".npy"): _header(file, name, path) for name in names}
        super().__init__(path, shapes)

    def read(self, name: str) -> Tensor:
        with zipfile.ZipFile(self.path) as file, file.open(f"{name}.npy") as entry:
            return torch.from_numpy(np.lib.format.read_array(entry, allow_pickle=False))


def _header(file: zipfile.ZipFile, name: str, path: Path) -> Shape:
    with file.open(name) as entry:
        shape, dtype = _npy_header(entry)
    if dtype.kind != "f":
        raise VitexpError(
            f"{path}: the array {name.removesuffix('.npy')!r} holds {dtype} instead of numbers.",
            "Arrays of objects could run code and are never opened; save plain float arrays.",
        )
    return shape


def _npy_header(entry: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(entry)
    return shape, dtype


class TorchSource(Source):
    """A file of ``torch.save`` with nothing but tensors in dicts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, {name: tuple(t.shape) for name, t in self._open(path).items()})

    def read(self, name: str) -> Tensor:
        return self._open(self.path)[name].clone()

    @staticmethod
    def _open(path: Path) -> dict[str, Tensor]:
        # Files of before torch 1.6 cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:
            if type(error).__name__ != "UnpicklingError":
                raise
            raise VitexpError(
                f"{path} holds Python objects or code, which opening it could run.",
                "It was not opened. Use a .safetensors or .npz file of the same weights.",
            ) from error
        for wrapper in ("state_dict", "model"):
            if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
                content = content[wrapper]
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} instead of a dict of tensors")
        return {name: value for name, value in content.items() if isinstance(value, Tensor)}
