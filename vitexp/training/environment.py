"""On what and with what a run was computed; kept with its result."""

from __future__ import annotations

import functools
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vitexp


@functools.cache
def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device, as JSON."""
    return {
        "vitexp": vitexp.__version__,
        "commit": commit(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "device_name": device_name(device),
    }


def commit() -> str | None:
    """The source checkout's commit, with ``+`` when files differ from it; None outside one."""
    home = Path(vitexp.__file__).parent
    command = ["git", "-C", str(home), "describe", "--always", "--abbrev=40", "--dirty=+"]
    if not (home.parent / ".git").exists():
        return None
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def device_name(device: torch.device) -> str:
    """The name that its maker gives to the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if device.type == "cpu" and cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or device.type


def synchronise(device: torch.device) -> None:
    """Waits for what is queued on the device; a CPU has done it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def completion(device: torch.device) -> torch.cuda.Event | None:
    """An event after all that is queued on the current stream; None where it is done already."""
    if device.type == "cuda":
        event: torch.cuda.Event = torch.cuda.current_stream(device).record_event()
        return event
    synchronise(device)
    return None


def forget_peak_memory(device: torch.device) -> None:
    """Lets :func:`peak_memory` count from now on, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        # On Linux: the largest resident set becomes the present one (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")


def taken_memory(device: torch.device) -> int:
    """Bytes that this process has on a CUDA device now; 0 elsewhere."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def peak_memory(device: torch.device) -> int:
    """Bytes: the device's allocator on CUDA, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        # Better than getrusage: there a process starts with the peak of its parent.
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
