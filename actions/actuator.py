"""Actuators: where actions go, all of them told in the same way."""

from dataclasses import dataclass
from typing import Any, Protocol


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


class Actuator(Protocol):
    """A sink of actions.

    Attributes:
        target: What it is, for people and traces; without credentials.
    """

    target: str

    def open(self) -> None:
        """Get ready.

        Raises:
            ActuatorError: It cannot be reached or does not exist.
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
