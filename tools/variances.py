"""The catalogue of variances that ``vitexp power`` goes by where there are no runs yet.

    python -m tools.variances RESULTS...      (folders of finished studies)

Writes vitexp/catalog/variances.csv: a row a folder, its runs all on one data set.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from vitexp.runs.store import Store
from vitexp.tasks.power import seen

EFFECT = 0.01
"""That one would like to find, as a share."""

FILE = Path("vitexp/catalog/variances.csv")


def main() -> None:
    rows = []
    for out in map(Path, sys.argv[1:]):
        done = Store(out).results()
        (data,) = {record.spec.data.name for record in done}
        found = seen(out, done, data, EFFECT)
        rows.append({"data": data, "pairs": found.pairs, **asdict(found.variances)})
    pd.DataFrame(rows).to_csv(FILE, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
