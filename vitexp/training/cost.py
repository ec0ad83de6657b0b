"""What a training cost, and how well it used its device."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from vitexp.models import count
from vitexp.models.counted import executed_macs
from vitexp.spec import RunSpec
from vitexp.training.peak import Peak


def cost(
    spec: RunSpec,
    images: int,
    seconds: Mapping[str, float],
    memory: int,
    device: torch.device,
    threads: int,
    peak: Peak,
) -> dict[str, float]:
    """The metrics of a :class:`vitexp.runs.record.RunRecord` that speak of time and compute.

    Args:
        images: seen in training.
        seconds: ``prepare``, ``train`` and ``evaluate``.
        memory: bytes, at most.
        threads: of the CPU.
        peak: the device's, in the run's precision.
    """
    total, cores = sum(seconds.values()), threads if device.type == "cpu" else 1
    metrics = {
        "seconds": total,
        "device_seconds": total * cores,
        "images_per_s": images / max(seconds["train"], 1e-9),
        "peak_memory": memory,
        "peak_flops_per_s": peak.flops_per_s,
    }
    if (macs := count.macs(spec.model)) is not None:
        metrics |= {"macs": macs, "flops": count.TRAINING_FLOPS * macs * images}
    if (executed := executed_macs(spec.model)) is not None:
        metrics["macs_executed"] = executed
        metrics |= achieved(executed, metrics["images_per_s"], peak.flops_per_s)
    return metrics


def achieved(macs: int, images_per_s: float, peak: float) -> dict[str, float]:
    """FLOP/s that training computes, and their share of the peak.

    Args:
        macs: of one image's forward pass, executed.
    """
    rate = count.TRAINING_FLOPS * macs * images_per_s
    return {"flops_per_s": rate, "utilisation": rate / peak}
