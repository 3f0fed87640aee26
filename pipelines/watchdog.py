"""A thread that looks after the loop: one that hangs cannot say so itself."""

import threading
from collections.abc import Callable

from sensorimotor.pipelines.health import Health, HealthReport


class Watchdog:
    """Looks at the health again and again, and acts while decisions are overdue; use as a context manager.

    Args:
        health: What it looks at.
        overdue: Called with how it is, from this thread, at every look while a decision is overdue.
        every_s: Time between two looks (s).
    """

    def __init__(self, health: Health, overdue: Callable[[HealthReport], None], *, every_s: float):
        self._health, self._tell, self._every_s = health, overdue, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> None:
        """Look once. What the call raises is told with the health, and the watch goes on."""
        report = self._health.report()
        if report.overdue:
            try:
                self._tell(report)
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
