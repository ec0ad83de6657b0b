"""What runs take, from the times of their parts."""

from __future__ import annotations

import dataclasses

from vitexp.runs.times import Times, passes, side_by_side


def test_a_run_takes_its_steps_and_every_look_at_its_images(run_spec):
    spec = run_spec(steps=40, evaluate_every=10)
    data = dataclasses.replace(spec.data, train=5000, val=70, test=90)
    spec = dataclasses.replace(spec, data=data)
    # Four validations; in the end test, 2,000 of train, and the probe: validation, and in each
    # of three draws 25 images a class.
    looked_at = 4 * 70 + 90 + 2000 + 70 + 3 * 25 * spec.model.classes
    assert Times(begin=3.0, step=0.5, image=0.25).of(spec, 40) == 3 + 20 + 0.25 * looked_at
    assert passes(spec, 10) == 10 * 3 * spec.recipe.batch + 70


def test_whoever_is_free_takes_the_next_run():
    assert side_by_side([1.0, 2.0, 1.0, 5.0], 1) == 9
    assert side_by_side([1.0, 2.0, 1.0, 5.0], 2) == 7
    assert side_by_side([], 2) == 0
