"""A policy of one camera whose network is any function: for benchmarks of everything around a network."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.actions.space import Discrete
from sensorimotor.models.backend import CoreInput, CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image

HEIGHT, WIDTH = 480, 640


class Doing:
    """A back end whose only encoder calls a function, and whose core always decides the same."""

    memory_size = 1

    def __init__(self, work: Callable[[], object]):
        self._work = work
        self._tokens, self._mask = np.zeros((1, 1, 1), np.float32), np.ones((1, 1), bool)
        self._decided = CoreOutput(
            np.array([[0.0, 1.0]], np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
        )

    def encode(self, name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        self._work()
        return self._tokens, self._mask

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        return self._decided

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.empty_tokens`."""
        return self._tokens, ~self._mask


def camera_policy(work: Callable[[], object], rate_hz: float) -> tuple[Policy, Guards]:
    """A policy of one camera that decides `rate_hz` times a second, and guards without rules of an operator's."""
    signature = Signature(
        {"camera": Image(height=HEIGHT, width=WIDTH, critical=True)},
        Discrete(2, ("wait", "go")),
        Constant("wait"),
        rate_hz,
    )
    policy = Policy(signature, Doing(work))
    guards = Guards(
        NO_RULES,
        signature.action_space,
        policy.safe_action,
        max_age_s={"camera": signature.inputs["camera"].max_age_s},
        period_s=1 / rate_hz,
    )
    return policy, guards
