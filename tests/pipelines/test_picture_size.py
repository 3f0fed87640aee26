"""A picture says how large it is before it is decoded, and none is decoded that would fill the memory."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from sensorimotor.errors import DataError
from sensorimotor.pipelines.media import decode_image
from sensorimotor.pipelines.picture_size import MAX_PIXELS, picture_size

NOISE = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".png", []),
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".bmp", []),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".gif", []),
    ],
)
def test_the_size_is_that_of_the_picture(ending, options):
    done, encoded = cv2.imencode(ending, NOISE, options)
    assert done
    assert picture_size(encoded.tobytes()) == (61, 37)


def test_what_says_nothing_of_its_size_passes():
    encoded = cv2.imencode(".tiff", NOISE)[1].tobytes()
    assert picture_size(encoded) is None
    assert decode_image(encoded, "a.tiff").shape == NOISE.shape


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".webp", ".gif"])
def test_any_beginning_of_a_file_gives_the_size_or_none(ending):
    encoded = cv2.imencode(ending, NOISE)[1].tobytes()
    for length in range(0, min(len(encoded), 700)):
        assert picture_size(encoded[:length]) in (None, (61, 37))


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded():
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)
    with pytest.raises(DataError, match=rf"a\.png is 30000 x 30000 pixels, more than {MAX_PIXELS} in all"):
        decode_image(bomb, "a.png")
