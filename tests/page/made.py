"""Results folders of made-up runs on the real digits, written as the program writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.synthetic import PAPER_CELLS, draw, record, spec
from vitexp.datasets.load import describe
from vitexp.experiment.plan import Plan
from vitexp.runs import plans
from vitexp.runs.files import json_bytes
from vitexp.runs.record import RunRecord, pack_classes
from vitexp.spec import to_json

Key = tuple[str, str]


def records(seeds: int, points: int = 20, **data: str) -> dict[Key, list[RunRecord]]:
    """The ten cells of the paper's table, each run with a course; a wrong digit is taken for the
    next. ``data`` names the digits anew."""
    digits, images = describe("digits")
    right = draw(np.random.default_rng(0), [0.75] + [0.96] * 9, seeds, digits.test)
    return {
        (kind, placement): [
            record(
                replace(spec(kind, placement, seed), data=replace(digits, **data)),  # type: ignore[arg-type]
                row,
                mistaken=pack_classes((images.test.labels[~row] + 1) % 10),
                curve=list(_course(points, float(row.mean()))),
            )
            for seed, row in enumerate(rows)
        ]
        for (kind, placement), rows in zip(PAPER_CELLS, right, strict=True)
    }


def _course(points: int, end: float) -> Iterator[dict[str, float]]:
    for i in range(1, points + 1):
        share = i / points
        loss = 2.3 * (1 - share) ** 2 + 0.01
        yield {"step": 400 * share, "train_loss": loss, "val_top1": end * share**0.2}


def store(out: Path, found: dict[Key, list[RunRecord]]) -> Path:
    """``out``, with these runs done and asked for by the positional ablation."""
    cells = {key: [one.spec for one in several] for key, several in found.items()}
    plans.keep(out, Plan(cells, ("none", "stem")).asked("pos_emb", "pos_emb"))
    for one in (one for several in found.values() for one in several):
        folder = out / "runs" / one.id
        folder.mkdir(parents=True)
        (folder / "spec.json").write_bytes(json_bytes(to_json(one.spec)))
        (folder / "result.json").write_bytes(json_bytes(one.to_json()))
    return out
