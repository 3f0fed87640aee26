import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.augment import augmented
from sensorimotor.pipelines.episode_recipe import Augment

CAMERA, MIC, JOINTS = Image(height=16, width=20), Audio(sample_rate=8000, seconds=0.1), State(size=2)
seeds = st.integers(0, 2**32)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 20, 3)).astype(np.uint8)


def sound(seed=0):
    return (0.2 * np.random.default_rng(seed).standard_normal((800, 1))).clip(-0.9, 0.9).astype(np.float32)


def varied(value, modality, plan, seed=0, scale=None):
    return augmented(value, modality, plan, scale, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("value", "modality"), [(picture(), CAMERA), (sound(), MIC), (np.ones(2, np.float32), JOINTS), ("go", Text())]
)
def test_without_a_plan_everything_stays_as_it_is(value, modality):
    assert np.array_equal(varied(value, modality, Augment(), scale=np.ones(2)), value)


@given(seeds)
def test_a_picture_moves_by_up_to_a_part_of_its_size_and_its_edges_are_repeated(seed):
    value = picture()
    moved = varied(value, CAMERA, Augment(shift=0.2), seed)
    rows, columns = np.arange(16), np.arange(20)
    found = [
        (down, right)
        for down in range(-3, 4)
        for right in range(-4, 5)
        if np.array_equal(moved, value[np.clip(rows - down, 0, 15)][:, np.clip(columns - right, 0, 19)])
    ]
    assert len(found) == 1


@given(seeds)
def test_light_changes_no_shape_and_no_order(seed):
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    lit = varied(grey, Image(height=256, width=1), Augment(light=0.5), seed)
    assert (lit.dtype, lit.shape) == (np.uint8, grey.shape)
    assert (np.diff(lit[:, 0, 0].astype(int)) >= 0).all()  # brighter stays brighter, and nothing wraps around


def test_light_that_varies_makes_pictures_brighter_and_darker():
    grey = np.full((16, 20, 3), 128, np.uint8)
    means = np.array([varied(grey, CAMERA, Augment(light=0.5), seed).mean() for seed in range(100)])
    assert means.min() < 80
    assert means.max() > 175
    assert means.mean() == pytest.approx(128, abs=15)


@given(seeds, st.floats(0, 20))
def test_sound_becomes_louder_or_quieter_within_limits_and_never_clips(seed, gain_db):
    value = sound()
    louder = varied(value, MIC, Augment(gain_db=gain_db), seed)
    ratio = np.abs(louder).max() / np.abs(value).max()
    assert ratio <= 10 ** (gain_db / 20) * 1.0001
    assert np.abs(louder).max() <= 0.999
    assert (louder.dtype, louder.shape) == (np.float32, value.shape)


@given(seeds)
def test_noise_has_at_most_the_level_that_is_said(seed):
    noise = varied(np.zeros((8000, 1), np.float32), MIC, Augment(noise_db=-40.0), seed)
    level_db = 20 * np.log10(noise.std())
    assert -61 < level_db < -39


def test_a_state_is_moved_by_parts_of_its_standard_deviation():
    scale = np.array([0.0, 10.0])
    moved = np.stack(
        [varied(np.ones(2, np.float32), JOINTS, Augment(state_noise=0.5), seed, scale) for seed in range(400)]
    )
    assert moved.dtype == np.float32
    assert (moved[:, 0] == 1).all()  # it never changes
    assert moved[:, 1].std() == pytest.approx(5, rel=0.15)


def test_a_state_whose_spread_is_not_known_stays():
    assert (varied(np.ones(2, np.float32), JOINTS, Augment(state_noise=0.5)) == 1).all()


@given(seeds)
def test_what_is_drawn_alike_moves_alike(seed):
    """The frames of a sequence, each given a generator of the same seed; and those of one film."""
    plan = Augment(shift=0.2, light=0.3)
    one, other = (varied(picture(), CAMERA, plan, seed) for _ in range(2))
    film = varied(np.stack([picture()] * 3), Image(height=16, width=20, frames=3), plan, seed)
    assert np.array_equal(one, other)
    assert all(np.array_equal(frame, one) for frame in film)
