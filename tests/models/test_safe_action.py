import numpy as np

from sensorimotor.actions.space import Box, Discrete
from sensorimotor.models.safe_action import safe_action
from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition, Signature
from sensorimotor.perception.modality import State

JOINTS = {"joints": State(size=2)}
ARM = Box([-1, -1], [1, 1])


def test_a_constant_is_always_the_same_and_bears_the_name_of_its_choice():
    signature = Signature(JOINTS, Discrete(2, ("wait", "go")), Constant(0), 10.0)
    assert safe_action(signature, {}) == (0, "wait")
    action, label = safe_action(Signature(JOINTS, ARM, Constant([0, 0.5]), 10.0), {})
    assert (action.tolist(), label) == ([0, 0.5], "hold")


def test_a_position_is_held_where_it_is_known():
    signature = Signature(JOINTS, ARM, HoldPosition("joints"), 10.0)
    joints = np.array([0.25, 0.5], np.float32)
    assert safe_action(signature, {"joints": joints})[0] is joints
    assert safe_action(signature, {}) == (None, "hold")


def test_a_device_that_holds_by_itself_is_told_nothing_else():
    assert safe_action(Signature(JOINTS, ARM, ActuatorHold(), 10.0), JOINTS) == (None, "hold")
