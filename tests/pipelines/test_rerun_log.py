"""A run in a file for Rerun, read back with Rerun's own reader; and a loop that never waited for it."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.actions.decision import Decision
from sensorimotor.actions.space import Discrete
from sensorimotor.clock import ManualClock
from sensorimotor.errors import MissingExtraError, OutputPathError, UsageError
from sensorimotor.models.signature import ActuatorHold, Signature
from sensorimotor.perception.modality import Image, Text
from sensorimotor.pipelines import rerun_file
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.rerun_file import RerunFile
from sensorimotor.pipelines.rerun_log import BackgroundRerunLog, RerunLog
from sensorimotor.pipelines.rerun_views import Views
from sensorimotor.pipelines.senses import Perceived

WAIT_S = 20.0
PERIOD_NS = 10**8
START_NS = 5 * 10**14
SIGNATURE = Signature(
    {"camera": Image(height=5, width=7), "instruction": Text(max_tokens=8)},
    Discrete(2, ("wait", "go")),
    ActuatorHold(),
    10.0,
)


def turn(number, observation=None, sequence=None):
    observation = {"camera": np.full((5, 7, 3), number % 256, np.uint8)} if observation is None else observation
    seen = Perceived(observation, dict.fromkeys(observation, 0.01), dict.fromkeys(observation, sequence or number))
    chances = np.array([0.25, 0.75], np.float32)
    decision = Decision("f", "main", number, 1, 1, "go", chances, 0.75, None, {}, timings_ms={"total": 2.0})
    at_ns = START_NS + number * PERIOD_NS
    return Turn(number, at_ns, seen, decision, due_ns=at_ns, decided_ns=at_ns)


@pytest.fixture
def log(tmp_path):
    """Makes a log of the signature above, whose `told` are kept."""
    made = []

    def make(name="run.rrd"):
        told = []
        one = RerunLog(tmp_path / name, SIGNATURE, SIGNATURE.names, clock=ManualClock(START_NS), told=told.append)
        one.told = told
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def full(monkeypatch):
    """From now on the disk is full."""

    def fill():
        def write(file, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(rerun_file, "_write", write)

    return fill


def test_every_turn_is_there_with_its_number_and_the_time_since_the_beginning(log, logged, tmp_path):
    one = log()
    for number in range(30):
        one.turned(turn(number))
    one.close()
    found = logged(tmp_path / "run.rrd")
    rows = [row for row in found["confidence"] if "decision" in row]
    assert [row["decision"] for row in rows] == list(range(30))
    assert [row["time"] for row in rows] == [number * PERIOD_NS for number in range(30)]
    assert {row["episode"] for row in rows} == {0}
    assert {row["Scalars:scalars"] for row in rows} == {0.75}
    pictures = found["inputs/camera"]
    assert [row["Image:buffer"][0] for row in pictures] == list(range(30))
    named, *chances = found["probabilities"]
    assert named["SeriesLines:names"] == ["wait", "go"]
    assert len(chances) == 30
    assert chances[0]["Scalars:scalars"] == [0.25, 0.75]
    assert one.told == [f"logged 30 decisions for Rerun: rerun {tmp_path / 'run.rrd'}"]
    assert one.summary() == {"path": str(tmp_path / "run.rrd"), "decisions": 30, "lost": 0, "ended": ""}


def test_events_are_part_of_the_log_at_their_moment_and_after_the_newest_decision(log, logged, tmp_path):
    one = log()
    one.turned(turn(4))
    one.event("input", START_NS + 123, input="camera", state="lost", reason="it is gone")
    one.event("health", before="running", after="degraded", reason="")
    one.close()
    found = logged(tmp_path / "run.rrd")
    (row,) = found["log/input"]
    assert (row["decision"], row["time"]) == (4, 123)
    assert (row["TextLog:text"], row["TextLog:level"]) == ("camera lost: it is gone", "ERROR")
    (row,) = found["log/health"]
    assert (row["TextLog:text"], row["TextLog:level"]) == ("running → degraded", "WARN")
    assert row["time"] == 0  # now, on the clock of the run


def test_episodes_are_a_timeline_and_each_begins_with_what_it_sees(log, logged, tmp_path):
    one = log()
    for episode in (1, 2):
        one.event("episode", START_NS + episode, stream=episode)
        for number in range(3):
            one.turned(turn(number, {"instruction": "go"}, sequence=7))
    one.close()
    found = logged(tmp_path / "run.rrd")
    assert sorted(row["episode"] for row in found["age_ms/instruction"]) == [1, 1, 1, 2, 2, 2]
    assert [row["episode"] for row in found["inputs/instruction"]] == [1, 2]


def test_the_file_says_how_the_viewer_arranges_it(log, tmp_path):
    from rerun.chunk import RrdReader

    log().close()
    reader = RrdReader(tmp_path / "run.rrd")
    (recording,), (blueprint,) = reader.recordings(), reader.blueprints()
    assert recording.application_id == blueprint.application_id == "sensorimotor"
    views = {}
    for chunk in reader.stream(store=blueprint):
        for row in chunk.to_record_batch().to_pylist():
            if "ViewBlueprint:space_origin" in row:
                views[row["ViewBlueprint:space_origin"][0]] = row["ViewBlueprint:class_identifier"][0]
    assert views["/inputs/camera"] == "2D"
    assert views["/inputs/instruction"] == "TextDocument"
    assert views["/probabilities"] == views["/age_ms"] == "TimeSeries"
    assert views["/log"] == "TextLog"


def test_a_disk_that_becomes_full_ends_the_log_is_told_once_and_the_run_goes_on(log, full, monkeypatch):
    monkeypatch.setattr("sensorimotor.pipelines.rerun_log.FLUSH_EVERY_S", -1.0)
    one = log()
    one.turned(turn(0))
    full()
    for number in range(1, 2000):
        one.turned(turn(number))
        time.sleep(0 if one.told else 0.001)
    one.event("health", before="running", after="stopped", reason="")
    one.close()
    assert len(one.told) == 1
    assert "logging for Rerun has ended after" in one.told[0]
    assert "No space left on device" in one.told[0]
    summary = one.summary()
    assert summary["decisions"] + summary["lost"] == 2001  # the event, too
    assert summary["ended"] == one.told[0]


def test_a_disk_that_is_full_at_the_end_is_told(log, full):
    one = log()
    one.turned(turn(0))
    full()
    one.close()
    assert "No space left on device" in one.told[0]
    assert len(one.told) == 1


def test_a_device_that_takes_nothing_is_a_full_disk(log, tmp_path):
    (tmp_path / "run.rrd").symlink_to("/dev/full")
    one = log()
    one.turned(turn(0))
    one.close()
    assert "No space left on device" in one.told[0]


def test_a_file_that_takes_nothing_any_more_is_given_up(log, monkeypatch):
    monkeypatch.setattr(rerun_file, "FLUSH_S", 0.05)
    one, go_on = log(), threading.Event()
    monkeypatch.setattr(rerun_file, "_write", lambda file, data: go_on.wait(WAIT_S))
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for number in range(10):
        one.turned(turn(number, {"camera": noise}))
    one.close()  # neither does this wait for ever
    go_on.set()
    assert "it took nothing for 0.05 s" in one.told[0]
    assert len(one.told) == 1


def test_whatever_the_library_raises_ends_the_log_only(log, monkeypatch):
    one = log()
    monkeypatch.setattr(Views, "turn", lambda self, turn: 1 / 0)
    one.turned(turn(0))
    one.turned(turn(1))
    assert "ZeroDivisionError" in one.told[0]
    assert len(one.told) == 1
    assert one.summary()["lost"] == 2


def test_a_loop_never_waits_for_a_log_that_hangs(log, logged, tmp_path):
    one, go_on, threads = log(), threading.Event(), set()
    within = one.turned

    def hang(turn):
        threads.add(threading.current_thread())
        go_on.wait(WAIT_S)
        within(turn)

    one.turned = hang
    background = BackgroundRerunLog(one, ManualClock(START_NS), one.told.append, limit_bytes=50 * 1129)
    for number in range(1000):  # 105 bytes of pixels and what else a turn takes
        background.turned(turn(number))
    assert not go_on.is_set()
    background.event("drop", input="camera", cause="replaced", count=1)
    assert sum("decisions are left out" in line for line in one.told) == 1
    assert background.summary()["lost"] == 951
    go_on.set()
    background.close()
    assert threading.current_thread() not in threads
    found = logged(tmp_path / "run.rrd")
    assert [row["decision"] for row in found["inputs/camera"]] == list(range(50))
    assert background.summary()["decisions"] == 50


def test_a_log_that_does_not_end_is_left_behind(log):
    one, go_on = log(), threading.Event()
    background = BackgroundRerunLog(one, ManualClock(), one.told.append)
    background.worker.offer(0, lambda: go_on.wait(WAIT_S))
    background.close(within_s=0.01)
    assert "could not be written within 0.01 s" in one.told[-1]
    go_on.set()
    assert background.worker.close(WAIT_S)


@pytest.mark.parametrize(
    ("name", "error", "what"),
    [
        ("run.jsonl", UsageError, "one that ends in .rrd"),
        ("nowhere/run.rrd", OutputPathError, "No such file or directory"),
        ("folder.rrd", OutputPathError, "Is a directory"),
        ("pipe.rrd", OutputPathError, "is a pipe"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_the_run(tmp_path, name, error, what):
    (tmp_path / "folder.rrd").mkdir()
    os.mkfifo(tmp_path / "pipe.rrd")
    before = threading.active_count()
    with pytest.raises(error, match=what):
        RerunFile(tmp_path / name)
    assert threading.active_count() == before


def test_where_rerun_is_switched_off_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("RERUN", "off")
    with pytest.raises(UsageError, match="switched off by the environment variable RERUN"):
        RerunFile(tmp_path / "run.rrd")


def test_without_the_extra_nothing_is_opened(monkeypatch, tmp_path):
    from sensorimotor.pipelines import run as module
    from sensorimotor.pipelines.live import Live

    opened = []
    monkeypatch.setattr(Live, "__enter__", lambda self: opened.append(self))
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingExtraError, match=r"logging for Rerun needs rerun-sdk.*sensorimotor\[rerun\]"):
        module.run("default", {"instruction": "go"}, to="none", rerun=tmp_path / "run.rrd")
    assert not opened
    assert not (tmp_path / "run.rrd").exists()


def test_rerun_is_not_imported_where_it_is_not_asked_for():
    code = "import sys, sensorimotor.pipelines.run; sys.exit(int('rerun' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_in_a_simulated_body_is_all_there(sensorimotor, logged, tmp_path):
    file = tmp_path / "run.rrd"
    done = sensorimotor(
        "run", "default", "--env", "BabyAI-GoToObj-v0", "--rate", "50", "--duration", "2", "--json", "--rerun", file
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["rerun"]["decisions"], summary["rerun"]["lost"]) == (summary["decisions"], 0)
    found = logged(file)
    decisions = [row["decision"] for row in found["guards/held"]]
    assert sorted(decisions) == list(range(summary["decisions"]))
    assert {"inputs/camera", "inputs/instruction", "age_ms/camera", "log/episode", "log/health"} <= set(found)
    assert {row["episode"] for row in found["confidence"]} >= {1, 2}
    held = sum(row["Scalars:scalars"] for row in found["guards/held"])
    assert held == summary["held"]
    assert f"rerun {file}" in done.stderr


def test_files_as_fast_as_possible_are_all_there_with_what_was_heard(sensorimotor, clips, logged, tmp_path):
    file, said = tmp_path / "run.rrd", tmp_path / "said.wav"
    loud = np.where(np.arange(40_000) // 8_000 == 1, 0.3, 1e-3) * np.random.default_rng(0).uniform(-1, 1, 40_000)
    with wave.open(str(said), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(np.int16(loud * 32767).tobytes())
    words = (*clips, "--as-fast-as-possible", "--json", "--to", "none", "--rerun", file)
    done = sensorimotor("run", "default", *(f"mic={said}" if str(word).startswith("mic=") else word for word in words))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    found = logged(file)
    rate_hz = summary["rate_hz"]["asked"]
    times = [row["time"] for row in found["confidence"]]
    assert times == [round(number * 1e9 / rate_hz) for number in range(summary["decisions"])]
    (heard,) = [row for row in found["inputs/mic"] if "EncodedImage:blob" in row]
    assert bytes(heard["EncodedImage:blob"]).startswith(b"\xff\xd8")


def test_a_full_disk_under_a_run_is_a_sentence_and_the_run_is_done(sensorimotor, tmp_path):
    (tmp_path / "run.rrd").symlink_to("/dev/full")
    words = ("--input", "instruction=go", "--to", "none", "--duration", "2.5", "--rerun", tmp_path / "run.rrd")
    done = sensorimotor("run", "default", *words, "--json", timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No space left on device") == 1
    assert "Traceback" not in done.stderr
    summary = json.loads(done.stdout)
    assert "No space left on device" in summary["rerun"]["ended"]
    assert summary["decisions"] >= 10


def test_after_a_kill_what_was_logged_is_readable(tmp_path, logged):
    file = tmp_path / "run.rrd"
    command = Path(sys.executable).with_name("sensorimotor")
    words = ("run", "default", "--env", "BabyAI-GoToObj-v0", "--rate", "50", "--rerun", file)
    process = subprocess.Popen([command, *words], stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + WAIT_S
        while not (file.exists() and file.stat().st_size > 100_000) and time.monotonic() < until_s:
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(WAIT_S)
    with pytest.warns(match="no footer"):  # the reader's word for a file that was not finished
        assert len(logged(file)["confidence"]) > 20


def test_what_cannot_be_logged_is_one_sentence(sensorimotor, tmp_path):
    done = sensorimotor("run", "default", "--input", "instruction=go", "--rerun", tmp_path / "run.jsonl")
    assert done.returncode == 2
    assert "expected one that ends in .rrd" in done.stderr
    done = sensorimotor("run", "default", "--replay", "a", "b", "--rerun", tmp_path / "run.rrd")
    assert "leave the other options out" in done.stderr
