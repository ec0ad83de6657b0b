"""``vitexp finetune``: a trained model goes on to other images, or larger ones."""

from __future__ import annotations

from typing import Annotated

import typer

from vitexp.cli.flags import Json, with_settings
from vitexp.cli.options import DryRun, Manner, Notes, Probe, Quiet, Weights, copy_of, detail
from vitexp.settings.flags import Settings

Source = Annotated[
    str,
    typer.Option(
        "--from", help="a run's id, or a file or folder of weights, whatever it is called"
    ),
]
Rates = Annotated[
    str, typer.Option(help="learning rates to choose from on validation [the recipe's]")
]


@with_settings
def finetune(
    settings: Settings,
    source: Source,
    rates: Rates = "",
    weights: Weights = None,
    dry_run: DryRun = False,
    probe: Probe = True,
    notes: Notes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fine-tune a trained model: new zero-initialised head, SGD, the best of several rates.

    Runs that it starts from and that are not done are trained first. --image-size may be larger
    than in pre-training: positional tables are interpolated.
    """
    from vitexp.cli import execute, study
    from vitexp.studies.finetune.study import FineTune

    asked = _numbers(rates), copy_of(weights)
    machine, base = execute.prepare_finetune(settings, source, *asked)
    manner = Manner(dry_run, probe, json, detail(notes, quiet))
    study.carry_out(FineTune(), "finetune", machine, base, manner)


def _numbers(text: str) -> tuple[float, ...]:
    from vitexp.errors import VitexpError

    try:
        numbers = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = (-1.0,)
    if any(not 0 < number < float("inf") for number in numbers):
        raise VitexpError(f"--rates is {text!r}.", "Write numbers above 0: --rates 0.01,0.03,0.1.")
    return numbers
