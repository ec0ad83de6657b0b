"""``make honesty``: false verdicts, power and coverage on made-up tables; a record of them.

    python -m tools.honesty [--tables 1000] [--seed 0] [--out tables]

About 10 minutes on one core. Above 0.05 and two Monte-Carlo errors nothing fails: the record
marks it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tools.honesty.claims import ASKED, Answered, answer
from tools.honesty.conditions import CONDITIONS
from tools.honesty.measure import Measured, measure
from tools.honesty.page import page
from tools.honesty.rules import OURS, RULES


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.honesty", description=__doc__)
    parser.add_argument("--tables", type=int, default=1000, help="of each condition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tables"))
    asked = parser.parse_args()
    found: dict[str, list[Measured]] = {kind: [] for kind in CONDITIONS}
    for kind, conditions in CONDITIONS.items():
        for condition in conditions:
            measured = measure(condition, RULES, asked.tables, asked.seed)
            found[kind].append(measured)
            print(f"{measured.rates[OURS].ever:.3f} {condition.name}", flush=True)
    answered = [answer(one, asked.tables, asked.seed) for one in ASKED]
    asked.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(page(found, answered, asked.tables)) + "\n"
    (asked.out / "honesty.md").write_text(text)
    record = json.dumps(_plain(found, answered), indent=1) + "\n"
    (asked.out / "honesty.json").write_text(record)


def _plain(found: dict[str, list[Measured]], answered: list[Answered]) -> dict[str, object]:
    conditions = {kind: [asdict(m) for m in several] for kind, several in found.items()}
    claims = [
        {"claim": a.asked.name, "supported": a.supported, "refuted": a.refuted, "first": a.first}
        for a in answered
    ]
    return {**conditions, "claims": claims}


if __name__ == "__main__":
    main()
