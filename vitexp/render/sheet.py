"""A contact sheet: some images of each class, as a model is shown them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont, truetype

from vitexp.datasets.image_set import ImageSet, Split

CLASSES = 30
"""Rows, at most."""
_TRAIN, _TEST = 8, 4
_TILE, _GAP, _NAME, _HEAD = 64, 4, 160, 20


def sheet(images: ImageSet) -> bytes:
    """A PNG with a row a class: its name, eight images of train, four of test.

    Images are spread evenly over each class's; larger or smaller ones become 64 pixels wide.
    """
    rows = min(CLASSES, len(images.names))
    step = _TILE + _GAP
    width = _NAME + (_TRAIN + _TEST) * step + 4 * _GAP
    picture = Image.new("RGB", (width, _HEAD + rows * step), "white")
    # The font of the figures: Pillow's own lacks accents.
    font = truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 11)
    draw = ImageDraw.Draw(picture)
    test = _NAME + _TRAIN * step + 4 * _GAP
    draw.text((_NAME, 3), "train", "black", font)
    draw.text((test, 3), "test", "black", font)
    for label, name in enumerate(images.names[:rows]):
        top = _HEAD + label * step
        draw.text((_GAP, top + _TILE // 3), _short(name, font), "black", font)
        for left, split, count in ((_NAME, images.train, _TRAIN), (test, images.test, _TEST)):
            for place, tile in enumerate(_tiles(split, label, count)):
                picture.paste(tile, (left + place * step, top))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _short(name: str, font: FreeTypeFont) -> str:
    """The name, or as much of its two ends as there is room for."""
    name = shown = " ".join(name.split())
    kept = len(name)
    while font.getlength(shown) > _NAME - 2 * _GAP:
        kept -= 1
        shown = f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"
    return shown


def _tiles(split: Split, label: int, count: int) -> Iterator[Image.Image]:
    own = np.flatnonzero(split.labels == label)
    for row in own[np.linspace(0, len(own) - 1, min(count, len(own))).astype(int)]:
        pixels = split.images[row]
        tile = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
        small = tile.width < _TILE
        how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        yield tile.resize((_TILE, _TILE), how)
