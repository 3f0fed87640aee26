"""Work that is done in a thread of its own, in order, so that whoever hands it over never waits."""

import threading
from collections import deque
from collections.abc import Callable


class Background:
    """Does one piece of work after another; what waits is bounded. The work must not raise.

    Args:
        name: Of the thread.
        limit_bytes: So much may wait; then no more is taken.
    """

    def __init__(self, name: str, limit_bytes: int):
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[int, Callable[[], object]]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How much waits, with what is being done (bytes)."""
        return self._bytes

    def offer(self, size_bytes: int, work: Callable[[], object], limit_bytes: int | None = None) -> bool:
        """Have something done after what waits already; whether it was taken.

        Args:
            size_bytes: How much memory it holds (bytes).
            work: What to do.
            limit_bytes: Another bound than that of all work.
        """
        with self._changed:
            limit_bytes = self._limit_bytes if limit_bytes is None else limit_bytes
            if size_bytes and self._bytes + size_bytes > limit_bytes:
                return False
            self._waiting.append((size_bytes, work))
            self._bytes += size_bytes
            self._changed.notify()
        return True

    def first(self, work: Callable[[], object]) -> None:
        """Have something done before all that waits."""
        with self._changed:
            self._waiting.appendleft((0, work))
            self._changed.notify()

    def close(self, within_s: float) -> bool:
        """Do what waits, and end; whether that was done within so long (s). What is not is left to the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                size_bytes, work = self._waiting.popleft()
            work()
            with self._changed:
                self._bytes -= size_bytes
