"""Runs as a data frame: mean and spread of each model's accuracy, as in a notebook.

python examples/frame.py RESULTS      (a folder that --out named)
"""

import sys

import vitexp

runs = vitexp.load(sys.argv[1])
reported = runs[(runs["status"] == "done") & (runs["seed"] < 1_000_000)]
cells = reported.groupby(["data.name", "model.name", "model.vit.position.kind"], dropna=False)
print(cells["test_top1"].agg(["count", "mean", "std"]).to_string())
