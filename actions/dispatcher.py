"""Between the loop and an actuator: a slow or dead device costs commands, never time.

One thread, one slot: the newest command takes the place of one that still waits, and none is sent after its time.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from sensorimotor.actions.actuator import Actuator, Command
from sensorimotor.clock import Clock
from sensorimotor.errors import ActuatorError, ActuatorGoneError

T = TypeVar("T")

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 5.0
"""How long a device that failed twice in a row is left alone; twice as long after each further failure."""

SHORTEST = 0.1
"""A command with less than this part of its time left is not begun: it would fail for no fault of the device."""

OVERDUE = 2
"""A command that takes this many times its time-out is taken not to come back."""

WAKING_S = 0.0005
"""How long the thread that sends is given to wake up (s). Else it would wait until whoever offers has done all the rest
of its work, which needs the interpreter just as much."""

CLOSING_S = 2.0
"""How long closing may take, the last command included."""


@dataclass(frozen=True, slots=True)
class DispatchCounts:
    """What became of the commands.

    Attributes:
        sent: Delivered.
        replaced: A newer one came before they could be sent.
        expired: Their time was over, or as good as over, before they could be sent.
        failed: The actuator refused them, was not there, or took too long.
        waited: Came while a device that had failed was left alone.
    """

    sent: int = 0
    replaced: int = 0
    expired: int = 0
    failed: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class ActuatorEvent:
    """Something that happened to the actuator, for the trace and for its health."""

    what: Literal["lost", "recovered", "abandoned"]
    at_ns: int
    reason: str


class Dispatcher:
    """Sends commands from a thread of its own; use as a context manager or call `close`.

    Of each count one thread is the only writer, so that `offer`, which a loop calls, takes no lock.

    Args:
        actuator: Where to.
        clock: The clock that commands expire on.
        timeout_s: The most that one command may take; less where it expires sooner.
        jitter: Gives numbers from 0 to 1, which spread the times of reconnecting.

    Attributes:
        gone: Whether the actuator has said that there is no use in trying it again.
    """

    def __init__(
        self, actuator: Actuator, clock: Clock, *, timeout_s: float, jitter: Callable[[], float] = random.random
    ):
        self._actuator, self._clock, self._timeout_s, self._jitter = actuator, clock, timeout_s, jitter
        self.gone = False
        self._slot: deque[Command] = deque(maxlen=1)
        self._awake = threading.Lock()  # released where there is something to do: the loop must not wait for a lock
        self._awake.acquire()
        self._took = threading.Lock()  # released where a command has been taken out of the slot
        self._took.acquire()
        self._last: Command | None = None
        self._closing = self._abandoned = self._open = False
        self._failures, self._not_before_ns, self._trouble = 0, 0, ""
        self._began_ns: int | None = None
        self._counts = dict.fromkeys(DispatchCounts.__slots__, 0)
        self._events: deque[ActuatorEvent] = deque(maxlen=256)
        self._durations_s: deque[float] = deque(maxlen=4096)
        self._thread = threading.Thread(target=self._run, name=f"dispatch to {actuator.target}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def counts(self) -> DispatchCounts:
        """What became of the commands so far."""
        return DispatchCounts(**self._counts)

    @property
    def trouble(self) -> str:
        """What is wrong with the actuator: the last command failed, or does not come back; empty where nothing is."""
        began_ns = self._began_ns
        if not self._trouble and began_ns is not None:
            busy_s = (self._clock.now_ns() - began_ns) / 1e9
            if busy_s > OVERDUE * self._timeout_s:
                return f"{self._actuator.target} has been busy with one action for {busy_s:.1f} s"
        return self._trouble

    def offer(self, command: Command) -> None:
        """Have a command sent as soon as it can be.

        Never waits for the actuator; for a thread that is at rest to wake up, `WAKING_S` at most.
        """
        if self._closing:
            return
        if self._taken():
            self._counts["replaced"] += 1
        self._took.acquire(blocking=False)
        at_rest = self._began_ns is None
        self._slot.append(command)
        self._wake()
        if at_rest:
            self._took.acquire(timeout=WAKING_S)

    def events(self) -> list[ActuatorEvent]:
        """What has happened since this was asked last."""
        return _drained(self._events)

    def durations_s(self) -> list[float]:
        """How long each command took that was delivered since this was asked last (s)."""
        return _drained(self._durations_s)

    def close(self, last: Command | None = None, within_s: float = CLOSING_S) -> bool:
        """Send one last command (the safe action) if that can be done, and let go of the actuator.

        Returns:
            Whether it ended in time; if not, its thread is left behind and sends nothing more.
        """
        if not self._closing:
            self._last, self._closing = last, True
            self._wake()
        self._thread.join(within_s)
        if self._thread.is_alive() and not self._abandoned:
            self._abandoned = True
            self._tell("abandoned", f"{self._actuator.target} did not come back within {within_s:g} s")
        return not self._thread.is_alive()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it is awake already
            self._awake.release()

    def _taken(self) -> Command | None:
        try:
            return self._slot.pop()
        except IndexError:
            return None

    def _run(self) -> None:
        closing = False
        while not closing:
            self._awake.acquire()
            closing = self._closing
            command = self._taken()
            with suppress(RuntimeError):  # nobody has waited for it
                self._took.release()
            if closing and self._last:
                self._counts["replaced"] += command is not None
                command = self._last
            if command and not self._abandoned:
                self._began_ns = self._clock.now_ns()
                self._deliver(command, last=closing)
                self._began_ns = None
        self._close()

    def _deliver(self, command: Command, last: bool) -> None:
        if not last and self._clock.now_ns() < self._not_before_ns:
            self._counts["waited"] += 1
            return
        try:
            if not self._open:
                self._actuator.open()
                self._open = True
            left_s = (command.expires_ns - self._clock.now_ns()) / 1e9
            life_s = (command.expires_ns - command.decided_ns) / 1e9  # of a fast policy, shorter than the time-out
            if left_s <= SHORTEST * min(self._timeout_s, life_s):
                self._counts["expired"] += 1
                return
            began = time.perf_counter()
            self._actuator.send(command, min(self._timeout_s, left_s))
            self._durations_s.append(time.perf_counter() - began)
        except ActuatorError as error:
            self.gone = isinstance(error, ActuatorGoneError)
            self._failed(str(error))
            return
        except Exception as error:  # noqa: BLE001 (an actuator may be anyone's code; the next command still goes out)
            self._failed(f"{self._actuator.target} raised {type(error).__name__}: {error}")
            return
        self._counts["sent"] += 1
        self._failures = 0
        if self._trouble:
            self._trouble = ""
            self._tell("recovered", f"{self._actuator.target} takes actions again")

    def _failed(self, reason: str) -> None:
        self._counts["failed"] += 1
        self._close()
        self._failures += 1
        if self._failures > 1:
            backoff_s = min(FIRST_BACKOFF_S * 2.0 ** min(self._failures - 2, 30), LONGEST_BACKOFF_S)
            self._not_before_ns = self._clock.now_ns() + round(backoff_s * (0.5 + self._jitter() / 2) * 1e9)
        if not self._trouble:
            self._tell("lost", reason)
        self._trouble = reason

    def _close(self) -> None:
        self._open = False
        try:
            self._actuator.close()
        except Exception as error:  # noqa: BLE001 (as above: there is nothing left to let go of)
            self._trouble = self._trouble or f"{self._actuator.target} cannot be closed: {error}"

    def _tell(self, what: Literal["lost", "recovered", "abandoned"], reason: str) -> None:
        self._events.append(ActuatorEvent(what, self._clock.now_ns(), reason))


def _drained(queue: deque[T]) -> list[T]:
    taken = []
    while queue:  # the other thread only adds
        taken.append(queue.popleft())
    return taken
