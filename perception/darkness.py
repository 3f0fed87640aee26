"""Cameras that see nothing though they work: a lens that is covered, a room without light.

What such a camera sends is not the same frame again and again, for its sensor is noisy. Nor is it a fault for certain,
as at night: it is told and changes nothing else, as with a microphone that is muted.
"""

import numpy as np

DARK_MEAN, DARK_SPREAD = 20.0, 10.0
"""Mean brightness below the first and standard deviation below the second, of 255: noise, and no picture. One lamp, or
a lit window, spreads further."""
DARK_S = 5.0
EVERY_S, EVERY_PIXELS = 0.5, 4
"""So often (s) a frame is looked at, and so many pixels of a row or column for one that is."""


class Darkness:
    """Looks at frames as they come, and says once when all of them have been dark for `DARK_S`.

    >>> darkness = Darkness()
    >>> covered = np.random.default_rng(0).integers(0, 12, (48, 64, 3)).astype(np.uint8)
    >>> [darkness.seen(covered, second * 10**9) for second in (0, 3, 6, 9)]
    [False, False, True, False]
    """

    def __init__(self) -> None:
        self._looked_ns: int | None = None
        self._since_ns: int | None = None
        self._told = False

    def seen(self, frame: np.ndarray, captured_ns: int) -> bool:
        """Look at a frame, uint8 `(height, width, channels)`; whether it is time to tell."""
        if self._looked_ns is not None and captured_ns - self._looked_ns < EVERY_S * 1e9:
            return False
        self._looked_ns = captured_ns
        pixels = frame[::EVERY_PIXELS, ::EVERY_PIXELS]
        if pixels.mean() >= DARK_MEAN or pixels.std() >= DARK_SPREAD:
            self._since_ns, self._told = None, False
            return False
        self._since_ns = captured_ns if self._since_ns is None else self._since_ns
        due = not self._told and captured_ns - self._since_ns >= DARK_S * 1e9
        self._told = self._told or due
        return due
