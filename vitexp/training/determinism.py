"""The same bits again on a CUDA device, at the price of some speed.

cuBLAS needs a fixed workspace, too: it reads CUBLAS_WORKSPACE_CONFIG when a process first uses
it, so that is set where the process is started (``launch/pool.py``).
"""

from __future__ import annotations

import torch


def set_deterministic(on: bool) -> None:
    """Whether this process, from now on, uses only kernels that give the same bits again.

    With it an operation that has no such kernel raises a RuntimeError, and float32 convolutions
    are not rounded to TF32.
    """
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = on
    torch.backends.cudnn.allow_tf32 = not on
