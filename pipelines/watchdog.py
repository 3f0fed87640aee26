"""A thread that looks after the loop: one that hangs cannot say so itself."""

import threading
from collections.abc import Callable

from sensorimotor.pipelines.health import Health, State


class Watchdog:
    """Looks at the health again and again, and acts while the loop stalls; use as a context manager.

    Args:
        health: What it looks at.
        on_stall: Called with the reason, from this thread, at every look while the loop stalls: offer the safe action.
        every_s: Time between two looks (s).
    """

    def __init__(self, health: Health, on_stall: Callable[[str], None], *, every_s: float):
        self._health, self._on_stall, self._every_s = health, on_stall, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> None:
        """Look once. What the call for a stall raises is told with the health, and the watch goes on."""
        report = self._health.report()
        if report.state is State.STALLED:
            try:
                self._on_stall(report.reasons[0])
            except Exception as error:  # noqa: BLE001 (a watchdog that dies of what it sees is none)
                self._health.impair("watchdog", f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """End the watch."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self.look()
