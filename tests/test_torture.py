"""Ten kills of a real study; ``make torture`` makes two hundred."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.torture import KILLS, SEEDS, Siege, differences, in_peace, workers_of


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers through /proc")
def test_ten_kills_change_not_a_bit(tmp_path):
    peace, kills = in_peace(SEEDS, tmp_path / "peace"), 0
    while kills < 10:
        siege = Siege(SEEDS, tmp_path / str(kills), random.Random(kills), longest_wait=1.5)
        siege.run(10 - kills)
        assert differences(peace, siege.out) == []
        assert siege.doubled() == []
        assert workers_of(siege.out) == []
        kills += sum(siege.tried[what] for what in KILLS)
