"""Flags generated from :class:`vitexp.settings.flags.Settings`, and the file they may sit in."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vitexp.errors import VitexpError
from vitexp.settings.flags import MACHINE, Settings, flags, from_mapping, kinds, spelled
from vitexp.spec import Reading

Json = Annotated[bool, typer.Option("--json", help="print JSON on the standard output")]
Out = Annotated[Path, typer.Option("--out", help="folder with runs/, tables/ and plots/")]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A Typer command with a flag for every setting and ``--config``.

    ``command`` takes ``settings`` first; its other parameters stay flags of their own.
    """

    def run(config: Path | None, **values: Any) -> None:
        asked = {name: values.pop(name) for name in flags()}
        command(merged(config, asked), **values)

    file = typer.Option(help="TOML file with these names; flags win", rich_help_panel=MACHINE)
    config = _keyword("config", Annotated[Path | None, file], None)
    return _called(run, command, [*map(_setting, flags()), config])


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """A Typer command with the flags that say how a data set's files are read.

    ``command`` takes ``reading`` first; its other parameters stay flags of their own.
    """
    names = [field.name for field in dataclasses.fields(Reading)]

    def run(**values: Any) -> None:
        asked = {name: values.pop(name) for name in names}
        command(Settings(**asked).reading, **values)

    return _called(run, command, list(map(_setting, names)))


def _called(
    run: Callable[..., None], command: Callable[..., None], more: list[inspect.Parameter]
) -> Callable[..., None]:
    """``run`` under ``command``'s name, with its parameters but for the first, and ``more``."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    parameters = [_keyword(p.name, p.annotation, p.default) for p in own] + more
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _setting(name: str) -> inspect.Parameter:
    return _keyword(name, Annotated[kinds()[name] | None, _option(name)], None)


def _option(name: str) -> Any:
    flag = flags()[name]
    return typer.Option(
        # Typer would offer --no-NAME for a switch only where no name is written.
        *([] if kinds()[name] is bool else [spelled(name)]),
        help=flag.help,
        rich_help_panel=flag.panel,
        show_default=flag.default,
        metavar="|".join(flag.choices) if flag.choices and len(flag.choices) < 4 else None,
    )


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


def merged(config: Path | None, asked: Mapping[str, Any]) -> Settings:
    """The settings of a config file with the flags that were given on top.

    ``epochs`` as a flag also replaces ``steps`` from the file, and the other way round.

    Raises:
        VitexpError: an unreadable file, an unknown key, or a value out of range.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    values = read_config(config) if config else {}
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if one in given:
            values.pop(other, None)
    return Settings(**values | given)


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        VitexpError: no such file, not TOML, an unknown key, or a value of another type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VitexpError(
            f"--config {path} cannot be read: {error.strerror}.",
            "Give the path of a TOML file, with lines such as: epochs = 20",
        ) from error
    except ValueError as error:
        raise VitexpError(
            f"--config {path} is not TOML: {error}.", "A line of it looks like: dataset = 'digits'"
        ) from error
    return from_mapping(values, str(path))
