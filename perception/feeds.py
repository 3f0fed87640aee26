"""The feeds of all inputs: started and stopped together, and watched by one thread that waits for no sensor.

    box = latest()
    camera = open_sensor("camera", modality, "0", clock=clock)
    feed = Feed("camera", modality, camera, clock=clock, sink=lambda name, sample: box.put(sample), event=trace)
    with Feeds([feed]):
        while (sample := box.take(timeout_s=1.0)) is not None:
            buffers.feed("camera", sample.value, sample.captured_ns / 1e9)

Where Python computes beside the feeds, `sys.setswitchinterval(0.0005)` is worth its while: a frame of a stream changes
hands between Python and FFmpeg some six times, and at each it may wait for its turn, 5 ms by default.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable

from sensorimotor.errors import UsageError
from sensorimotor.perception.feed import STOP_S, Feed, FeedState

WATCH_S = 0.05
"""So often (s) it is seen whether inputs are late."""


class Feeds:
    """All feeds, as a context: they read within it.

    Args:
        feeds: One for each input.

    Raises:
        UsageError: Two have the same name.
    """

    def __init__(self, feeds: Iterable[Feed]):
        self._feeds = list(feeds)
        twice = [name for name, number in Counter(feed.name for feed in self._feeds).items() if number > 1]
        if twice:
            raise UsageError(f"input {twice[0]!r}: expected one sensor, got several")
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="feeds", daemon=True)

    def __enter__(self) -> "Feeds":
        """Start all of them."""
        for feed in self._feeds:
            feed.start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all of them."""
        self.stop()

    def stop(self, timeout_s: float = STOP_S) -> list[str]:
        """Stop all of them, within `timeout_s` together; the names of those that are stuck in their driver."""
        self._stopping.set()
        for feed in self._feeds:
            feed.ask_to_stop()
        until_s = time.monotonic() + timeout_s
        return [feed.name for feed in self._feeds if not feed.stop(max(0.0, until_s - time.monotonic()))]

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_S):
            for feed in self._feeds:
                feed.check()

    def states(self) -> dict[str, FeedState]:
        """Input → how it is."""
        return {feed.name: feed.state for feed in self._feeds}

    def drops(self) -> dict[str, dict[str, int]]:
        """Input → cause → how many were lost before they came to a sink."""
        return {feed.name: feed.drops() for feed in self._feeds}
