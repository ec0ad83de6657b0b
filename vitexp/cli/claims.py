"""``vitexp claims``: the paper's claims, judged on all finished runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vitexp.cli.flags import Json, Out


def claims(out: Out = Path("."), json: Json = False) -> None:
    """Judge each claim of the paper on the finished runs; write tables/claims.{md,csv,tex}.

    SUPPORTED, REFUTED, INCONCLUSIVE or NOT RUN, with the effect, its interval and what would
    settle an open one.
    """
    from vitexp.cli import screen
    from vitexp.cli.report import study_of
    from vitexp.errors import VitexpError
    from vitexp.experiment import ledger
    from vitexp.render import write_tables
    from vitexp.runs.store import Store
    from vitexp.studies import STUDIES

    done = Store(out).results()
    if not done:
        raise VitexpError(
            f"No finished runs in {out / 'runs'}.",
            "Run a study first, with `vitexp ablate pos-emb`, or choose another --out.",
        )
    judged = ledger.ledger(map(study_of, STUDIES), done)
    report = ledger.report(judged)
    files = write_tables(report, out)
    if json:
        return screen.emit(ledger.as_rows(judged))
    from vitexp.render.console import console

    # A line a claim reads better on a screen than a table of sentences.
    screen.stdout().print(console(replace(report, tables=(), claims=judged)))
    screen.say(f"Wrote {', '.join(map(str, files))}.")
