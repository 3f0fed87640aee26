"""Ctrl-C where it can be missed: libraries that clear any error in their own attempts would clear it too."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Turn the first Ctrl-C into a flag; what this gives raises KeyboardInterrupt once it is set.

    Without it some are lost: pyarrow looks for pandas while it writes a table, and where pandas is not installed it
    clears whatever ended the search, an interrupt too. The second Ctrl-C does what it always did.
    """
    asked = False
    before: Any = None

    def note(number: int, _frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before)

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    try:
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: interrupts go elsewhere
        yield check
        return
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
