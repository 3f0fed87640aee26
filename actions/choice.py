"""From what a head gives to an action: the choice itself, its probabilities and its confidence."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import OutputError


@dataclass(frozen=True, slots=True)
class Choice:
    """An action and how sure the policy is of it; see `Decision` for the fields."""

    action: Any
    label: str
    probabilities: np.ndarray | None = None
    confidence: float | None = None
    plan: np.ndarray | None = None


def choose(action_space: ActionSpace, parameters: np.ndarray) -> Choice:
    """The best action for one row of head outputs.

    Args:
        action_space: What can be done.
        parameters: For `Discrete`, calibrated logits float32 `(choices,)`; for `MultiBinary`, `(switches,)`; for `Box`,
            a plan `(horizon, size)` in the units of the space.

    Raises:
        OutputError: The parameters are NaN or infinite.

    >>> from sensorimotor.actions.space import Box, Discrete
    >>> choose(Discrete(2, ("wait", "go")), np.array([0.0, 2.0], np.float32)).label
    'go'
    >>> choose(Box([-1, -1], [1, 1], ("x", "y"), ("m", "m")), np.array([[0.5, 0.0], [0.4, 0.1]], np.float32)).label
    'x 0.5 m, y 0 m'
    """
    if not math.isfinite(np.add.reduce(parameters, axis=None)):
        raise OutputError(
            f"the network gave logits that are NaN or infinite: {parameters.tolist()}; nothing was decided and the "
            "memory is unchanged. Run `sensorimotor inspect POLICY --verify` to see whether the bundle is at fault"
        )
    match action_space.space:
        case spaces.Discrete():
            # as .max() and .sum(), without their way through Python: a live decision finds nothing of it in its caches
            exponent = np.exp(parameters - np.maximum.reduce(parameters))
            probabilities = exponent / np.add.reduce(exponent)
            best = int(parameters.argmax())
            return Choice(best, action_space.describe(best), probabilities, float(probabilities[best]))
        case spaces.MultiBinary(dtype=dtype):
            probabilities = 1 / (1 + np.exp(-np.clip(parameters, -80, 80)))
            switches = (probabilities > 0.5).astype(dtype)
            # Of the whole combination, switches taken as independent given what is seen.
            sure = float(np.where(switches, probabilities, 1 - probabilities).prod())
            return Choice(switches, action_space.describe(switches), probabilities, sure)
        case spaces.Box(shape=shape, dtype=dtype):
            plan = parameters.reshape(-1, *shape).astype(dtype)
            return Choice(plan[0], action_space.describe(plan[0]), plan=plan)
    raise AssertionError(action_space.space)


def same_choice(action_space: ActionSpace, ours: Any, theirs: Any) -> bool:
    """Whether two actions are the same choice; of vectors that differ by rounding a tolerance is the judge."""
    return isinstance(action_space.space, spaces.Box) or np.array_equal(ours, theirs)
