"""Whether a camera repeats itself: frames that are, pixel by pixel, one of those just before them."""

from collections import deque

import numpy as np

REMEMBERED_FRAMES = 4
"""A driver that repeats its whole ring of buffers repeats itself too."""
GLANCE = 8
"""So many rows and columns of pixels tell frames of a working camera apart: its noise is in all of them. Each is a
cache line that has to be fetched: 16 x 16 take twice as long."""


class Repeats:
    """Remembers the last frames.

    A few pixels are looked at first, and all of them only where those are the same: to read a whole frame takes most of
    a millisecond, as long as everything else between a frame and its action.

    >>> repeats = Repeats()
    >>> frame = np.zeros((4, 6, 3), np.uint8)
    >>> repeats.seen(frame), repeats.seen(frame + 1), repeats.seen(frame.copy())
    (False, False, True)
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[bytes, np.ndarray]] = deque(maxlen=REMEMBERED_FRAMES)

    def seen(self, frame: np.ndarray) -> bool:
        """Whether it is one of the last frames; it is remembered, and must not be written to any more."""
        rows, columns = (-(-length // GLANCE) for length in frame.shape[:2])
        glance = frame[::rows, ::columns].tobytes()
        found = any(glance == before and np.array_equal(frame, known) for before, known in self._frames)
        self._frames.append((glance, frame))
        return found
