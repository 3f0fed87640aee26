"""Blocks go through shared memory and come out as they were."""

import os

import numpy as np
import pytest

from sensorimotor.errors import SensorimotorError
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.batch_blocks import Block, Part
from sensorimotor.pipelines.batch_input import Step
from sensorimotor.pipelines.batch_slots import Placed, Slots, slot_bytes


def block(*observations):
    steps = tuple(Step(0.0, Sensed(observation, {"a": 0.5}, {"a": 1})) for observation in observations)
    return Block((Part(0, 0, steps, True),), 0.25, {"clipped": 1})


def values(block):
    return [step.seen.observation for part in block.parts for step in part.steps]


@pytest.fixture
def slots():
    made = Slots.make(3, 64 * 1024)
    yield made
    made.close()


def test_pictures_sounds_words_and_states_come_out_as_they_went_in(slots):
    rng = np.random.default_rng(0)
    observation = {
        "camera": rng.integers(0, 256, (40, 30, 3), np.uint8),
        "turned": rng.integers(0, 256, (30, 40, 3), np.uint8).swapaxes(0, 1),
        "mic": rng.normal(size=(1001, 1)).astype(np.float32),
        "joints": np.ones(4000, np.float32),
        "instruction": "go",
    }
    sent = block(observation, {})
    there = slots.put(sent, 1)
    kinds = {name: isinstance(value, Placed) for name, value in values(there)[0].items()}
    assert kinds == {"camera": True, "turned": True, "mic": True, "joints": False, "instruction": False}
    found = slots.get(there)
    assert (found.decode_s, found.losses) == (sent.decode_s, sent.losses)
    assert found.parts[0].steps[0].seen.ages_s == {"a": 0.5}
    for name, value in observation.items():
        assert np.array_equal(values(found)[0][name], value)
        assert getattr(values(found)[0][name], "dtype", None) == getattr(value, "dtype", None)


def test_what_several_steps_see_lies_there_once(slots):
    picture = np.zeros((100, 100, 3), np.uint8)
    one, two = values(slots.put(block({"camera": picture}, {"camera": picture}), 0))
    assert one == two


def test_blocks_in_different_places_do_not_touch_each_other(slots):
    pictures = [np.full((100, 100, 3), value, np.uint8) for value in range(3)]
    there = [slots.put(block({"camera": picture}), at) for at, picture in enumerate(pictures)]
    for one, picture in zip(there, pictures, strict=True):
        assert np.array_equal(values(slots.get(one))[0]["camera"], picture)


def test_what_finds_no_room_goes_the_other_way(slots):
    pictures = [np.full((100, 100, 3), value, np.uint8) for value in range(3)]
    there = slots.put(block(*({"camera": picture} for picture in pictures)), 2)
    assert [isinstance(one["camera"], Placed) for one in values(there)] == [True, True, False]
    for found, picture in zip(values(slots.get(there)), pictures, strict=True):
        assert np.array_equal(found["camera"], picture)


def test_a_slot_has_room_for_the_rows_that_it_is_made_for():
    sizes = (5000, 4001)
    made = Slots.make(2, slot_bytes(sum(sizes), len(sizes), 4))
    arrays = [{name: np.ones((1, size), np.uint8) for name, size in zip("ab", sizes, strict=True)} for _ in range(4)]
    there = values(made.put(block(*arrays), 1))
    made.close()
    assert all(isinstance(value, Placed) for one in there for value in one.values())


def test_another_process_reads_the_same_memory(slots):
    other = Slots(os.dup(slots.file), 3, 64 * 1024)
    picture = np.full((100, 100, 3), 7, np.uint8)
    there = slots.put(block({"camera": picture}), 2)
    assert np.array_equal(values(other.get(there))[0]["camera"], picture)
    other.close()


def test_more_than_there_is_is_told():
    with pytest.raises(SensorimotorError, match=r"GiB cannot be shared .* a smaller --batch-size"):
        Slots.make(2**40, 2**20)
