"""Actuators: where actions go, all of them told in the same way."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Command:
    """One action to carry out.

    Attributes:
        action: What to do: a number of a choice, switches or a vector; None: the device's own hold.
        label: Its name.
        step: Of the decision it comes from.
        decided_ns: When that was made, on the injected clock (ns).
        expires_ns: From then on it must not be sent any more (ns).
        held: Whether it is the safe action because a guard said so.
    """

    action: Any
    label: str
    step: int
    decided_ns: int
    expires_ns: int
    held: bool

    def to_json(self) -> dict[str, Any]:
        """The command as plain JSON types: what a receiver gets."""
        action = self.action.tolist() if isinstance(self.action, np.ndarray | np.generic) else self.action
        return {**asdict(self), "action": action}

    def to_line(self) -> bytes:
        """The command as one line of JSON, without the line's end.

        Raises:
            ValueError: The action has NaN or infinity in it, which no receiver should see.

        >>> Command(1, "go", 7, 100, 200, held=False).to_line()
        b'{"action": 1, "label": "go", "step": 7, "decided_ns": 100, "expires_ns": 200, "held": false}'
        """
        return json.dumps(self.to_json(), allow_nan=False).encode()


class Actuator(Protocol):
    """A sink of actions. It is used by one thread at a time.

    Attributes:
        target: What it is, for people and traces; without credentials.
    """

    target: str

    def open(self) -> None:
        """Get ready; may be called again after `close` or an error.

        It does not connect where that takes time: `send` does, which has a limit.

        Raises:
            ActuatorError: It does not exist.
        """
        ...

    def send(self, command: Command, timeout_s: float) -> None:
        """Carry out one command, in at most about `timeout_s`.

        Raises:
            ActuatorError: It was refused, or could not be delivered in time.
        """
        ...

    def close(self) -> None:
        """Let go of it. May be called twice."""
        ...
