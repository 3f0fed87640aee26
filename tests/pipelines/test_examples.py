import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import DataError
from sensorimotor.pipelines.examples import (
    Example,
    acted,
    action_statistics,
    examples,
    require_seen,
    require_short,
    state_statistics,
    texts,
    tokenizer_for,
)


@pytest.fixture
def made(drives, bound):
    """Two episodes of three and five steps, and what binds them."""
    source = drives([3, 5])
    return examples(source, bound(source), [0, 1]), bound(source)


def test_an_episode_has_what_each_step_saw_and_did(made):
    (first, second), _ = made
    assert (first.name, first.number, len(first)) == ("episode 0", 0, 3)
    assert second.actions.tolist() == [[s, -1] for s in range(5)]
    assert second.acted.all()
    assert second.seen["camera"].value.tolist() == [0, 1, 2, 3, 4]
    assert second.seen["task"].value.tolist() == [0] * 5  # it is said once and kept


def test_only_the_episodes_that_are_asked_for_are_there(drives, bound):
    source = drives([3, 5, 2])
    assert [example.number for example in examples(source, bound(source), [2, 0])] == [2, 0]


def test_steps_without_an_action_are_known_to_have_none(drives, bound, memory):
    source = drives([4])
    whole = source.episodes[0].tracks["action"]
    source.episodes[0].tracks["action"] = memory.Track(whole.times_s[[0, 3]], [whole.values[0], whole.values[3]])
    (example,) = examples(source, bound(source), [0])
    assert example.acted.tolist() == [True, False, False, True]
    assert example.actions[3].tolist() == [3, 0]


@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.lists(st.integers(0, 30), unique=True))
def test_an_action_belongs_to_the_step_at_its_time_and_to_no_other(memory, steps, times):
    steps, times = np.sort(steps) / 10, np.sort(np.array(times, int)) / 10
    shaken = times + np.where(np.arange(len(times)) % 2, 4e-7, -4e-7)  # times are rounded when they are written
    episode = memory.Episode("e", steps, {"action": memory.Track(shaken, list(range(len(times))))})
    at, values = acted(episode, "action")
    assert steps[at].tolist() == [time for time in times if time in steps]
    assert values == [i for i, time in enumerate(times) if time in steps]


def test_a_plan_is_what_is_done_from_a_step_on_and_ends_with_the_episode(made):
    first = made[0][0]
    actions, known = first.plans(np.array([0, 2]), 3)
    assert actions[0].tolist() == [[0, 0], [1, 0], [2, 0]]
    assert known.tolist() == [[True, True, True], [True, False, False]]
    assert actions.shape == (2, 3, 2)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 8))
def test_a_plan_never_holds_what_was_not_done(known, horizon):
    steps = len(known)
    example = Example(0, "e", {}, np.arange(steps, dtype=np.float32)[:, None], np.array(known))
    actions, weights = example.plans(np.arange(steps), horizon)
    for step in range(steps):
        for ahead in range(horizon):
            there = step + ahead < steps and known[step + ahead]
            assert weights[step, ahead] == there
            assert not there or actions[step, ahead, 0] == step + ahead


def test_statistics_are_of_all_steps_together(made):
    found, binding = made
    mean, std = state_statistics(found, binding)["speed"]
    values = np.array([[s, 2 * e] for e, steps in enumerate([3, 5]) for s in range(steps)])
    assert mean == pytest.approx(values.mean(0))
    assert std == pytest.approx(values.std(0))
    mean, std = action_statistics(found)
    assert mean == pytest.approx([values[:, 0].mean(), -5 / 8])


def test_a_state_that_is_never_there_has_no_statistics(drives, bound):
    source = drives([3], without=["speed"])
    assert state_statistics(examples(source, bound(source), [0]), bound(source)) == {}


def test_texts_are_those_that_are_said_each_once(made):
    assert texts(*made) == ["drive number 0", "drive number 1"]


def test_a_tokenizer_knows_every_word_and_nobody_needs_one_without_texts(made, drives, bound):
    words = tokenizer_for(*made)
    assert words.unknown("drive number 0 there") == ["there"]
    source = drives([2])
    binding = bound(source, inputs=("speed",))
    assert tokenizer_for(examples(source, binding, [0]), binding) is None


def test_texts_that_would_be_cut_are_refused_by_episode(made, drives, bound):
    found, binding = made
    require_short(found, binding, tokenizer_for(found, binding))
    source = drives([3])
    source.episodes[0].tracks["task"].values[0] = "go " * 8
    long = examples(source, binding, [0])
    with pytest.raises(
        DataError, match=r"episode 0: task 'go go .* has 9 tokens, but .*task.max_tokens = 8: shorten it"
    ):
        require_short(long, binding, tokenizer_for(long, binding))


def test_an_input_that_no_step_has_is_refused(made, drives, bound):
    require_seen(*made)
    source = drives([3, 2], without=["speed"])
    with pytest.raises(DataError, match="no step of 2 episodes has a 'speed': leave out signature.inputs.speed"):
        require_seen(examples(source, bound(source), [0, 1]), bound(source))


def test_episodes_that_say_nothing_of_what_to_do_are_refused(drives, bound):
    source, silent = drives([3]), drives([3, 4], without=["action"])
    with pytest.raises(DataError, match="no step of 2 episodes has a 'action': there is nothing to imitate"):
        examples(silent, bound(source), [0, 1])


@pytest.mark.parametrize("odd", [np.inf, -np.inf])
def test_an_infinite_action_is_named(drives, odd):
    source = drives([3, 4])
    source.episode(1).tracks["action"].values[2] = np.array([0.5, odd], np.float32)
    with pytest.raises(DataError, match=r"^episode 1, step 3: action is \[ ?0.5 +-?inf\]: expected finite numbers"):
        acted(source.episode(1), "action")
    assert len(acted(source.episode(0), "action")[1]) == 3
