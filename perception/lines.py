"""Lines of standard input or a pipe, of limited length, read so that nobody waits for ever."""

import os
import select

from sensorimotor.perception.sensor import Losses, StreamEnded

LOOK_S = 0.1
"""So often (s) a reader that waits looks whether it is still wanted."""


class Lines:
    """The lines of a file descriptor; it is never closed here.

    Args:
        descriptor: Of standard input, a pipe or a file.
        limit: The longest line (bytes); longer ones are left out and counted as `too long`.
        losses: Where they are counted, and `not unicode`.
    """

    def __init__(self, descriptor: int, limit: int, losses: Losses):
        self._descriptor, self._limit, self._losses = descriptor, limit, losses
        self._rest = bytearray()
        self._ready: list[bytes] = []
        self._skipping = self._ended = self._closed = False

    def close(self) -> None:
        """Have a reader in another thread come back."""
        self._closed = True

    def next(self, timeout_s: float) -> str | None:
        """The next line without its end, or None.

        Raises:
            StreamEnded: There are no more.
        """
        while not self._closed:
            while self._ready:
                line = self._ready.pop(0)
                try:
                    return line.decode().removesuffix("\r")
                except UnicodeDecodeError:
                    if self._losses.first("not unicode"):
                        self._losses.tell("standard input: a line is no text in UTF-8; such lines are left out")
            if self._ended:
                raise StreamEnded("standard input has ended")
            wait_s = min(timeout_s, LOOK_S)
            if select.select([self._descriptor], [], [], max(wait_s, 0.0))[0]:
                self._take(os.read(self._descriptor, 65536))
            else:
                timeout_s -= wait_s
                if timeout_s <= 0:
                    return None
        return None

    def _take(self, data: bytes) -> None:
        if not data:
            self._ended = True
            data = b"\n" if self._rest else b""  # a last line without an end is one too
        *whole, rest = (bytes(self._rest) + data).split(b"\n")
        for line in whole:
            if self._skipping or len(line) > self._limit:
                if self._losses.first("too long"):
                    self._losses.tell(f"standard input: a line is longer than {self._limit} bytes; it is left out")
                self._skipping = False
            else:
                self._ready.append(line)
        if len(rest) > self._limit:
            self._skipping, rest = True, b""
        self._rest = bytearray() if self._skipping else bytearray(rest)
