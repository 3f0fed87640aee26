import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sensorimotor.actions.choice import choose
from sensorimotor.actions.space import Box, Discrete, MultiBinary
from sensorimotor.errors import OutputError

logits = hnp.arrays(np.float32, st.integers(1, 8), elements=st.floats(-1e4, 1e4, width=32))


@given(logits)
def test_the_most_probable_choice_is_taken_and_its_probability_is_the_confidence(row):
    choice = choose(Discrete(len(row)), row)
    assert row[choice.action] == row.max()
    assert choice.confidence == choice.probabilities.max() == choice.probabilities[choice.action]
    assert choice.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert choice.probabilities.min() >= 0
    assert choice.confidence >= 1 / len(row) - 1e-6


@given(row=logits, shift=st.floats(-1e3, 1e3, width=32))
def test_only_differences_of_logits_count(row, shift):
    row = np.clip(row, -20, 20)
    expected, shifted = choose(Discrete(len(row)), row), choose(Discrete(len(row)), row + np.float32(shift))
    assert np.allclose(shifted.probabilities, expected.probabilities, atol=1e-3)


def test_the_probabilities_are_the_softmax_of_the_logits():
    choice = choose(Discrete(3, ("wait", "go", "stop")), np.log(np.array([1, 7, 2], np.float32)))
    assert np.allclose(choice.probabilities, [0.1, 0.7, 0.2])
    assert (choice.action, choice.label) == (1, "go")
    assert type(choice.action) is int
    assert type(choice.confidence) is float


def test_of_equals_the_first_is_taken():
    choice = choose(Discrete(4), np.zeros(4, np.float32))
    assert (choice.action, choice.label, choice.confidence) == (0, "0", 0.25)


def test_the_logits_are_left_as_they_are():
    row = np.array([1.0, 2.0], np.float32)
    choose(Discrete(2), row)
    assert row.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_output_error_and_no_action(bad):
    with pytest.raises(OutputError, match="NaN or infinite.*memory is unchanged"):
        choose(Discrete(3), np.array([0.0, bad, 1.0], np.float32))


def test_switches_are_on_where_that_is_more_probable_and_sure_together():
    parameters = np.log(np.array([9.0, 1 / 4, 1.0 + 1e-6], np.float32))
    choice = choose(MultiBinary(3, ("grip", "light", "horn")), parameters)
    assert choice.action.tolist() == [1, 0, 1]
    assert spaces.MultiBinary(3).contains(choice.action)
    assert choice.label == "grip + horn"
    assert choice.confidence == pytest.approx(0.9 * 0.8 * 0.5, rel=1e-4)
    assert choose(MultiBinary(2), np.array([-99.0, -9.0], np.float32)).label == "nothing"


def test_of_a_plan_the_first_action_is_taken_and_nothing_is_known_of_how_sure_it_is():
    space = Box([-1, 0], [1, 10], ("turn", "lift"), ("rad", "cm"))
    plan = np.array([[0.25, 3.0], [0.5, 4.0]], np.float32)
    choice = choose(space, plan)
    assert np.array_equal(choice.action, plan[0])
    assert np.array_equal(choice.plan, plan)
    assert choice.label == "turn 0.25 rad, lift 3 cm"
    assert (choice.probabilities, choice.confidence) == (None, None)


@pytest.mark.parametrize("space", [Box([-1, -1], [1, 1]), MultiBinary(2)])
def test_what_is_not_finite_is_no_action_of_any_space(space):
    with pytest.raises(OutputError, match="NaN or infinite"):
        choose(space, np.array([0.0, np.nan], np.float32))
