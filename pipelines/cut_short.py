"""Whether a sound or video file is all there: of one that was cut short, most decoders silently give what is left.

What a file says of its own length is compared with what it has. Formats that say nothing of it, and streams that were
written before their length was known, are believed.
"""

import struct
from mmap import mmap
from typing import Any

from sensorimotor.errors import DataError

Bytes = bytes | mmap
"""A file in memory, or mapped into it."""
_UNKNOWN = 0xFFFFFFFF
"""The length of what was written to a pipe."""
_SOUND_CHUNKS = {b"RIFF": (b"data", "<I"), b"RIFX": (b"data", ">I"), b"FORM": (b"SSND", ">I")}
_OGG_HEADER = 27
_TIMED = ("matroska", "mp4", "mp3", "flac")
"""What the names of FFmpeg's formats have in them that state a length; that of others is estimated from their size."""


def require_whole_sound(data: Bytes, name: str) -> None:
    """Check WAV, AIFF and Ogg; anything else passes.

    Raises:
        DataError: It is cut short.
    """
    if data[:4] in _SOUND_CHUNKS:
        stated, there = _chunk(data)
        if stated > there:
            raise _cut_short(name, f"{stated} bytes of sound", str(there))
    if data[:4] == b"OggS":
        end = _end_of_last_page(data)
        if end > len(data):
            raise _cut_short(name, f"at least {end} bytes", str(len(data)))


def _end_of_last_page(data: Bytes) -> int:
    """Where the last page of an Ogg file says that it ends; its segments are listed behind its header."""
    body = data.rfind(b"OggS") + _OGG_HEADER
    if body > len(data):
        return body
    count = data[body - 1]
    return body + count + sum(data[body : body + count])


def _chunk(data: Bytes) -> tuple[int, int]:
    """How many bytes of sound a RIFF or AIFF file says it has, and how many follow."""
    wanted, number = _SOUND_CHUNKS[data[:4]]
    place = 12
    while place + 8 <= len(data):
        kind, (size,) = data[place : place + 4], struct.unpack_from(number, data, place + 4)
        if kind == wanted:
            return (0 if size == _UNKNOWN else size), len(data) - place - 8
        place += 8 + size + size % 2
    return 0, 0


def require_whole_film(container: Any, data: Bytes, name: str) -> bool:
    """Check Matroska, MP4, MP3 and FLAC, as PyAV opened them; anything else passes.

    Returns:
        Whether the container was read for it, and has to be opened again.

    Raises:
        DataError: It is cut short.
    """
    if not container.duration or not any(kind in container.format.name for kind in _TIMED):
        return False
    if "mp3" in container.format.name and not _states_frames(data):
        return False
    count, end_s = 0, 0.0
    for packet in container.demux():
        if packet.pts is not None:
            count += 1
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    stated_s, there_s = container.duration / 1e6, end_s - (container.start_time or 0) / 1e6
    if there_s < 0.97 * stated_s - 2 * there_s / max(count, 1):  # the last packets may lack their durations
        raise _cut_short(name, f"{stated_s:.2f} s", f"{there_s:.2f} s")
    return True


def _states_frames(data: Bytes) -> bool:
    """Whether an MP3 says how many frames it has, in a frame of its own before the others."""
    start = 0
    if data[:3] == b"ID3" and len(data) > 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    first = data[start : start + 4096]
    place = max(first.find(b"Xing"), first.find(b"Info"))
    return place >= 0 and len(first) >= place + 8 and bool(first[place + 7] & 1)


def _cut_short(name: str, stated: str, there: str) -> DataError:
    return DataError(f"{name} is cut short: it says that it has {stated}, and has {there}. Copy it again or replace it")
