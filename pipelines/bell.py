"""Wakes a thread that waits, as fast as Python can."""

import threading


class Bell:
    """One thread waits, any thread rings; what is rung before the wait is not lost, and rings do not add up.

    A lock that is released to ring. A `threading.Condition` makes a new lock for every wait, and has whoever wakes up
    queue for a second one; with a frame on its way to an action that is one wait of three, each time.

    >>> bell = Bell()
    >>> bell.ring(), bell.ring(), bell.wait(0.0), bell.wait(0.0)
    (None, None, True, False)
    """

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or have it not wait the next time."""
        try:
            self._silent.release()
        except RuntimeError:  # it was rung already, and nobody has waited since
            return

    def wait(self, timeout_s: float = -1) -> bool:
        """Wait until it is rung; whether it was, within `timeout_s` (-1: however long it takes)."""
        return self._silent.acquire(timeout=timeout_s)
