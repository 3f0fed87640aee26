import cv2
import numpy as np
import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError, UsageError
from sensorimotor.perception.image_directory import ImageDirectory
from sensorimotor.perception.modality import Image
from sensorimotor.perception.sensor import StreamEnded

SMALL = Image(height=8, width=8)


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        blue_first = np.full((8, 8, 3), (0, 0, 20 * number), np.uint8)
        assert cv2.imwrite(str(tmp_path / f"frame{number}.png"), blue_first)
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def opened(path, **settings):
    clock = ManualClock()
    sensor = ImageDirectory(path, settings.pop("modality", SMALL), clock=clock, wait=clock.advance, **settings)
    sensor.open()
    return sensor, clock


def test_pictures_come_in_the_order_of_their_numbers_with_red_first(folder):
    sensor, _ = opened(folder, real_time=False)
    samples = [sensor.read(0.0) for _ in range(12)]
    assert [int(sample.value[0, 0, 0]) for sample in samples] == [20 * number for number in range(12)]
    assert samples[0].value[0, 0].tolist() == [0, 0, 0]
    with pytest.raises(StreamEnded, match="shown to its end"):
        sensor.read(0.0)


def test_pictures_come_at_their_rate(folder):
    sensor, clock = opened(folder, rate_hz=4.0)
    times = []
    while len(times) < 3:
        if sensor.read(0.1) is not None:
            times.append(clock.now_ns() / 1e9)
    assert times == [0.0, 0.25, 0.5]


def test_a_file_that_is_no_picture_is_counted_and_passed_over(folder):
    (folder / "frame1.png").write_bytes(b"torn")
    sensor, _ = opened(folder, real_time=False)
    assert [sensor.read(0.0) is None for _ in range(3)] == [False, True, False]
    assert sensor.losses.totals() == {"torn": 1}


def test_another_size_is_told_once(folder):
    sensor, _ = opened(folder, real_time=False, modality=Image(height=4, width=8))
    sensor.read(0.0)
    sensor.read(0.0)
    assert sensor.losses.told() == [f"{folder}: 8 x 8 is cropped and resized to 8 x 4"]


def test_what_is_no_directory_of_pictures_is_refused(tmp_path):
    with pytest.raises(SensorError, match="expected a directory"):
        opened(tmp_path / "none")
    with pytest.raises(SensorError, match="expected pictures"):
        opened(tmp_path)


def test_a_rate_of_nothing_is_refused(folder):
    with pytest.raises(UsageError, match="above 0"):
        opened(folder, rate_hz=0.0)
