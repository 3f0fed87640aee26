"""Between a loop in simulated time and an actuator: every command is sent at once, in order, and none is left out."""

import time
from collections import deque

from sensorimotor.actions.actuator import Actuator, Command
from sensorimotor.actions.dispatcher import ActuatorEvent, DispatchCounts
from sensorimotor.clock import Clock
from sensorimotor.errors import ActuatorError


class Direct:
    """Sends commands in the thread of the caller, who waits; one that fails is told and counted.

    Args:
        actuator: Where to.
        clock: Stamps events.
        timeout_s: The most that one command may take, in real time.
    """

    def __init__(self, actuator: Actuator, clock: Clock, *, timeout_s: float):
        self._actuator, self._clock, self._timeout_s = actuator, clock, timeout_s
        self._sent = self._failed = 0
        self._open, self._trouble = False, ""
        self._events: list[ActuatorEvent] = []
        self._durations_s: deque[float] = deque(maxlen=4096)

    @property
    def counts(self) -> DispatchCounts:
        """What became of the commands so far."""
        return DispatchCounts(sent=self._sent, failed=self._failed)

    @property
    def trouble(self) -> str:
        """What is wrong with the actuator: the last command failed; empty where nothing is."""
        return self._trouble

    def offer(self, command: Command) -> None:
        """Send a command."""
        try:
            if not self._open:
                self._actuator.open()
                self._open = True
            began = time.perf_counter()
            self._actuator.send(command, self._timeout_s)
            self._durations_s.append(time.perf_counter() - began)
        except ActuatorError as error:
            self._fail(str(error))
            return
        except Exception as error:  # noqa: BLE001 (an actuator may be anyone's code; the next command still goes out)
            self._fail(f"{self._actuator.target} raised {type(error).__name__}: {error}")
            return
        self._sent += 1
        if self._trouble:
            self._trouble = ""
            self._events.append(
                ActuatorEvent("recovered", self._clock.now_ns(), f"{self._actuator.target} takes actions again")
            )

    def events(self) -> list[ActuatorEvent]:
        """What has happened since this was asked last."""
        events, self._events = self._events, []
        return events

    def durations_s(self) -> list[float]:
        """How long each command took that was delivered since this was asked last (s)."""
        durations_s = list(self._durations_s)
        self._durations_s.clear()
        return durations_s

    def close(self, last: Command | None = None) -> None:
        """Send one last command and let go of the actuator."""
        if last:
            self.offer(last)
        self._close()

    def _fail(self, reason: str) -> None:
        self._failed += 1
        self._close()
        if not self._trouble:
            self._events.append(ActuatorEvent("lost", self._clock.now_ns(), reason))
        self._trouble = reason

    def _close(self) -> None:
        self._open = False
        try:
            self._actuator.close()
        except Exception as error:  # noqa: BLE001 (as above: there is nothing left to let go of)
            self._trouble = self._trouble or f"{self._actuator.target} cannot be closed: {error}"
