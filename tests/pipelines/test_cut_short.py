"""A file of which only the beginning arrived is no shorter sound or video, but damaged."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from sensorimotor.errors import DataError
from sensorimotor.pipelines.media import decode_clip, decode_sound

SOUND = (0.4 * np.sin(np.arange(32_000) / 7)).astype(np.float32)


def sound_file(kind, subtype=None, samples=SOUND):
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=kind, subtype=subtype)
    return file.getvalue()


def film(container_format, codec):
    """Two seconds of noise."""
    file, random = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 256, (48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def compressed(container_format, codec):
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        for piece in [frame, None]:
            container.mux(stream.encode(piece))
    return file.getvalue()


SOUNDS = {
    "a.wav": sound_file("WAV"),
    "float.wav": sound_file("WAV", "FLOAT"),
    "a.aiff": sound_file("AIFF"),
    "a.flac": sound_file("FLAC"),
    "a.ogg": sound_file("OGG"),
    "a.mp3": compressed("mp3", "libmp3lame"),
    "a.mkv": compressed("matroska", "aac"),
}


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_that_is_cut_short_is_refused(name, kept):
    data = SOUNDS[name]
    assert len(decode_sound(data, name).samples) >= len(SOUND)
    with pytest.raises(DataError, match=rf"{name} (is cut short: it says that it has|.*cannot be read)"):
        decode_sound(data[: int(kept * len(data))], name)


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize(("container_format", "codec"), [("matroska", "libx264"), ("webm", "libvpx-vp9")])
def test_a_video_that_is_cut_short_is_refused(container_format, codec, kept):
    data = film(container_format, codec)
    assert len(decode_clip(data, "a.mkv", 4).frames) == 4
    with pytest.raises(DataError, match=r"a\.mkv is cut short: it says that it has 2\.00 s, and has [01]"):
        decode_clip(data[: int(kept * len(data))], "a.mkv", 4)


def test_a_sound_that_claims_far_more_than_it_has_is_refused():
    data = sound_file("WAV", samples=SOUND[:50])
    place = data.index(b"data") + 4
    claims = data[:place] + struct.pack("<I", 2**31 - 2) + data[place + 4 :]
    with pytest.raises(DataError, match="is cut short: it says that it has 2147483646 bytes of sound, and has 100"):
        decode_sound(claims, "a.wav")


def test_a_sound_whose_length_was_not_known_when_it_was_written_is_believed():
    data = sound_file("WAV")
    place = data.index(b"data") + 4
    piped = data[:4] + b"\xff" * 4 + data[8:place] + b"\xff" * 4 + data[place + 4 :]
    assert len(decode_sound(piped, "a.wav").samples) == len(SOUND)


@pytest.mark.parametrize("data", [b"RIFF", b"OggS", b"RIFF0000WAVEdata", b"OggS" + b"\xff" * 30, b"FORM" + b"\0" * 40])
def test_a_few_bytes_are_no_sound(data):
    with pytest.raises(DataError):
        decode_sound(data, "a.wav")
