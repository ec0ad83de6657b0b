"""Which devices there are, found out without importing torch."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import platform
import re
from pathlib import Path

from vitexp.errors import VitexpError, unknown
from vitexp.spec import Precision


def resolve(device: str) -> tuple[str, ...]:
    """The devices that ``--device`` means: one worker runs on each (on a CPU, one on each core).

    Args:
        device: ``auto`` (all CUDA devices, else Apple's MPS, else the CPU), ``cpu``, ``mps``,
            ``cuda`` (all) or ``cuda:N``.

    Raises:
        VitexpError: not a device, or one that is not there.
    """
    cuda = tuple(f"cuda:{index}" for index in range(cuda_devices()))
    if device == "auto":
        return cuda or (("mps",) if has_mps() else ("cpu",))
    if device == "cpu":
        return ("cpu",)
    if device == "mps":
        if not has_mps():
            raise VitexpError("There is no MPS device here.", "Use --device cpu or --device auto.")
        return ("mps",)
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise unknown("device", device, ["auto", "cpu", "mps", "cuda", "cuda:0"])
    if device == "cuda" and cuda:
        return cuda
    if device in cuda:
        return (device,)
    there = f"Devices here: {', '.join([*cuda, 'cpu'])}."
    why = "" if torch_has_cuda() else " The installed torch is a build without CUDA."
    raise VitexpError(f"There is no device {device!r}.{why}", f"{there} Use --device auto.")


def precision(wanted: str, device: str) -> Precision:
    """``auto`` is bf16 on CUDA and on CPUs with native bf16, else fp32.

    Raises:
        VitexpError: not a precision.
    """
    if wanted == "auto":
        fast = device.startswith("cuda") or (device == "cpu" and cpu_has_bf16())
        return "bf16" if fast else "fp32"
    if wanted not in ("fp32", "bf16"):
        raise unknown("precision", wanted, ["auto", "fp32", "bf16"])
    return "bf16" if wanted == "bf16" else "fp32"


def jobs(devices: tuple[str, ...], wanted: int | None, runs: int) -> int:
    """How many workers: one a core or one a device, and no more than there are runs.

    A CPU worker has cores // jobs threads, and their number changes a sum's last bits; so
    ``runs`` counts the whole plan, not what is left of it.

    Raises:
        VitexpError: fewer than one was asked for.
    """
    if wanted is not None and wanted < 1:
        raise VitexpError(f"--jobs {wanted} leaves nobody to work.", "Use --jobs 1 or more.")
    count = wanted or (cores() if devices == ("cpu",) else len(devices))
    return max(1, min(count, runs))


TOGETHER = 8
"""Runs that a worker takes at once on a CUDA device, at most."""


def together(devices: tuple[str, ...], wanted: int | None) -> int:
    """How many runs each worker may take at once, should that be faster than one by one.

    Where a number of jobs was asked for, each is a process of its own with one run. A core of a
    CPU is busy with one.
    """
    return TOGETHER if wanted is None and devices[0].startswith("cuda") else 1


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def cuda_devices() -> int:
    """CUDA devices that both the driver and the installed torch can use."""
    driver, count = _driver() if torch_has_cuda() else None, ctypes.c_int()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@functools.cache
def _driver() -> ctypes.CDLL | None:
    """CUDA's driver, ready to be asked; None where there is none that works."""
    try:
        driver = ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None


def cuda_name(device: str) -> str:
    """What its maker calls a CUDA device, such as ``cuda:0``."""
    driver, handle, name = _driver(), ctypes.c_int(), ctypes.create_string_buffer(256)
    assert driver is not None
    assert driver.cuDeviceGet(ctypes.byref(handle), _index(device)) == 0
    assert driver.cuDeviceGetName(name, len(name), handle) == 0
    return name.value.decode()


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


@functools.cache
def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.exists() and bool(re.search(r"^cuda\b[^=]*= *['\"]", version.read_text(), re.M))


def memory(device: str) -> int | None:
    """Bytes for training: a CUDA device's whole memory, else what the host has to spare.

    Returns:
        None where that cannot be found out.
    """
    if device.startswith("cuda"):
        return _cuda_memory(_index(device))
    meminfo = Path("/proc/meminfo")
    found = (
        re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text()) if meminfo.exists() else None
    )
    return 1024 * int(found[1]) if found else None


def _cuda_memory(index: int) -> int | None:
    driver, handle, size = _driver(), ctypes.c_int(), ctypes.c_size_t()
    if driver is None or driver.cuDeviceGet(ctypes.byref(handle), index) != 0:
        return None
    return size.value if driver.cuDeviceTotalMem_v2(ctypes.byref(size), handle) == 0 else None


def has_mps() -> bool:
    """Whether this is a Mac with Apple's own chip."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.M)
    return flags is not None and bool({"avx512_bf16", "amx_bf16"} & set(flags[1].split()))
