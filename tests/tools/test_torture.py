"""Ten kills of a real study; ``make torture`` makes two hundred."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.processes import wait_until_gone
from tools.torture import KILLS, SEEDS, Attack, differences, on, undisturbed
from vitexp.launch.devices import cuda_devices

pytestmark = pytest.mark.skipif(
    not Path("/proc").exists(), reason="finds the workers through /proc"
)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not cuda_devices(), reason="needs a CUDA device"),
            ],
        ),
    ],
)
def test_ten_kills_change_not_a_bit(tmp_path, device):
    study, kills = on(device, SEEDS), 0
    expected = undisturbed(study, tmp_path / "undisturbed")
    while kills < 10:
        attack = Attack(study, tmp_path / str(kills), random.Random(kills), longest_wait=1.5)
        attack.run(10 - kills)
        assert differences(expected, attack.out) == []
        assert attack.doubled() == []
        wait_until_gone(attack.out)
        kills += sum(attack.tried[what] for what in KILLS)
