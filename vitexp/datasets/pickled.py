"""Python pickles of plain data, read without running anything in them.

The opcodes are interpreted here (`pickletools` only takes them apart): numbers, texts, bytes,
lists, tuples, dicts and numpy's numeric arrays come out; whatever else a pickle asks for is
refused.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "BINFLOAT", "FLOAT", "STRING"),
        *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        "BYTEARRAY8",
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_NAMES = {
    **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct"),
    **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
    "numpy": "ndarray dtype",
    "_codecs": "encode",
}
_MARK = object()


class PlainError(Exception):
    """A pickle of something else than plain data; the message says of what."""


class _Named:
    """A global name in a pickle: never looked up, only compared."""

    def __init__(self, module: str, name: str) -> None:
        if name not in _NAMES.get(module, "").split():
            raise PlainError(f"it asks for {module}.{name}")
        self.name = name


class _Array:
    """An array in the making: numpy writes its shape, type and bytes after the fact."""

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value


class _Kind:
    """A type in the making: numpy writes its byte order after the fact."""

    def __init__(self, name: str) -> None:
        self.value = np.dtype(name)
        if self.value.kind not in "biuf":
            raise PlainError(f"it holds an array of {self.value}")


def read(path: Path) -> Any:
    """The value that a file holds; texts of Python 2 come as ``str``, Latin-1.

    Raises:
        PlainError: it is no pickle, or one of more than plain data.
        OSError: it cannot be read.
    """
    try:
        return _finished(_interpreted(path.read_bytes()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise PlainError(str(error)) from error


def _interpreted(content: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for code, argument, _ in pickletools.genops(content):
        name = code.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _act(name, argument, stack)
    raise PlainError("it ends too early")


def _act(name: str, argument: Any, stack: list[Any]) -> None:
    """An opcode that works on what is on the stack."""
    if name == "GLOBAL":
        stack.append(_Named(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        module, own = _popped(stack, 2)
        stack.append(_Named(module, own))
    elif name == "EMPTY_TUPLE":
        stack.append(())
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_popped(stack, int(name[-1]))))
    elif name in ("TUPLE", "LIST"):
        stack.append((tuple if name == "TUPLE" else list)(_marked(stack)))
    elif name == "DICT":
        items = _marked(stack)
        stack.append(dict(zip(items[::2], items[1::2], strict=True)))
    elif name in ("APPEND", "APPENDS"):
        items = _marked(stack) if name == "APPENDS" else _popped(stack, 1)
        stack[-1].extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _marked(stack) if name == "SETITEMS" else _popped(stack, 2)
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif name == "REDUCE":
        function, arguments = _popped(stack, 2)
        stack.append(_called(function, arguments))
    elif name == "BUILD":
        (state,) = _popped(stack, 1)
        _built(stack, state)
    else:
        raise PlainError(f"it holds the opcode {name}")


def _popped(stack: list[Any], count: int) -> list[Any]:
    items = stack[-count:]
    del stack[-count:]
    return items


def _marked(stack: list[Any]) -> list[Any]:
    at = max(index for index, item in enumerate(stack) if item is _MARK)
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _called(function: Any, arguments: Any) -> Any:
    """What the few functions in the pickle of an array would give."""
    if not isinstance(function, _Named):
        raise PlainError("it calls a value")
    if function.name == "_reconstruct":
        return _Array()
    if function.name == "dtype":
        return _Kind(str(arguments[0]))
    if function.name == "_frombuffer":
        content, kind, shape, order = arguments
        return _Array(np.frombuffer(content, kind.value).reshape(shape, order=order))
    if function.name == "encode" and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin1")
    raise PlainError(f"it calls {function.name}")


def _built(stack: list[Any], state: Any) -> None:
    """The second half of an array or of its type."""
    top = stack[-1]
    if isinstance(top, _Kind):
        top.value = top.value.newbyteorder(state[1] if state[1] in "<>" else "|")
    elif isinstance(top, _Array):
        _, shape, kind, by_column, content = state
        if isinstance(content, str):
            content = content.encode("latin1")
        order = "F" if by_column else "C"
        top.value = np.frombuffer(content, kind.value).reshape(shape, order=order)  # type: ignore[call-overload]
    else:
        raise PlainError("it builds an object")


def _finished(value: Any) -> Any:
    """``value`` with its arrays in place."""
    if isinstance(value, _Array):
        if value.value is None:
            raise PlainError("it holds an array without content")
        return value.value
    if isinstance(value, _Named | _Kind) or value is _MARK:
        raise PlainError("it holds a name")
    if isinstance(value, dict):
        return {_finished(key): _finished(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finished(item) for item in value)
    return value
