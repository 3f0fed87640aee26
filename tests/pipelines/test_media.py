"""Bytes from folders and URLs, and what is decoded from them."""

import io
import os
import struct
from fractions import Fraction

import av
import cv2
import fsspec
import numpy as np
import pytest
import soundfile

from sensorimotor.errors import DataError
from sensorimotor.pipelines import media
from sensorimotor.pipelines.media import decode_clip, decode_image, decode_sound, extension, read_bytes

RED, GREEN, BLUE = (250, 10, 20), (10, 250, 20), (10, 20, 250)


def png(pixels):
    """A PNG of an array whose colours are in OpenCV's order."""
    done, encoded = cv2.imencode(".png", pixels)
    assert done
    return encoded.tobytes()


def quarters():
    """RGB, 20 x 30: red above green on the left, blue on the right."""
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:10, :15], picture[10:, :15], picture[:, 15:] = RED, GREEN, BLUE
    return picture


def sine(hz, rate, seconds=1.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def sound_file(samples, rate, kind="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def encoded_sound(samples, rate, container_format, codec):
    """Sound through PyAV: `samples` are float32 `(samples, channels)`."""
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        layout = "mono" if samples.shape[1] == 1 else "stereo"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, len(samples), 1024):
            piece = np.ascontiguousarray(samples[start : start + 1024].T)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def video(count=50, container_format="mp4", codec="libx264", turned=None):
    """25 frames a second of 64 x 48; the grey of frame i is 5 i, its corner is red."""
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if turned is not None:
            stream.set_display_rotation(turned)
        for number in range(count):
            picture = np.full((48, 64, 3), 5 * number, np.uint8)
            picture[:16, :16] = RED
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def pitch(samples, rate):
    """The loudest frequency (Hz), between the bins of the transform."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples)))
    return power.argmax() * rate / (8 * len(samples))


# Bytes


def test_paths_start_from_the_folder_and_may_be_absolute(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(b"here")
    assert read_bytes("a/b.bin", tmp_path) == b"here"
    assert read_bytes(str(tmp_path / "a" / "b.bin"), tmp_path / "elsewhere") == b"here"


def test_urls_are_read_by_fsspec(tmp_path):
    with fsspec.open("memory://test_media/b.bin", "wb") as file:
        file.write(b"far away")
    assert read_bytes("memory://test_media/b.bin", tmp_path) == b"far away"


def test_the_extension_of_a_url_is_that_of_its_path():
    assert extension("s3://bucket/a.b/Picture.JPG") == "jpg"
    assert extension("https://example.org/x.wav?token=a.png#t") == "wav"
    assert extension("what? is this.wav") == "wav"
    assert extension("turn left") == ""


def test_a_file_that_is_not_there_is_named_with_the_folder(tmp_path):
    with pytest.raises(DataError, match=rf"gone\.png \(paths start from {tmp_path}\).*No such file.*correct its row"):
        read_bytes("gone.png", tmp_path)


def test_a_folder_or_an_impossible_path_is_no_file(tmp_path):
    with pytest.raises(DataError, match="directory"):
        read_bytes(".", tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes("a\0b", tmp_path)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is no regular file, but a pipe or a device: put a file there"):
        read_bytes("a.png", tmp_path)


def test_a_url_that_leads_nowhere_is_named_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match=r"memory://test_media/gone\.png cannot be read.*Check the address"):
        read_bytes("memory://test_media/gone.png", tmp_path)
    with pytest.raises(DataError, match=r"nowhere://a\.png cannot be read.*nowhere"):
        read_bytes("nowhere://a.png", tmp_path)


def test_a_protocol_whose_driver_is_not_installed_says_what_to_install(tmp_path, monkeypatch):
    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "open", absent)
    with pytest.raises(DataError, match="Install s3fs to access S3. Install the package"):
        read_bytes("s3://bucket/a.png", tmp_path)


def test_nothing_larger_than_the_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "MAX_FILE_BYTES", 2**20)
    (tmp_path / "large.bin").write_bytes(bytes(2**20 + 1))
    (tmp_path / "fits.bin").write_bytes(bytes(2**20))
    with fsspec.open("memory://test_media/large.bin", "wb") as file:
        file.write(bytes(2**20 + 1))
    assert len(read_bytes("fits.bin", tmp_path)) == 2**20
    for location in ("large.bin", "memory://test_media/large.bin"):
        with pytest.raises(DataError, match="larger than 1 MiB"):
            read_bytes(location, tmp_path)


# Pictures


def test_a_picture_is_red_green_blue():
    assert np.array_equal(decode_image(png(quarters()[..., ::-1]), "a.png"), quarters())


def test_grey_transparent_and_deep_pictures_have_three_channels_of_a_byte():
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert np.array_equal(decode_image(png(grey), "grey.png"), np.repeat(grey[..., None], 3, 2))
    glass = np.concatenate([quarters()[..., ::-1], np.full((20, 30, 1), 7, np.uint8)], 2)
    assert np.array_equal(decode_image(png(glass), "glass.png"), quarters())
    deep = decode_image(png(quarters()[..., ::-1].astype(np.uint16) * 257), "deep.png")
    assert deep.dtype == np.uint8
    assert np.array_equal(deep, quarters())


def test_a_picture_is_turned_as_its_exif_says():
    done, encoded = cv2.imencode(".jpg", quarters()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert done
    turn = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)  # 6: a quarter
    turned = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(turn) + 2) + turn + encoded.tobytes()[2:]
    picture = decode_image(turned, "phone.jpg")
    assert picture.shape == (30, 20, 3)
    expected = np.rot90(quarters(), -1)
    assert np.abs(picture[::29, ::19].astype(int) - expected[::29, ::19]).max() < 40


@pytest.mark.parametrize("data", [b"", b"no picture", png(quarters())[:60]])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(DataError, match=r"broken\.png .*no picture"):
        decode_image(data, "broken.png")


# Sounds


@pytest.mark.parametrize(("kind", "name"), [("WAV", "a.wav"), ("FLAC", "a.FLAC"), ("OGG", "a.ogg")])
def test_a_sound_file_is_float_samples_by_channels(kind, name):
    stereo = np.stack([sine(440, 16_000), sine(660, 16_000)], 1)
    sound = decode_sound(sound_file(stereo, 16_000, kind), name)
    assert sound.sample_rate == 16_000
    assert sound.samples.dtype == np.float32
    assert sound.samples.shape == (16_000, 2)
    assert np.abs(sound.samples - stereo).max() < (0.05 if kind == "OGG" else 1e-4)


@pytest.mark.parametrize(
    ("container_format", "codec", "name"),
    [("mp3", "libmp3lame", "a.mp3"), ("mp4", "aac", "a.m4a"), ("mp4", "aac", "a.mp4"), ("matroska", "aac", "a.mkv")],
)
def test_compressed_sound_and_that_of_a_video_are_read_as_well(container_format, codec, name):
    stereo = np.stack([sine(440, 44_100), sine(660, 44_100)], 1)
    sound = decode_sound(encoded_sound(stereo, 44_100, container_format, codec), name)
    assert sound.sample_rate == 44_100
    assert sound.samples.shape[1] == 2
    assert 44_100 <= len(sound.samples) < 44_100 + 4096  # codecs fill up their last frame
    for channel, hz in ((0, 440), (1, 660)):
        assert pitch(sound.samples[:, channel], 44_100) == pytest.approx(hz, abs=1)


@pytest.mark.parametrize(("own", "wanted"), [(44_100, 16_000), (48_000, 16_000), (16_000, 44_100), (22_050, 48_000)])
def test_resampling_keeps_pitch_level_and_length(own, wanted):
    sound = decode_sound(sound_file(sine(1000, own, 0.7), own), "a.wav", wanted)
    assert sound.sample_rate == wanted
    assert abs(len(sound.samples) - 0.7 * wanted) <= 1
    assert pitch(sound.samples[:, 0], wanted) == pytest.approx(1000, abs=1)
    middle = sound.samples[wanted // 10 : -wanted // 10, 0]
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.005)


def test_resampling_does_not_fold_high_tones_into_what_is_heard():
    sound = decode_sound(sound_file(sine(11_000, 44_100), 44_100), "a.wav", 16_000)
    assert np.abs(sound.samples[1000:-1000]).max() < 1e-3


def test_a_sound_that_would_fill_the_memory_when_resampled_is_refused():
    slow = sound_file(np.zeros((200_000, 1), np.float32), 1)
    assert decode_sound(slow, "a.wav").sample_rate == 1
    with pytest.raises(DataError, match=r"a\.wav is stated to be at 1 Hz, so that at 16000 Hz it has more"):
        decode_sound(slow, "a.wav", 16_000)


def test_channels_are_changed_only_when_asked():
    left = sine(440, 16_000)
    stereo = sound_file(np.stack([left, -0.5 * left], 1), 16_000)
    assert decode_sound(stereo, "a.wav").samples.shape == (16_000, 2)
    mixed = decode_sound(stereo, "a.wav", channels=1).samples
    assert np.allclose(mixed[:, 0], 0.25 * left, atol=1e-4)
    doubled = decode_sound(sound_file(left, 16_000), "a.wav", channels=2).samples
    assert np.array_equal(doubled[:, 0], doubled[:, 1])
    assert np.allclose(doubled[:, 0], left, atol=1e-4)


def test_channels_that_cannot_be_made_are_refused():
    stereo = sound_file(np.zeros((100, 2)), 16_000)
    with pytest.raises(DataError, match=r"a\.wav has 2 channels, which cannot be made into 3"):
        decode_sound(stereo, "a.wav", channels=3)


def test_samples_a_little_beyond_full_scale_are_cut_off_and_unscaled_ones_refused():
    loud = decode_sound(sound_file(2.2 * sine(440, 16_000), 16_000, subtype="FLOAT"), "a.wav").samples
    assert np.abs(loud).max() == 1.0
    with pytest.raises(DataError, match=r"peak of 1\.64e\+04: scale its samples"):
        decode_sound(sound_file(32768 * sine(440, 16_000), 16_000, subtype="FLOAT"), "a.wav")
    with pytest.raises(DataError, match="peak of nan"):
        decode_sound(sound_file(np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT"), "a.wav")


def test_what_is_no_sound_is_refused():
    for name, data in (("a.wav", b"no sound"), ("a.flac", b""), ("a.mp3", b"no sound"), ("a.mp4", b"")):
        with pytest.raises(DataError, match=rf"{name} \({len(data)} bytes\) cannot be read as sound"):
            decode_sound(data, name)
    with pytest.raises(DataError, match=r"silent\.mp4 .*as sound: it has none"):
        decode_sound(video(5), "silent.mp4")
    with pytest.raises(DataError, match="has no sound in it"):
        decode_sound(sound_file(np.zeros(0), 16_000), "a.wav")


def test_a_sound_too_long_for_memory_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(media, "MAX_SOUND_VALUES", 10_000)
    silence = np.zeros((6_000, 2), np.float32)
    for name, data in (
        ("a.flac", sound_file(silence, 16_000, "FLAC")),
        ("a.m4a", encoded_sound(silence, 16_000, "mp4", "aac")),
    ):
        with pytest.raises(DataError, match="more than 10000 samples"):
            decode_sound(data, name)


# Videos


@pytest.mark.parametrize(
    ("container_format", "codec"),
    [("mp4", "libx264"), ("matroska", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("mov", "mpeg4")],
)
def test_the_frames_of_a_clip_are_the_middles_of_equal_parts(container_format, codec):
    clip = decode_clip(video(50, container_format, codec), "a", 5)
    assert clip.frames.shape == (5, 48, 64, 3)
    assert clip.frames.dtype == np.uint8
    numbers = clip.frames[:, 24:, 24:].mean((1, 2, 3)) / 5
    assert np.allclose(numbers, [5, 15, 25, 35, 45], atol=0.9)
    assert np.allclose(clip.times_s, [0.2, 0.6, 1.0, 1.4, 1.8])


def test_every_frame_can_be_asked_for_and_a_short_clip_repeats_its_frames():
    numbers = decode_clip(video(7), "a", 7).frames[:, 24:, 24:].mean((1, 2, 3)) / 5
    assert np.allclose(numbers, np.arange(7), atol=0.9)
    doubled = decode_clip(video(3), "a", 6)
    assert np.allclose(doubled.frames[:, 24:, 24:].mean((1, 2, 3)) / 5, [0, 0, 1, 1, 2, 2], atol=0.9)
    assert np.allclose(doubled.times_s, [0, 0, 0.04, 0.04, 0.08, 0.08])


def test_a_clip_is_turned_as_its_file_says():
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a turned video")
    frame = decode_clip(video(3, turned=90), "a", 1).frames[0]
    assert frame.shape == (64, 48, 3)
    assert frame[-8:, :8].mean((0, 1))[0] > 200  # the red corner, once above left, a quarter against the clock


@pytest.mark.parametrize("data", [b"", b"no video", video(20)[:400]])
def test_what_is_no_video_is_refused(data):
    with pytest.raises(DataError, match=r"a\.mp4 .*cannot be read as video"):
        decode_clip(data, "a.mp4", 4)


def test_a_video_of_an_unknown_format_is_refused():
    with pytest.raises(DataError, match=r"a\.mp4 is in a format that FFmpeg cannot decode"):
        decode_clip(video(20).replace(b"avc1", b"none"), "a.mp4", 4)


def test_a_sound_has_no_frames():
    with pytest.raises(DataError, match="as video: it has none"):
        decode_clip(encoded_sound(np.zeros((4096, 1), np.float32), 16_000, "mp4", "aac"), "a.mp4", 4)


def test_more_frames_than_fit_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(media, "MAX_CLIP_BYTES", 3 * 48 * 64 * 3)
    assert len(decode_clip(video(5), "a", 3).frames) == 3
    with pytest.raises(DataError, match="4 frames of 64 x 48 are more than"):
        decode_clip(video(5), "a", 4)
