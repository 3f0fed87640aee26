"""What a policy does when it must not decide, for the values it has of its inputs."""

from collections.abc import Mapping
from typing import Any

from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition, Signature


def safe_action(signature: Signature, values: Mapping[str, Any]) -> tuple[Any, str]:
    """The safe action and its name.

    Args:
        signature: Whose.
        values: Input name → value, of the inputs that are there.

    Returns:
        The action, or None where the device has to hold by itself: it is to, or where it stands is not known.

    >>> from sensorimotor import Discrete, Image
    >>> safe_action(Signature({"eye": Image(height=8, width=8)}, Discrete(2, ("wait", "go")), Constant(0), 10.0), {})
    (0, 'wait')
    """
    match signature.safe_action:
        case Constant(action):
            return action, signature.action_space.label(action) if isinstance(action, int) else "hold"
        case HoldPosition(name):
            return values.get(name), "hold"
        case ActuatorHold():
            return None, "hold"
    raise AssertionError(signature.safe_action)
