import numpy as np
import pytest

from sensorimotor.perception.repeats import REMEMBERED_FRAMES, Repeats


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3)).astype(np.uint8)


def test_frames_that_differ_are_no_repeats(frames):
    repeats = Repeats()
    assert not any(repeats.seen(frame) for frame in frames)


def test_the_same_pixels_in_other_memory_are_a_repeat(frames):
    repeats = Repeats()
    assert not repeats.seen(frames[0])
    assert repeats.seen(frames[0].copy())


def test_one_pixel_that_no_glance_falls_on_makes_another_frame(frames):
    repeats, frame = Repeats(), frames[0].copy()
    repeats.seen(frames[0])
    frame[1, 1, 0] ^= 1
    assert not repeats.seen(frame)


def test_a_ring_of_buffers_is_recognised_and_a_longer_one_is_not(frames):
    repeats = Repeats()
    assert [repeats.seen(frames[i % REMEMBERED_FRAMES].copy()) for i in range(2 * REMEMBERED_FRAMES)] == [
        *[False] * REMEMBERED_FRAMES,
        *[True] * REMEMBERED_FRAMES,
    ]
    longer = Repeats()
    assert not any(longer.seen(frames[i % (REMEMBERED_FRAMES + 1)]) for i in range(10))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 48, 64, 3), (17, 3), (480, 640)])
def test_frames_of_any_size_films_too(shape):
    repeats, frame = Repeats(), np.zeros(shape, np.uint8)
    assert not repeats.seen(frame)
    assert not repeats.seen(frame + 1)
    assert repeats.seen(frame + 1)


def test_a_camera_that_changes_its_size_does_not_repeat_itself():
    repeats = Repeats()
    assert not repeats.seen(np.zeros((4, 6, 3), np.uint8))
    assert not repeats.seen(np.zeros((6, 4, 3), np.uint8))
