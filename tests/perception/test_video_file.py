from fractions import Fraction

import av
import numpy as np
import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError
from sensorimotor.perception.modality import Image
from sensorimotor.perception.sensor import StreamEnded
from sensorimotor.perception.video_file import VideoFile

SMALL = Image(height=32, width=48)
RATE_HZ = 10


def write(path, frames=10, size=(32, 48), rate_hz=RATE_HZ, codec="libx264"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.height, stream.width, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate_hz)
        for number in range(frames):
            picture = np.full((*size, 3), (20 * number, 0, 200), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def opened(path, modality=SMALL, **settings):
    clock = ManualClock()
    sensor = VideoFile(path, modality, clock=clock, wait=clock.advance, **settings)
    return sensor, clock, sensor.open()


def test_frames_come_when_they_are_due(tmp_path):
    sensor, clock, _ = opened(write(tmp_path / "clip.mp4"))
    times = []
    with pytest.raises(StreamEnded, match="played to its end"):
        while True:
            sample = sensor.read(0.03)
            if sample is not None:
                assert sample.captured_ns == clock.now_ns()
                times.append(clock.now_ns() / 1e9)
    assert np.allclose(times, np.arange(10) / RATE_HZ, atol=1e-3)


def test_every_frame_comes_at_once_where_nobody_waits_for_its_time(tmp_path):
    sensor, clock, _ = opened(write(tmp_path / "clip.mp4"), real_time=False)
    samples = [sensor.read(0.0) for _ in range(10)]
    assert clock.now_ns() == 0
    assert [sample.sequence for sample in samples] == list(range(10))
    assert np.allclose([sample.device_s for sample in samples], np.arange(10) / RATE_HZ)
    reds = [int(sample.value[..., 0].mean()) for sample in samples]
    assert np.allclose(reds, 20 * np.arange(10), atol=6)  # red first
    assert not sensor.paced


def test_frames_of_another_size_are_fitted_with_a_notice(tmp_path):
    sensor, _, notice = opened(write(tmp_path / "clip.mp4"), Image(height=16, width=16), fit="pad")
    assert notice.endswith("clip.mp4: 48 x 32 is resized and padded to 16 x 16")
    assert sensor.read(0.0).value.shape == (16, 16, 3)


def test_a_file_can_be_played_again(tmp_path):
    sensor, _, notice = opened(write(tmp_path / "clip.mp4"))
    assert notice is None
    first = sensor.read(0.0)
    sensor.open()
    again = sensor.read(0.0)
    assert again.sequence == first.sequence == 0
    assert np.array_equal(again.value, first.value)


def test_a_damaged_middle_costs_its_frames_and_no_more(tmp_path):
    path = write(tmp_path / "clip.avi", codec="mjpeg", frames=30)
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data) - 1) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[9] : starts[12] - 16] = bytes(starts[12] - 16 - starts[9])
    path.write_bytes(data)
    sensor, _, _ = opened(path, real_time=False)
    numbers = []
    with pytest.raises(StreamEnded):
        while True:
            sample = sensor.read(0.0)
            if sample is not None:
                numbers.append(sample.sequence)
    assert 20 < len(numbers) < 30
    assert sensor.losses.totals()["torn"] + len(numbers) <= 30


def test_a_file_cut_short_ends_where_it_is_cut(tmp_path):
    path = write(tmp_path / "clip.mkv", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sensor, _, _ = opened(path, real_time=False)
    number = 0
    with pytest.raises(StreamEnded):
        while True:
            number += sensor.read(0.0) is not None
    assert 0 < number < 60


@pytest.mark.parametrize("content", [None, b"", b"not a video" * 100])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorError, match=r"clip\.mp4"):
        opened(path)


def test_a_closed_file_is_not_read(tmp_path):
    sensor, _, _ = opened(write(tmp_path / "clip.mp4"))
    sensor.close()
    sensor.close()
    with pytest.raises(SensorError, match="closed"):
        sensor.read(0.0)


def test_frames_beyond_all_bounds_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("sensorimotor.perception.media_source.MAX_PIXELS", 32 * 48 - 1)
    sensor, _, _ = opened(write(tmp_path / "clip.mp4"), real_time=False)
    with pytest.raises(StreamEnded):
        while True:
            assert sensor.read(0.0) is None
