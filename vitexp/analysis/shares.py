"""A share of images with its uncertainty."""

from __future__ import annotations

import math

_NORMAL_95 = 1.959963984540054


def share_interval(right: int, images: int) -> tuple[float, float]:
    """Of a share, over images like these, at 95 %: Wilson's interval (1927), which stays within
    [0, 1] and has a length at its ends, too.

    Args:
        right: of so many ``images``, at least one.
    """
    share, z2 = right / images, _NORMAL_95**2
    middle = (share + z2 / (2 * images)) / (1 + z2 / images)
    spread = math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
    half = _NORMAL_95 * spread / (1 + z2 / images)
    return max(0.0, middle - half), min(1.0, middle + half)
