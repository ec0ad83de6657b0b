"""Which positional embedding should a Vision Transformer use? (Paper, appendix D.4, Table 8.)

    vitexp ablate pos-emb

Ten cells: none, and 1-D, 2-D and relative, each at the stem, in every layer or shared by all
layers; another signal (``--position sincos_2d``) is added as a further row. On the embedded
digits with 3 seeds it takes about 3 minutes on two cores: none gets about 66 %, all others
about 96 to 97 %; 360 test images do not rank the others.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from vitexp.analysis.groups import compare
from vitexp.experiment.study import Study
from vitexp.positions import PAPER_POSITIONS, placements, position_spec
from vitexp.reporting.report import Claim, Report
from vitexp.runs.record import Results
from vitexp.settings.base import Base
from vitexp.spec import PositionSpec, RunSpec
from vitexp.studies.pos_emb.cells import DECIDES, NONE, cells_of, grids_of
from vitexp.studies.pos_emb.claims import claims
from vitexp.studies.pos_emb.figure import figure
from vitexp.studies.pos_emb.notes import facts, notes
from vitexp.studies.pos_emb.report import COLUMNS, csv_rows, table


class PosEmb(Study):
    """The positional ablation: signals by placements by seeds."""

    stem: ClassVar[str] = "pos_emb"
    command: ClassVar[str] = "ablate pos-emb"
    claim_ids: ClassVar[tuple[str, ...]] = ("PE1", "PE2", "PE3")
    decides: ClassVar[tuple[str, ...]] = DECIDES
    needs: ClassVar = "transformer"

    def plan(self, base: Base, done: Results) -> list[RunSpec]:
        """All cells of the first seed, then of the next: an early stop leaves whole tables."""
        asked = base.run.position.kind
        extra = () if asked in PAPER_POSITIONS else (asked,)
        cells = [
            _position(base, kind, placement)
            for kind in (*PAPER_POSITIONS, *extra)
            for placement in placements(kind)
        ]
        return [base.cell(cell, seed) for seed in base.seeds for cell in cells]

    def label(self, spec: RunSpec) -> tuple[str, str]:
        return spec.position.kind, spec.position.placement

    def grids(self, done: Results) -> list[Results]:
        return [grid for grid in grids_of(done) if len(cells_of(grid)) > 1]

    def report(self, grid: Results) -> Report:
        cells = cells_of(grid)
        others = {key: group for key, group in cells.items() if key != NONE}
        against_none = compare(others, cells[NONE]) if NONE in cells else {}
        name = next(iter(grid)).spec.data.name
        return Report(
            stem=self.stem,
            title=f"Positional embeddings on {name}: test top-1 in %",
            facts=facts(cells),
            tables=(table(cells, against_none),),
            columns=COLUMNS,
            rows=csv_rows(cells, against_none),
            figures=(figure(cells, against_none),),
            claims=claims(cells),
            notes=notes(cells, against_none),
        )

    def verdicts(self, grid: Results) -> tuple[Claim, ...]:
        return claims(cells_of(grid))


def _position(base: Base, kind: str, placement: str) -> PositionSpec:
    position = position_spec(kind, placement, base.std_of(kind))
    if kind != "relative":
        return position
    asked = base.run.position
    return dataclasses.replace(position, scaled=asked.scaled, per_head=asked.per_head)
