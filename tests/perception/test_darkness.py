import numpy as np
import pytest

from sensorimotor.perception.darkness import Darkness

SECOND_NS = 1_000_000_000


def noise(mean, spread, shape=(48, 64, 3)):
    return np.random.default_rng(0).normal(mean, spread, shape).clip(0, 255).astype(np.uint8)


def told_at_s(frames):
    """The seconds at which it is told, of frames that come twice a second."""
    darkness = Darkness()
    return [number / 2 for number, frame in enumerate(frames) if darkness.seen(frame, number * SECOND_NS // 2)]


@pytest.mark.parametrize("mean", [0, 8, 15])
def test_dark_noise_is_told_once_after_five_seconds(mean):
    assert told_at_s([noise(mean, 4)] * 60) == [5.0]


def test_it_is_told_again_after_light():
    dark, light = [noise(5, 3)] * 20, [noise(90, 40)]
    assert told_at_s(dark + light + dark) == [5.0, 15.5]


@pytest.mark.parametrize(
    "frame",
    [noise(90, 3), noise(5, 30)],
    ids=["a grey wall", "a night with lights"],
)
def test_what_has_light_or_contrast_is_a_picture(frame):
    assert told_at_s([frame] * 60) == []


def test_a_lamp_in_the_dark_is_a_picture():
    frame = noise(5, 3)
    frame[20:26, 30:38] = 255
    assert told_at_s([frame] * 60) == []


def test_most_frames_of_a_fast_camera_are_not_looked_at():
    darkness, looked = Darkness(), []

    class Frame:
        def __getitem__(self, where):
            looked.append(where)
            return noise(90, 3)

    for number in range(100):
        darkness.seen(Frame(), number * SECOND_NS // 100)
    assert len(looked) == 2
