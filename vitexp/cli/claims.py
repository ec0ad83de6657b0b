"""``vitexp claims``: the paper's claims, judged on all finished runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import StudyName, canonical


def claims(study: StudyName = None, out: Out = Path("."), json: Json = False) -> None:
    """Judge each claim of the paper on the finished runs; write tables/claims.{md,csv,tex}.

    With a study, only its claims are printed; the files have all.

    SUPPORTED, REFUTED, INCONCLUSIVE or NOT RUN, with the effect, its interval and what would
    settle an open one.
    """
    from vitexp.cli import screen
    from vitexp.errors import VitexpError
    from vitexp.experiment import ledger
    from vitexp.experiment.answers import grids
    from vitexp.render import write_tables
    from vitexp.runs.store import Store
    from vitexp.studies import STUDIES
    from vitexp.studies.named import study_of

    done = Store(out).results()
    if not done:
        raise VitexpError(
            f"No finished runs in {out / 'runs'}.",
            "Run a study first, with `vitexp ablate pos-emb`, or choose another --out.",
        )
    studies = {name: study_of(name) for name in STUDIES}
    wanted = study_of(canonical(study)).claim_ids if study else None
    judged = ledger.ledger((s, grids(s, name, out, done)) for name, s in studies.items())
    report = ledger.report(judged)
    files = write_tables(report, out)
    judged = tuple(claim for claim in judged if wanted is None or claim.id in wanted)
    if json:
        return screen.emit(ledger.as_rows(judged))
    from vitexp.render.console import console

    tested = [claim for claim in judged if claim.standing != "NOT RUN"]
    open_still = [claim for claim in judged if claim.standing == "NOT RUN"]
    # A line a claim reads better on a screen than a table of sentences.
    named = tuple(replace(c, sentence=f"On {c.where}: {c.sentence}") for c in tested)
    screen.stdout().print(console(replace(report, tables=(), claims=named, notes=())))
    by_reason: dict[str, list[str]] = {}
    for claim in open_still:
        here = f"On {claim.where}: {claim.evidence} {claim.settle}".rstrip()
        reason = here if claim.dataset else claim.settle or "No study here tests these."
        by_reason.setdefault(reason, []).append(claim.id)
    for reason, ids in by_reason.items():
        screen.stdout().print(f"NOT RUN  {', '.join(ids)}. {reason}")
    for note in report.notes:
        screen.stdout().print(note)
    screen.say(f"Wrote {', '.join(map(str, files))}.")
