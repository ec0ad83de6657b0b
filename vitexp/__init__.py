"""Which Vision Transformer to train, answered with numbers one can trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"
__all__ = ["load"]


def load(out: str | Path = ".") -> pd.DataFrame:
    """The finished runs of an ``--out`` folder: one row a run, named and laid out as by
    :func:`vitexp.runs.frame.frame`.

    Raises:
        vitexp.errors.VitexpError: a result that is damaged or in another format.
    """
    from vitexp.runs import frame

    return frame.load(out)
