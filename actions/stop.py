"""The stop that stays: once pressed, nothing but the safe action is executed until somebody says go on."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensorimotor.errors import OutputPathError


class LatchedStop:
    """A stop that only `reset` ends: not time, not the end of its cause, and not a restart where it is a file.

    It can be pressed by code (a key, a signal) and by making its file, from any program: `touch FILE`. Removing the
    file does not end it while the policy runs. A file that cannot be looked at counts as made.

    Args:
        file: Where it is kept; without one it is forgotten when the process ends.

    Raises:
        OutputPathError: The folder of the file is not there.

    >>> stop = LatchedStop()
    >>> stop.trip("key pressed")
    >>> stop.reason()
    'key pressed'
    >>> stop.reset()
    >>> stop.reason() is None
    True
    """

    def __init__(self, file: Path | None = None):
        self.file = file.absolute() if file else None  # another working directory later changes nothing
        if self.file and not self.file.parent.is_dir():
            raise OutputPathError(f"the stop file {file} cannot be made: there is no folder {self.file.parent}")
        self._reason: str | None = None

    def trip(self, reason: str) -> None:
        """Stop. Never fails and takes no lock: a signal handler may call it at any moment."""
        if self._reason is None:
            self._reason = reason
        if self.file:
            try:
                with self.file.open("x", encoding="utf-8") as file:
                    file.write(reason + "\n")
            except FileExistsError:
                pass
            except OSError as error:  # the stop holds in this process all the same
                self._reason = f"{self._reason} (not kept for a restart: {error.strerror})"

    def reason(self) -> str | None:
        """Why it is stopped, or None. Looks for the file, so ask before every action."""
        if self._reason is None and self.file:
            self._reason = _found(self.file)
        return self._reason

    def reset(self) -> None:
        """Go on, after a person decided so; removes the file.

        Raises:
            OutputPathError: The file cannot be removed; it stays stopped.
        """
        if self.file:
            try:
                self.file.unlink(missing_ok=True)
            except OSError as error:
                raise OutputPathError(f"still stopped: cannot remove {self.file}: {error.strerror}") from error
        self._reason = None


def _found(file: Path) -> str | None:
    """Why the file says to stop; None where there is none."""
    try:
        os.stat(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the stop file {file} cannot be looked at: {error.strerror}"
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            written = " ".join(opened.read(200).split())
    except OSError:
        written = ""
    return f"{file} is there" + (f": {written}" if written else "")


@contextmanager
def stopped_by_signals(
    stop: LatchedStop, trip: signal.Signals = signal.SIGUSR1, reset: signal.Signals = signal.SIGUSR2
) -> Iterator[None]:
    """While inside, one signal presses the stop and another ends it; only for the main thread of a program.

    A reset that fails leaves it stopped, which the reason then says.

    >>> with stopped_by_signals(stop := LatchedStop()):
    ...     os.kill(os.getpid(), signal.SIGUSR1)
    ...     stop.reason()
    'signal SIGUSR1'
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals are received by the main thread only")

    def on_trip(_number: int, _frame: object) -> None:
        stop.trip(f"signal {trip.name}")

    def on_reset(_number: int, _frame: object) -> None:
        try:
            stop.reset()
        except OutputPathError as error:
            stop.trip(str(error))

    before = {trip: signal.signal(trip, on_trip), reset: signal.signal(reset, on_reset)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
