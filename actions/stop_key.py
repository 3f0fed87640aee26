"""The stop on a key of the terminal: space stops, r goes on."""

import os
import select
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sensorimotor.actions.stop import LatchedStop
from sensorimotor.errors import OutputPathError

STOP_KEY, RESET_KEY = b" ", b"r"


@contextmanager
def stopped_by_key(stop: LatchedStop, terminal: Path = Path("/dev/tty")) -> Iterator[bool]:
    """While inside, the space bar presses the stop and r ends it; gives whether there is a terminal in front.

    Keys are read without return and not shown; ctrl-C works as ever. Do not use it where lines are typed into the
    same terminal.
    """
    file = _opened(terminal)
    if file is None:
        yield False
        return
    before = termios.tcgetattr(file)
    asleep, wake = os.pipe()
    thread = threading.Thread(target=_listen, args=(stop, file, asleep), name="stop key", daemon=True)
    try:
        tty.setcbreak(file)
        thread.start()
        yield True
    finally:
        os.close(wake)  # which the thread sees as the end
        if thread.ident:
            thread.join()
        with suppress(termios.error):  # it is gone
            termios.tcsetattr(file, termios.TCSADRAIN, before)
        os.close(asleep)
        os.close(file)


def _opened(terminal: Path) -> int | None:
    try:
        file = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    # Of a program in the background the system would stop all threads when it changes the terminal.
    try:
        in_front = os.isatty(file) and os.tcgetpgrp(file) in (0, os.getpgrp())
    except OSError:  # a terminal, but not the one that controls this program
        in_front = True
    if not in_front:
        os.close(file)
        return None
    return file


def _listen(stop: LatchedStop, file: int, asleep: int) -> None:
    while True:
        ready, _, _ = select.select([file, asleep], [], [])
        if asleep in ready:
            return
        try:
            keys = os.read(file, 64)
        except OSError:
            keys = b""
        if not keys:  # the terminal is gone: nobody could press the stop any more
            stop.trip("the terminal of the stop key is gone")
            return
        for key in (keys[i : i + 1] for i in range(len(keys))):
            if key == STOP_KEY:
                stop.trip("key pressed")
            elif key == RESET_KEY:
                try:
                    stop.reset()
                except OutputPathError as error:
                    stop.trip(str(error))
