import os
import pty
import termios
import threading
from pathlib import Path

import pytest

from sensorimotor.actions.stop import LatchedStop
from sensorimotor.actions.stop_key import stopped_by_key


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    yield ours, Path(os.ttyname(theirs))
    for end in (ours, theirs):
        os.close(end)


def comes(condition):
    """Wait for what another thread does."""
    for _ in range(30_000):
        if condition():
            return True
        threading.Event().wait(0.001)
    return False


def test_space_stops_and_r_goes_on(terminal):
    keyboard, path = terminal
    stop = LatchedStop()
    with stopped_by_key(stop, path) as there:
        assert there
        os.write(keyboard, b"abc ")
        assert comes(lambda: stop.reason() == "key pressed")
        os.write(keyboard, b"r")
        assert comes(lambda: stop.reason() is None)


def test_the_last_of_many_keys_counts(terminal):
    keyboard, path = terminal
    stop = LatchedStop()
    with stopped_by_key(stop, path):
        os.write(keyboard, b" r r ")
        assert comes(lambda: stop.reason() == "key pressed")


def test_afterwards_the_terminal_is_as_it_was(terminal):
    _, path = terminal
    with path.open("rb", buffering=0) as file:
        before = termios.tcgetattr(file)
        with stopped_by_key(LatchedStop(), path):
            assert termios.tcgetattr(file) != before
        assert termios.tcgetattr(file) == before
        with pytest.raises(RuntimeError), stopped_by_key(LatchedStop(), path):
            raise RuntimeError
        assert termios.tcgetattr(file) == before


def test_a_reset_that_fails_leaves_it_stopped(terminal, tmp_path):
    keyboard, path = terminal
    stop = LatchedStop(tmp_path / "stop")
    stop.trip("key pressed")
    (tmp_path / "stop").unlink()
    (tmp_path / "stop").mkdir()
    with stopped_by_key(stop, path):
        os.write(keyboard, b"rx")
    assert stop.reason() is not None


def test_a_terminal_that_goes_away_is_a_stop():
    keyboard, theirs = pty.openpty()
    path = Path(os.ttyname(theirs))
    stop = LatchedStop()
    with stopped_by_key(stop, path):
        os.close(theirs)
        os.close(keyboard)
        assert comes(lambda: stop.reason() == "the terminal of the stop key is gone")


@pytest.mark.parametrize("name", ["missing", "file"])
def test_without_a_terminal_there_is_no_key(tmp_path, name):
    (tmp_path / "file").touch()
    with stopped_by_key(LatchedStop(), tmp_path / name) as there:
        assert not there
