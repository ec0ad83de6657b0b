"""How far heads look, by layer (paper, section 4.5 and Figures 7 and 11)."""

from __future__ import annotations

from vitexp.tasks.look.heads import Measure


def distance() -> Measure:
    """The mean attention distance, in pixels."""
    from vitexp.evaluation.attention import distances, uniform_distance

    return Measure(
        "distance",
        "distance",
        "Mean attention distance of each head",
        "mean attention distance (pixels)",
        "Weights between patches alone, scaled to sum to 1 for each query.",
        distances,
        uniform_distance,
    )
