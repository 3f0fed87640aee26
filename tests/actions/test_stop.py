import os
import signal
import threading

import pytest

from sensorimotor.actions.stop import LatchedStop, stopped_by_signals
from sensorimotor.errors import OutputPathError


def test_it_is_not_stopped_before_somebody_says_so(tmp_path):
    assert LatchedStop().reason() is None
    assert LatchedStop(tmp_path / "stop").reason() is None


def test_the_first_reason_stays_until_the_reset():
    stop = LatchedStop()
    stop.trip("key pressed")
    stop.trip("signal SIGUSR1")
    assert stop.reason() == "key pressed"
    stop.reset()
    assert stop.reason() is None


def test_a_stop_that_is_a_file_survives_a_restart_and_only_a_reset_ends_it(tmp_path):
    LatchedStop(tmp_path / "stop").trip("key pressed")
    restarted = LatchedStop(tmp_path / "stop")
    assert restarted.reason() == f"{tmp_path / 'stop'} is there: key pressed"
    restarted.reset()
    assert not (tmp_path / "stop").exists()
    assert LatchedStop(tmp_path / "stop").reason() is None


def test_a_file_made_by_any_program_stops_it_even_after_the_file_is_gone(tmp_path):
    stop = LatchedStop(tmp_path / "stop")
    (tmp_path / "stop").touch()
    assert stop.reason() == f"{tmp_path / 'stop'} is there"
    (tmp_path / "stop").unlink()
    assert stop.reason() is not None
    stop.reset()
    assert stop.reason() is None


def test_what_is_no_plain_text_in_the_file_is_no_harm(tmp_path):
    (tmp_path / "stop").write_bytes(b"\xff\xfe" * 5000)
    assert LatchedStop(tmp_path / "stop").reason().startswith(f"{tmp_path / 'stop'} is there")


def test_a_link_that_leads_in_circles_counts_as_a_stop(tmp_path):
    stop = LatchedStop(tmp_path / "stop")
    (tmp_path / "stop").symlink_to(tmp_path / "stop")
    assert "cannot be looked at" in stop.reason()


def test_a_directory_in_place_of_the_file_stops_it_and_cannot_be_reset(tmp_path):
    (tmp_path / "stop").mkdir()
    stop = LatchedStop(tmp_path / "stop")
    assert stop.reason() == f"{tmp_path / 'stop'} is there"
    with pytest.raises(OutputPathError, match="still stopped"):
        stop.reset()
    assert stop.reason() is not None


def test_a_stop_that_cannot_be_kept_in_its_file_holds_all_the_same_and_says_so(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    stop = LatchedStop(folder / "stop")
    folder.rmdir()
    stop.trip("key pressed")
    assert stop.reason() == "key pressed (not kept for a restart: No such file or directory)"


def test_a_file_in_a_folder_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(OutputPathError, match="there is no folder"):
        LatchedStop(tmp_path / "missing" / "stop")


def test_another_working_directory_does_not_move_the_file(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    stop = LatchedStop(Path("stop"))
    (tmp_path / "stop").touch()
    monkeypatch.chdir("/")
    assert stop.reason() is not None


def test_signals_press_it_and_end_it_and_their_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    stop = LatchedStop(tmp_path / "stop")
    with stopped_by_signals(stop):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.reason() == "signal SIGUSR1"
        assert (tmp_path / "stop").read_text() == "signal SIGUSR1\n"
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.reason() is None
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_reset_by_signal_that_fails_leaves_it_stopped(tmp_path):
    (tmp_path / "stop").mkdir()
    stop = LatchedStop(tmp_path / "stop")
    with stopped_by_signals(stop):
        os.kill(os.getpid(), signal.SIGUSR2)
    assert "still stopped" in stop.reason()


def test_signals_cannot_be_asked_for_from_another_thread():
    errors = []

    def ask():
        try:
            with stopped_by_signals(LatchedStop()):
                pass
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert errors == ["signals are received by the main thread only"]
