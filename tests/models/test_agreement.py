import numpy as np
import pytest
from gymnasium import spaces

from sensorimotor.actions.space import ActionSpace, Box, Discrete
from sensorimotor.errors import OutputError
from sensorimotor.models.agreement import compare


def rows(*values):
    return [np.array(value, np.float32) for value in values]


def test_choices_agree_however_sure_they_are():
    found = compare(Discrete(2, ("wait", "go")), rows([0, 1], [3, 0]), rows([0, 0.9], [0.1, 0]))
    assert (found.steps, found.same, found.complete) == (2, 2, True)
    assert found.max_difference == pytest.approx(2.9)
    assert found.max_action_difference is None


def test_one_other_choice_is_enough():
    found = compare(Discrete(2, ("wait", "go")), rows([0, 1], [0, 0.1]), rows([0, 1], [0, -0.1]))
    assert (found.same, found.complete) == (1, False)
    assert str(found) == "1 of 2 decisions differ, outputs by up to 2.0e-01"


def test_switches_agree_if_all_of_them_do():
    space = ActionSpace(spaces.MultiBinary(2), ("light", "horn"))
    assert compare(space, rows([1, -1]), rows([5, -5])).complete
    assert not compare(space, rows([1, 0.1]), rows([1, -0.1])).complete


@pytest.mark.parametrize(("off", "same"), [(0.018, True), (0.022, False)])
def test_vectors_agree_within_a_hundredth_of_their_range(off, same):
    space = Box([-1, -1], [1, 1], ("x", "y"), ("m", "m"))
    found = compare(space, rows([[0.5, 0.0], [0.4, off]]), rows([[0.5, 0.0], [0.4, 0.0]]))
    assert found.complete is same
    assert found.max_action_difference == pytest.approx(off / 2, rel=1e-4)
    assert f"actions by up to {off / 2:.1%} of their range" in str(found)


@pytest.mark.parametrize(("right", "off", "same"), [(100, 0.9, True), (100, 1.1, False), (0, 0.009, True)])
def test_without_limits_a_hundredth_of_the_value_is_near(right, off, same):
    space = Box([-np.inf], [np.inf], ("x",), ("m",))
    assert compare(space, rows([[right + off]]), rows([[right]])).complete is same


def test_what_is_no_number_is_an_error():
    with pytest.raises(OutputError):
        compare(Discrete(2, ("wait", "go")), rows([np.nan, 1]), rows([0, 1]))
