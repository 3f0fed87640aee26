"""The size of a picture from the first bytes of its file: a file of a few kilobytes can be a picture of gigabytes."""

import struct

from sensorimotor.errors import DataError

MAX_PIXELS = 2**26
"""200 MB when decoded; 8192 x 8192."""


def require_modest(data: bytes, name: str) -> None:
    """Check that a picture fits the memory before it is decoded; formats whose header is not known here pass.

    Raises:
        DataError: It has too many pixels.
    """
    width, height = picture_size(data) or (0, 0)
    if width * height > MAX_PIXELS:
        raise DataError(f"{name} is {width} x {height} pixels, more than {MAX_PIXELS} in all: make it smaller")


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG, JPEG, BMP, GIF or WebP file states (pixels); None: it is none, or damaged.

    >>> picture_size(b"GIF89a" + bytes([64, 0, 48, 0]))
    (64, 48)
    """
    try:
        if data.startswith(b"\x89PNG"):
            return _pair(">II", data, 16)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"BM"):
            width, height = _pair("<ii", data, 18)
            return abs(width), abs(height)  # negative: from top to bottom
        if data.startswith(b"GIF8"):
            return _pair("<HH", data, 6)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30:
            return _webp_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the segment that begins a frame (SOF, ITU-T T.81 table B.1)."""
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _pair(">HH", data, place + 5)
            return width, height
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """From the first chunk (RFC 9649)."""
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = _pair("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _pair(form: str, data: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, place)
    return int(first), int(second)
