"""From what a head gives to an action: the choice itself, its probabilities and its confidence."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import OutputError, SignatureError


@dataclass(frozen=True, slots=True)
class Choice:
    """An action and how sure the policy is of it; see `Decision` for the fields."""

    action: Any
    label: str
    probabilities: np.ndarray | None
    confidence: float | None


def choose(action_space: ActionSpace, parameters: np.ndarray) -> Choice:
    """The best action for one row of head outputs.

    Args:
        action_space: What can be done.
        parameters: For `Discrete`, calibrated logits float32 `(choices,)`.

    Raises:
        OutputError: The parameters are NaN or infinite.
        SignatureError: Actions of this space cannot be chosen yet.

    >>> from sensorimotor.actions.space import Discrete
    >>> choose(Discrete(2, ("wait", "go")), np.array([0.0, 2.0], np.float32)).label
    'go'
    """
    if not isinstance(action_space.space, spaces.Discrete):
        raise SignatureError(f"no actions of {action_space.space} can be chosen yet; only Discrete")
    if not math.isfinite(parameters.sum()):
        raise OutputError(
            f"the network gave logits that are NaN or infinite: {parameters.tolist()}; nothing was decided and the "
            "memory is unchanged. Run `sensorimotor inspect POLICY --verify` to see whether the bundle is at fault"
        )
    exponent = np.exp(parameters - parameters.max())
    probabilities = exponent / exponent.sum()
    best = int(parameters.argmax())
    return Choice(best, action_space.label(best), probabilities, float(probabilities[best]))
