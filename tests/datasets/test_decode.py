"""Every kind of image comes out upright, with known pixels, or says why it cannot."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.pictures import pixels, png
from vitexp.datasets import decode
from vitexp.datasets.source import UnreadableError


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey16(dtype):
    return Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=dtype))


def test_grey_palette_alpha_and_deep_images_come_out_with_known_pixels():
    two_grey = [[0, 100], [200, 255]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    grey_palette = Image.new("P", (2, 1))
    grey_palette.putpalette([9, 9, 9, 70, 70, 70])
    grey_palette.putdata([0, 1])
    hidden = Image.fromarray(np.array([[[255, 0, 0, 0], [10, 20, 30, 255]]], dtype=np.uint8))
    half = Image.fromarray(np.array([[[0, 51], [0, 255]]], dtype=np.uint8), "LA")
    floats = Image.fromarray(np.array([[0, 0.5], [0.25, 1]], dtype=np.float32))
    wide_floats = Image.fromarray(np.array([[0, 100], [200, 255]], dtype=np.float32))
    cases = {
        "16-bit PNG": (encoded(grey16(np.uint16), "PNG"), "L", two_grey),
        "16-bit TIFF": (encoded(grey16(np.uint16), "TIFF"), "L", two_grey),
        "32-bit TIFF": (encoded(grey16(np.int32), "TIFF"), "L", two_grey),
        "float TIFF to 1": (encoded(floats, "TIFF"), "L", [[0, 128], [64, 255]]),
        "float TIFF to 255": (encoded(wide_floats, "TIFF"), "L", two_grey),
        "bilevel": (encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG"),
                    "L", [[0, 255]]),
        "palette": (encoded(palette, "PNG"), "RGB", [[[255, 0, 0], [0, 0, 255]]]),
        "grey palette": (encoded(grey_palette, "GIF"), "L", [[9, 70]]),
        "palette with a clear colour": (encoded(palette, "PNG", transparency=0), "RGB",
                                        [[[255, 255, 255], [0, 0, 255]]]),
        "grey with a clear level": (encoded(Image.fromarray(np.array([[7, 8]], np.uint8)), "PNG",
                                            transparency=7), "L", [[255, 8]]),
        "16 bits with a clear level": (encoded(grey16(np.uint16), "PNG", transparency=25700), "L",
                                       [[0, 255], [200, 255]]),
        "colour under alpha": (encoded(hidden, "PNG"), "RGB", [[[255, 255, 255], [10, 20, 30]]]),
        "grey and alpha": (encoded(half, "PNG"), "L", [[204, 0]]),
        "CMYK": (encoded(Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "TIFF"), "RGB",
                 [[[0, 255, 255]]]),
    }  # fmt: skip
    for name, (data, mode, expected) in cases.items():
        image = decode.upright(data)
        assert image.mode == mode, name
        assert np.asarray(image).tolist() == expected, name


def test_a_cmyk_jpeg_is_not_a_negative():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    image = decode.upright(data)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(kind, orientation):
    array = pixels(1, size=(3, 2))
    stored = {
        1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1],
        5: array.transpose(1, 0, 2), 6: np.rot90(array, 1),
        7: array[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(array, -1),
    }[orientation]  # fmt: skip
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(image, kind, exif=exif, **options)
    assert np.asarray(decode.upright(data)).tolist() == array.tolist()


def test_a_16_bit_image_is_turned_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode.upright(encoded(grey16(np.uint16), "PNG", exif=exif))
    assert np.asarray(image).tolist() == [[200, 0], [255, 100]]


def test_a_16_bit_colour_png_keeps_its_colours():
    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    values = [257 * v for v in (0, 100, 255, 7, 8, 9)]
    data = zlib.compress(b"\0" + struct.pack(">6H", *values))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    image = decode.upright(b"\x89PNG\r\n\x1a\n" + parts)
    assert np.asarray(image).tolist() == [[[0, 100, 255], [7, 8, 9]]]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_make_an_image_unreadable():
    data = encoded(Image.fromarray(pixels(1)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode.upright(data).size == (8, 8)


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode.upright(data))[0, 0].tolist() == [255, 0, 0]


@functools.cache
def broken_files():
    whole = png(pixels(0, (64, 64)))
    jpeg = encoded(Image.fromarray(pixels(0, (64, 64))), "JPEG")
    bomb = encoded(Image.new("1", (20_000, 6_000)), "PNG")
    huge = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    too_deep = encoded(Image.fromarray(np.full((2, 2), 1e6, dtype=np.float32)), "TIFF")
    negative = encoded(Image.fromarray(np.full((2, 2), -1, dtype=np.int32)), "TIFF")
    missing = encoded(Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)), "TIFF")
    return {
        "empty": (b"", "empty"),
        "text": (b"hello", "not an image"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "cut PNG": (whole[: len(whole) // 2], "truncated"),
        "cut JPEG": (jpeg[: len(jpeg) // 2], "truncated"),
        "over 100 megapixels": (bomb, "20000x6000 pixels"),
        "400 megapixels": (huge, "pixels"),
        "float over 65535": (too_deep, "values from"),
        "negative": (negative, "values from"),
        "not a number": (missing, "values from"),
    }


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("name", broken_files())
def test_what_cannot_be_decoded_says_why(name):
    data, reason = broken_files()[name]
    with pytest.raises(UnreadableError, match=reason):
        decode.upright(data)


def test_fitting_keeps_the_centre_square():
    array = np.zeros((20, 60, 3), dtype=np.uint8)
    array[:, 20:40] = 200
    layout = decode.Layout(10, 3, resize=True)
    image = Image.fromarray(array)
    assert (decode.fit(image, layout)[:, 2:-2] == 200).all()
    plain = image.resize((30, 10), Image.Resampling.BICUBIC).crop((10, 0, 20, 10))
    assert (decode.fit(image, layout) == np.asarray(plain)).all()
    assert (decode.fit(image.transpose(Image.Transpose.ROTATE_90), layout)[2:-2] == 200).all()
    thin = decode.fit(Image.new("L", (100_000, 1), 7), decode.Layout(10, 1, resize=True))
    assert (thin == 7).all()


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    small = decode.fit(Image.fromarray(stripes), decode.Layout(8, 1, resize=True))
    assert np.abs(small.astype(int) - 127).max() < 20
