import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sensorimotor.actions.choice import choose
from sensorimotor.actions.space import ActionSpace, Discrete
from sensorimotor.errors import OutputError, SignatureError

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


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,), np.float32), spaces.MultiBinary(2)])
def test_spaces_that_no_head_serves_yet_are_refused_by_name(space):
    with pytest.raises(SignatureError, match=f"no actions of {type(space).__name__}.*only Discrete"):
        choose(ActionSpace(space), np.zeros(2, np.float32))
