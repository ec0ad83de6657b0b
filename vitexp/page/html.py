"""The page as HTML: templates, styles and scripts put into one file."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from importlib import resources
from typing import Any

import jinja2

from vitexp import __version__
from vitexp.amounts import amount, duration, size
from vitexp.page.answer import Answer
from vitexp.page.compute import spent
from vitexp.page.contents import Contents
from vitexp.page.plotting import scripts as plotting_scripts
from vitexp.page.policy import policy
from vitexp.page.prose import plain, prose
from vitexp.render.figure import svg
from vitexp.reporting.report import Figure
from vitexp.reporting.words import effect

SCRIPTS = ("dom", "data", "svg", "bokeh", "curves", "list", "details", "cell", "page")
"""Files of ``static/``, in the order in which they need one another."""


FIGURES = 30
"""Tables whose figures are drawn, at most: each takes a third of a second and 150 kB."""


LATEST = 3
"""Answers of a study whose findings stand at the head of the page, at most."""


def html(contents: Contents) -> str:
    """The whole file."""
    found = list(_found(contents))
    scripts = [*plotting_scripts(), _script()]
    template = _environment().get_template("page.html")
    return template.render(
        contents=contents,
        studies=_by_study(contents),
        found=found,
        silent=[each for each in contents.answers if each.anchor not in {a.anchor for a in found}],
        drawn=_drawn(contents),
        ledger=list(_ledger(contents)),
        states=Counter(one.entry.state for one in contents.runs),
        spent=spent(contents.runs),
        made=datetime.now().astimezone(),
        version=__version__,
        policy=policy(scripts),
        scripts=scripts,
        style=_static("page.css") + _static("print.css"),
    )


def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("vitexp.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "prose": prose,
        "picture": _picture,
        "about": _about,
        "amount": amount,
        "bytes": size,
        "duration": duration,
    }
    return found


def _static(name: str) -> str:
    return resources.files("vitexp.page").joinpath("static", name).read_text(encoding="utf-8")


def _script() -> str:
    return "\n".join(_static(f"{name}.js") for name in SCRIPTS)


def _picture(figure: Figure) -> str:
    """A figure as a data URL."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(figure)).decode()}"


def _about(figure: Figure) -> str:
    """A figure in words, for those who do not see it."""
    said = getattr(figure, "setting", ""), *getattr(figure, "remarks", ())
    return ". ".join(filter(None, (figure.title, *said)))


def _by_study(contents: Contents) -> dict[str, list[Answer]]:
    """The answers of each study, in the order of the page."""
    found: dict[str, list[Answer]] = {}
    for answer in contents.answers:
        found.setdefault(answer.study, []).append(answer)
    return found


def _found(contents: Contents) -> Iterator[Answer]:
    """The answers that findings are of: of each study the latest that have something to say."""
    for several in _by_study(contents).values():
        yield from [answer for answer in several if answer.report.headline][-LATEST:]


def _drawn(contents: Contents) -> set[str]:
    """Anchors of the answers whose figures are drawn: of each study the latest ones."""
    by_age = (reversed(several) for several in _by_study(contents).values())
    rounds = itertools.zip_longest(*by_age)
    latest = [answer.anchor for several in rounds for answer in several if answer]
    return set(latest[:FIGURES])


def _ledger(contents: Contents) -> Iterator[dict[str, Any]]:
    """Each entry with the part of the page that supports it."""
    for claim in contents.claims:
        plain_claim = replace(claim, grid="")
        said = (answer for answer in contents.answers if plain_claim in answer.report.claims)
        answer = next(said, None)
        yield {
            "claim": claim,
            "anchor": answer and answer.anchor,
            "effect": effect(claim.effect, claim.low, claim.high),
        }
