"""Actions given to a Python function: for a device with a library of its own."""

from collections.abc import Callable

from sensorimotor.actions.actuator import Command
from sensorimotor.errors import ActuatorError


class CallableActuator:
    """Calls a function with each command. A call cannot be cut short: one that hangs holds up its own commands only.

    Args:
        function: Takes a `Command`; what it returns is thrown away, and what it raises is a command that failed.
        target: What it is called; by default, by the function's name.

    >>> done = []
    >>> actuator = CallableActuator(lambda command: done.append(command.label), "list")
    >>> actuator.send(Command(1, "go", 0, 0, 1, held=False), timeout_s=0.1)
    >>> done
    ['go']
    """

    def __init__(self, function: Callable[[Command], object], target: str = ""):
        self._function = function
        self.target = target or getattr(function, "__qualname__", type(function).__name__)

    def open(self) -> None:
        """Nothing to do."""

    def send(self, command: Command, timeout_s: float) -> None:
        """Call the function.

        Raises:
            ActuatorError: It raised something.
        """
        try:
            self._function(command)
        except Exception as error:  # noqa: BLE001 (anybody's function may raise anything)
            raise ActuatorError(f"{self.target} raised {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing to do."""
