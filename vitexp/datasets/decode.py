"""One encoded image -> upright, 8 bits a channel, RGB or grey, square.

Ours, because common decoders saturate 16-bit images, blacken float TIFFs and show the hidden
colour under transparent pixels.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from vitexp.datasets.source import UnreadableError

MAX_PIXELS = 100_000_000

# Only formats that Pillow decodes itself: EPS, for one, would start an interpreter.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000") + (
    ("AVIF",) if importlib.util.find_spec("PIL.AvifImagePlugin") else ()
)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Layout:
    """The shape that every image of a set is stored in.

    Attributes:
        side: of the stored square, in pixels.
        channels: 1 or 3.
        resize: whether other sizes are brought to ``side``; else each image must have it.
    """

    side: int
    channels: int
    resize: bool


class MisfitError(Exception):
    """An image that does not fit the layout guessed so far; ``layout`` fits it too."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.layout = layout


def is_image(path: Path) -> bool:
    """Whether a file's content, whatever its name, is an image in a format that is read here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=_FORMATS).close()
    except Image.DecompressionBombError:
        return True
    # A file that is no image can make a format's reader stumble over anything.
    except Exception:
        return False
    return True


def upright(encoded: bytes) -> Image.Image:
    """Decode the first frame of an image file.

    16-bit values are divided by 257. 32-bit integers and floats are scaled by the first of
    these ranges that holds all of the image's values: [0, 1] (floats only), [0, 255],
    [0, 65535]. Alpha is composited on white, and EXIF orientation is applied.

    Returns:
        An image of mode ``L`` where the file is grey (by its mode, or all of a palette's
        colours in use), else ``RGB``.

    Raises:
        UnreadableError: not an image, truncated, over 100 megapixels, values out of range.
    """
    if not encoded:
        raise UnreadableError("the file is empty")
    try:
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableError(f"{image.width}x{image.height} pixels; at most 100 megapixels")
        image.load()
        return _turned(image, _eight_bits(image))
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image in a format that is read here") from error
    except UnreadableError:
        raise
    # Damaged files raise whatever the decoder stumbled over.
    except Exception as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


def shorter_side(read: Callable[[], bytes]) -> int | None:
    """Of an image in pixels, by its header; None where it cannot be read."""
    try:
        with Image.open(io.BytesIO(read()), formats=_FORMATS) as image:
            return min(image.size)
    # A file that is no image can make a format's reader stumble over anything.
    except Exception:
        return None


def fit(image: Image.Image, layout: Layout) -> np.ndarray:
    """The image in ``layout``: its centre square, resized (bicubic, antialiased).

    Returns:
        uint8, shape (side, side, channels).

    Raises:
        MisfitError: a colour image for one channel, or another size where sizes are kept.
    """
    side = layout.side
    if layout.channels == 1 and image.mode != "L":
        raise MisfitError(Layout(side, 3, layout.resize))
    if image.size != (side, side):
        if not layout.resize:
            raise MisfitError(Layout(VARYING_SIDE, layout.channels, True))
        image = _square(image, side)
    mode = "L" if layout.channels == 1 else "RGB"
    return np.asarray(image.convert(mode)).reshape(side, side, layout.channels)


VARYING_SIDE = 224
"""Largest side of the stored images where the source's sizes differ and none was asked for."""


def guess(image: Image.Image, image_size: int | None) -> Layout:
    """The layout that a set has if all its images are like this one."""
    channels = 1 if image.mode == "L" else 3
    if image_size is not None:
        return Layout(image_size, channels, True)
    if image.width != image.height:
        return Layout(VARYING_SIDE, channels, True)
    return Layout(image.width, channels, False)


def _square(image: Image.Image, side: int) -> Image.Image:
    # Cropping first equals resizing the shorter side and cropping then, and a 1 x 100,000
    # image does not become 224 x 22,400,000 on the way.
    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
    box = (left, top, left + short, top + short)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _turned(source: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(_ORIENTATION)
    # A damaged EXIF block says nothing about the pixels, which are already here.
    except Exception:
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values, clear = np.asarray(image), image.info.get("transparency")
        return Image.fromarray(np.where(values == clear, np.uint8(255), _scaled(values)))
    if image.has_transparency_data:
        flat = _on_white(image)
    else:
        flat = image.convert("L" if image.mode in ("1", "L") else "RGB")
    return flat.convert("L") if image.mode in ("P", "PA") and _is_grey(flat) else flat


def _on_white(image: Image.Image) -> Image.Image:
    mode = "LA" if image.mode in ("1", "L", "LA") else "RGBA"
    image = image.convert(mode)
    white = Image.new(mode[:-1], image.size, "white")
    white.paste(image.convert(mode[:-1]), mask=image.getchannel("A"))
    return white


def _is_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def _scaled(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "u":
        return np.rint(values / 257).astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    limits = (1, 255, 65535) if values.dtype.kind == "f" else (255, 65535)
    for limit in limits:
        if low >= 0 and high <= limit:
            return np.rint(values * (255 / limit)).astype(np.uint8)
    raise UnreadableError(f"values from {low:g} to {high:g}; they must lie in 0..65535")
