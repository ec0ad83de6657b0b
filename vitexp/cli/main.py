"""The program ``vitexp``: its commands, its one error message and its exit codes.

0 done, 1 some runs failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from vitexp import __version__
from vitexp.cli.ablate import ablate
from vitexp.cli.bench import bench
from vitexp.cli.claims import claims
from vitexp.cli.compare import compare
from vitexp.cli.data import data
from vitexp.cli.finetune import finetune
from vitexp.cli.look import look
from vitexp.cli.models import models
from vitexp.cli.page import report
from vitexp.cli.power import power
from vitexp.cli.predict import predict
from vitexp.cli.probe import probe
from vitexp.cli.report import plot, table
from vitexp.cli.runs import runs
from vitexp.cli.scale import scale
from vitexp.cli.soup import soup
from vitexp.cli.train import train
from vitexp.cli.weights import weights
from vitexp.cli.whole import Whole
from vitexp.errors import VitexpError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
_PANELS = 100
"""Columns of a terminal in which panels of flags cut nothing off."""

app = typer.Typer(
    name="vitexp",
    help="Which Vision Transformer to train, answered with numbers one can trust.",
    no_args_is_help=True,
    cls=Whole,
    pretty_exceptions_enable=False,
    # Panels cut words off where they have no room.
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= _PANELS else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vitexp {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Which Vision Transformer to train, answered with numbers one can trust."""


COMMANDS = (
    *(ablate, scale, train, finetune, soup, probe, predict, look),
    *(table, plot, report, claims, compare, power, models, bench, data),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(runs, name="runs")
app.add_typer(weights, name="weights")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        _never_refuse(stream)
    try:
        app(args=arguments, prog_name="vitexp")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except VitexpError as error:
        _refuse(error)
    except OSError as error:
        _refuse(_disk_error(error))


def _never_refuse(stream: TextIO) -> None:
    # A terminal that knows only ASCII shows '?' rather than stopping a study.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _refuse(error: VitexpError) -> None:
    from vitexp.cli import screen

    screen.say(f"Error: {error.problem}\n{error.remedy}")
    sys.exit(USAGE)


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _disk_error(error: OSError) -> VitexpError:
    """Why a path cannot be used; an error that names none is a fault of this program."""
    if error.filename is None and error.errno not in _DISK:
        raise error
    where = error.filename or "The disk"
    return VitexpError(
        f"{where} cannot be read or written: {error.strerror}.",
        "Free some space there, or choose another folder with --out.",
    )
