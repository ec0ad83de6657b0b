"""The record of the bench in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tools.honesty.claims import Answered
from tools.honesty.conditions import ASKED_FOR
from tools.honesty.measure import Measured, Rates, error
from tools.honesty.rules import BEFORE, OURS
from vitexp.analysis.decide import ALPHA, LOOKS

Found = Mapping[str, Sequence[Measured]]
"""By kind: same, some, apart."""


def page(found: Found, answered: Sequence[Answered], tables: int) -> Iterator[str]:
    """All lines."""
    limit = ALPHA + 2 * error(ALPHA, tables)
    yield from ("# How honest the verdicts are", "")
    yield (
        f"`make honesty`: {tables:,} made-up tables a condition, each looked at with"
        f" {', '.join(map(str, LOOKS))} seeds; ten cells, 360 images, sd 0.5 and half of the"
        " variance common to a seed's cells, where not said otherwise. A table is false if any"
        f" verdict in it is. May be so: {ALPHA:g} and two Monte-Carlo errors, {limit:.3f}; what is"
        " above is marked !. Covered: of 95 % intervals of single differences at 3 and at 10"
        " seeds. ± is one Monte-Carlo error."
    )
    yield from ("", "## No difference is true", "")
    yield from _false(found["same"])
    yield from ("", "## Some are, the others are not", "")
    yield from _false(found["some"])
    yield from ("", "## What is found", "")
    yield from _finds([*found["apart"], *(m for m in found["some"])])
    yield from ("", "## Seeds only for what is open (--until-decided)", "")
    yield from _until(found)
    yield from ("", "## Claims, at any look", "")
    yield from _claims(answered)
    yield from ("", "## Other rules on the same tables", "")
    yield from _rules(found)


def _false(several: Sequence[Measured]) -> Iterator[str]:
    yield "| condition | false at 3 seeds | over four looks | as it was before | covered at 3, 10 |"
    yield "|---|---|---|---|---|"
    for m in several:
        ours, before = m.rates[OURS], m.rates[BEFORE]
        yield (
            f"| {m.condition.name} | {ours.false[0]:.3f} | {_ever(ours)} | {_ever(before)}"
            f" | {m.covered[0]:.3f}, {m.covered[2]:.3f} |"
        )


def _ever(rates: Rates) -> str:
    return f"{rates.ever:.3f} ± {rates.error:.3f}{'' if rates.honest else ' !'}"


def _finds(several: Sequence[Measured]) -> Iterator[str]:
    yield (
        "| condition | found at 3 seeds | before | at 5 | before | at 10 | before"
        " | seeds to a verdict | before | covered at 3, 10 |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for m in several:
        ours, before = m.rates[OURS], m.rates[BEFORE]
        shares = (f"{rate.found[look]:.2f}" for look in (0, 1, 2) for rate in (ours, before))
        seeds = f"{ours.seeds:.1f} | {before.seeds:.1f}"
        yield (
            f"| {m.condition.name} | {' | '.join(shares)} | {seeds}"
            f" | {m.covered[0]:.3f}, {m.covered[2]:.3f} |"
        )
    yield ""
    first = [m for m in several if m.condition in ASKED_FOR]
    now, then = (float(np.mean([m.rates[name].found[0] for m in first])) for name in (OURS, BEFORE))
    yield (
        f"On average of the first {len(first)}, {now:.2f} are found at 3 seeds where {then:.2f}"
        f" were: {now / then:.2f} times as many. Seeds to a verdict: the mean look at which a"
        f" true difference is found, {LOOKS[-1]} where it is not."
    )


def _until(found: Found) -> Iterator[str]:
    """Beside a fixed number of seeds for all cells, judged at that look alone."""
    yield "| condition | runs | found | false | with 10 seeds: runs | found | false |"
    yield "|---|---|---|---|---|---|---|"
    for m in (m for kind in ("apart", "some", "same") for m in found[kind]):
        ours, until, at = m.rates[OURS], m.until, LOOKS.index(10)
        share = f"{ours.found[at]:.2f}" if ours.found else "-"
        yield (
            f"| {m.condition.name} | {until.runs:.0f}"
            f" | {'-' if until.found is None else f'{until.found:.2f}'} | {until.false:.3f}"
            f" | {10 * m.condition.cells} | {share} | {ours.false[at]:.3f} |"
        )
    apart = found["apart"]
    saved = 1 - np.mean([m.until.runs / (10 * m.condition.cells) for m in apart])
    more, fixed = (
        np.mean([m.until.found or 0 for m in apart]),
        np.mean([m.rates[OURS].found[LOOKS.index(10)] for m in apart]),
    )
    yield ""
    yield (
        f"Where cells differ: on average {100 * saved:.0f} % fewer runs than with 10 seeds of all"
        f" cells, and {more:.2f} found where those find {fixed:.2f}."
    )


def _claims(answered: Sequence[Answered]) -> Iterator[str]:
    yield "| claim | SUPPORTED | REFUTED | SUPPORTED at 3 seeds | neither is true |"
    yield "|---|---|---|---|---|"
    for a in answered:
        shares = (f"{s:.3f} ± {error(s, a.tables):.3f}" for s in (a.supported, a.refuted, a.first))
        yield f"| {a.asked.name} | {' | '.join(shares)} | {'yes' if a.asked.at_margin else ''} |"


def _rules(found: Found) -> Iterator[str]:
    yield "| rule | above the limit | the worst | found at 3 seeds | seeds to a verdict |"
    yield "|---|---|---|---|---|"
    every = [m for several in found.values() for m in several]
    asked = [m for m in found["apart"] if m.condition in ASKED_FOR]
    for name in every[0].rates:
        above = sum(not m.rates[name].honest for m in every)
        worst = max(every, key=lambda m: m.rates[name].ever)
        share = np.mean([m.rates[name].found[0] for m in asked])
        seeds = np.mean([m.rates[name].seeds for m in asked])
        yield (
            f"| {name} | {above} of {len(every)} | {worst.rates[name].ever:.3f}"
            f" ({worst.condition.name}) | {share:.2f} | {seeds:.1f} |"
        )
