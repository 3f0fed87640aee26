"""Actions as lines of JSON on standard output, for the next program in a pipe."""

import os
import select
import time

from sensorimotor.actions.actuator import Command
from sensorimotor.errors import ActuatorError, ActuatorGoneError


class LineActuator:
    """Writes each command as one line of JSON. A reader that does not read costs no more than the time-out.

    Args:
        descriptor: The open file to write to; it is not closed.
        target: What it is called.
    """

    def __init__(self, descriptor: int = 1, target: str = "stdout"):
        self.target, self._descriptor, self._torn = target, descriptor, False

    def open(self) -> None:
        """Nothing to do: the file is open."""

    def send(self, command: Command, timeout_s: float) -> None:
        """Write one line.

        Raises:
            ActuatorGoneError: Nobody reads it any more.
            ActuatorError: It is not read fast enough, or cannot be written.
        """
        # What was begun and never finished is ended, not completed: its time is over.
        rest = (b"\n" if self._torn else b"") + command.to_line() + b"\n"
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while rest:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                raise ActuatorError(f"{self.target} does not take any more: its reader is too slow")
            try:
                # A pipe that can be written to takes this much without waiting.
                written = os.write(self._descriptor, rest[: select.PIPE_BUF])
            except BrokenPipeError as error:
                raise ActuatorGoneError(f"cannot write to {self.target}: {error.strerror}") from error
            except OSError as error:
                raise ActuatorError(f"cannot write to {self.target}: {error.strerror}") from error
            rest, self._torn = rest[written:], written < len(rest)

    def close(self) -> None:
        """Nothing to do."""
