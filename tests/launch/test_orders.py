"""What is sent to a worker: each order comes out of its line as it went in."""

from __future__ import annotations

from dataclasses import replace

from vitexp.launch.orders import (
    Average,
    Bench,
    Measure,
    Order,
    Pace,
    Predict,
    Resources,
    Train,
    line,
    parse,
)
from vitexp.runs.options import ExecutionOptions
from vitexp.spec import USUAL, Checkpoint, FromFile, ProbeSpec, Shown, SoupSpec


def test_every_order_comes_out_of_its_line_as_it_went_in(run_spec):
    spec, options = run_spec(), ExecutionOptions(micro_batch=4, strict=True)
    probe = ProbeSpec("few_shot", spec.data)
    file = Checkpoint(spec.model, FromFile("0" * 64, "weights.npz"))
    some = Resources(2, 1 << 30, options)
    orders: list[Order] = [
        Train(spec, some, keep=False, crash="it broke"),
        Train(spec, Resources(1)),
        Pace(spec, some, 3.0),
        Bench(spec, some, 0.5),
        Measure(spec, some, probe),
        Measure(file, some, probe),
        Predict(spec, some, Shown(None, USUAL, ("cat", "dog"), "there")),
        Predict(file, some, Shown("digits", replace(USUAL, skip_broken=True), (), "there")),
        Average(SoupSpec("greedy", ("a", "b"), ("0", "1")), some),
    ]
    for order in orders:
        assert line(order).count("\n") == 1
        assert parse(line(order)) == order
