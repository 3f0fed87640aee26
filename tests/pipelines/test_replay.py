import numpy as np
import pytest

from sensorimotor.errors import DataError
from sensorimotor.models.parity import CLOSED_LOOP_STEPS
from sensorimotor.pipelines import replay, sources
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.replay import recorded_evidence


@pytest.fixture
def evidence(drives, bound, monkeypatch):
    """What an export is checked on: `evidence([3, 5])`."""

    def make(lengths, kind="vector", held_out=0.5, without=(), change=lambda source: None):
        source = drives(lengths, kind, without=without)
        change(source)
        monkeypatch.setattr(sources, "open_source", lambda data, path=None: source)
        said = {
            "name": "own",
            "data": {"kind": "lerobot", "path": "demos", "held_out": held_out},
            "signature": {"inputs": {"camera": {}, "speed": {}, "task": {"max_tokens": 8}}},
            "training": {"steps": 1},
        }
        return recorded_evidence(parse_recipe(said, "here"), bound(drives(lengths, kind)).signature)

    return make


def numbers(found):
    return [int(step.observation["camera"].flat[0]) for step in found.steps]


def test_it_is_the_steps_of_held_out_episodes_in_order_again_and_again(evidence):
    found = evidence([3, 3, 3, 3])
    assert len(found.steps) == len(found.starts) == CLOSED_LOOP_STEPS
    shown = numbers(found)
    first, second = shown[0] // 10, shown[3] // 10
    assert shown[:6] == [10 * first, 10 * first + 1, 10 * first + 2, 10 * second, 10 * second + 1, 10 * second + 2]
    assert shown[6:12] == shown[:6]
    assert found.starts[:7] == [True, False, False, True, False, False, True]


def test_longer_data_give_as_many_steps_as_are_needed(evidence):
    assert len(evidence([800, 800, 800, 800]).steps) == CLOSED_LOOP_STEPS


def test_choices_that_are_texts_are_read_as_they_were_learnt(evidence):
    assert len(evidence([3, 3], "text").steps) == CLOSED_LOOP_STEPS


def test_inputs_that_never_came_together_come_together_once(evidence, memory):
    def apart(source):
        for episode in source.episodes:
            times = episode.times_s
            late = episode.tracks["speed"]
            episode.tracks["speed"] = memory.Track(times[1:], late.values[1:])

    found = evidence([3, 3], change=apart)
    assert set(found.steps[0].observation) == {"camera", "speed", "task"}
    assert np.array_equal(found.steps[0].observation["speed"], found.steps[1].observation["speed"])


def test_steps_that_see_nothing_are_left_out(evidence, memory):
    def blind(source):
        for episode in source.episodes:
            times = episode.times_s
            for name in ("camera", "speed", "task"):
                track = episode.tracks[name]
                episode.tracks[name] = memory.Track(times[1:2], track.values[:1])

    found = evidence([3, 3], change=blind)
    assert all(step.observation for step in found.steps)
    assert found.starts[:4] == [True, False, True, False]


def test_pictures_are_held_only_as_long_as_they_fit(evidence, monkeypatch):
    monkeypatch.setattr(replay, "MOST_BYTES", 5 * 192)
    found = evidence([400, 400])
    assert len(found.steps) == CLOSED_LOOP_STEPS
    assert len(set(numbers(found))) == 5


def test_without_a_value_of_some_input_there_is_nothing_to_check_on(evidence):
    with pytest.raises(DataError, match="no held-out step has a speed: an export needs some to be checked on"):
        evidence([3, 3], without=["speed"])
    with pytest.raises(DataError, match="demos: no held-out step has an input: an export needs some"):
        evidence([3, 3], without=["camera", "speed", "task"])
