"""A study by its name, as it is typed."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isabstract

from vitexp.errors import VitexpError
from vitexp.experiment.study import Study
from vitexp.registry import is_reference
from vitexp.settings.flags import Settings
from vitexp.studies import STUDIES


def study_of(name: str) -> Study:
    """The study that ``name`` stands for, with its own flags left out.

    Raises:
        VitexpError: unknown, or something in a file that is not a study.
    """
    return configured(name, {}, Settings())


def configured(name: str, own: Mapping[str, str], settings: Settings) -> Study:
    """The study that ``name`` stands for, with its own flags.

    Raises:
        VitexpError: unknown, something in a file that is not a study, or a flag that it lacks.
    """
    found = STUDIES.load(name)
    if isinstance(found, type) and issubclass(found, Study) and not isabstract(found):
        if is_reference(name):
            found.command = f"ablate {name}"
        return found.configured(own, settings)
    raise VitexpError(
        f"{name} is not a study.",
        "Give a class that derives from vitexp.experiment.study.Study and defines its methods.",
    )
