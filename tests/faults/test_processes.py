"""What `sensorimotor run` does when its disk is full, when it is ended in the middle, and when it was killed."""

import re
import signal
import subprocess
import sys

import pytest

from sensorimotor.errors import UsageError
from sensorimotor.perception.feeds import Feeds
from sensorimotor.pipelines.trace import read_trace

SLOW = """
import sys, time
from pathlib import Path
from sensorimotor.models.onnx_backend import OnnxBackend
from sensorimotor.pipelines.cli import main

step, flag = OnnxBackend.step, Path(sys.argv.pop(1))
def slow(backend, inputs):
    if flag.exists():
        print("deciding", file=sys.stderr, flush=True)
        time.sleep(0.5)
    return step(backend, inputs)
OnnxBackend.step = slow
main()
"""
"""The same program; where a file is there, its decisions take longer than they have."""


PIPED = """{ "$0" -c 'from sensorimotor.pipelines.cli import main; main()' "$@" 2>&1 >&3 | head -n 1; } 3>&1"""
"""Its standard error is a pipe that nobody reads after the first line."""


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def goes_on_without_a_trace(running, reason, tools):
    assert re.search(reason, running.wait_for("has ended after"))
    before = len(running.receiver.commands)
    tools.eventually(lambda: len(running.receiver.commands) > before + 10)
    assert not running.receiver.commands[-1]["held"]
    status, summary = running.end()
    assert status == 0
    assert summary["trace"]["lines"] > 10
    assert summary["trace"]["lost"] > 5
    assert summary["health"]["state"] == "running"


def test_disk_full_under_the_trace(started, camera, small_disk, tools):
    running = started("--input", f"camera={camera.url}", "--rate", "50", "--trace", small_disk / "run.jsonl")
    goes_on_without_a_trace(running, "No space left on device|the disk is full", tools)
    lines = list(read_trace(small_disk / "run.jsonl"))  # to its last whole line
    assert lines[0].kind == "header"
    assert len(lines) > 10


@pytest.mark.slow
def test_file_too_large_under_the_trace(started, camera, tools, tmp_path):
    trace = tmp_path / "small.jsonl"
    program = [sys.executable, "-c", "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536,) * 2);"]
    program[-1] += "from sensorimotor.pipelines.cli import main; main()"
    words = ("--input", f"camera={camera.url}", "--rate", "50", "--trace", trace)
    running = started(*words, program=(*program, "run", "default"))
    goes_on_without_a_trace(running, "File too large|the disk is full", tools)
    assert len(list(read_trace(trace))) > 10


def test_disk_full_at_the_start(sensorimotor, camera):
    done = sensorimotor("run", "default", "--input", f"camera={camera.url}", "--trace", "/dev/full")
    assert done.returncode == 1
    assert "cannot write the trace /dev/full: No space left on device" in done.stderr


def test_two_sensors_under_one_name(sensorimotor, camera):
    done = sensorimotor("run", "default", "--input", f"camera={camera.url}", "--input", "camera=0")
    assert done.returncode == 2
    assert "an input is named twice: expected one source for each" in done.stderr


def test_two_feeds_under_one_name(running):
    feed = running.live._feeds._feeds[0]
    with pytest.raises(UsageError, match="input 'camera': expected one sensor, got several"):
        Feeds([feed, feed])


def test_sigterm_in_mid_decision(started, camera, tools, tmp_path):
    slow = tmp_path / "slow"
    running = started("--input", f"camera={camera.url}", program=(sys.executable, "-c", SLOW, slow, "run", "default"))
    running.wait_until_it_acts()
    slow.touch()
    for _ in range(2):  # the one before the second was too late already
        running.wait_for("deciding")
    began = len(running.receiver.commands)
    status, summary = running.end(signal.SIGTERM)
    assert (status, running.process.returncode) == (0, 0), running.told()
    after = running.receiver.commands[began:]
    assert {(one["held"], one["action"]) for one in after} == {(True, tools.SAFE)}  # what came too late is never sent
    assert summary["actuator"]["expired"] >= 1
    running.check()
    assert [line.kind for line in read_trace(running.path)].count("torn") == 0


@pytest.mark.slow
def test_second_sigterm_while_a_decision_hangs(started, camera, tmp_path):
    slow = tmp_path / "slow"
    program = (sys.executable, "-c", SLOW.replace("0.5", "1e9"), slow, "run", "default")
    running = started("--input", f"camera={camera.url}", program=program)
    running.wait_until_it_acts()
    slow.touch()
    running.wait_for("→ stalled")
    running.process.send_signal(signal.SIGTERM)
    with running.only_the_safe_action():
        pass
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == -signal.SIGTERM
    assert running.states()[-1] == "stalled"


def test_kill_9_then_restart(started, camera, receiver, tmp_path):
    trace = tmp_path / "run.jsonl"
    words = ("--input", f"camera={camera.url}", "--trace", trace, "--rate", "50")
    first = started(*words)
    first.wait_until_it_acts()
    first.process.kill()
    first.process.wait()
    before = list(read_trace(trace))
    assert before[0].kind == "header"
    with trace.open("ab") as file:
        file.write(b'{"kind":"decision","decided_ns":1')  # as if it had been killed in the middle of a line
    count = len(receiver.commands)
    second = started(*words)
    second.wait_until_it_acts()
    status, _ = second.end()
    assert status == 0
    assert receiver.commands[count]["held"]  # it remembers nothing: it holds until it has seen
    second.path = trace
    second.check()
    kinds = [line.kind for line in read_trace(trace)]
    assert (kinds.count("header"), kinds.count("torn")) == (2, 1)


@pytest.mark.slow
def test_screen_gone(started, camera, tools):
    running = started("--input", f"camera={camera.url}", program=("sh", "-c", PIPED, sys.executable, "run", "default"))
    running.wait_until_it_acts()
    camera.kill()
    running.wait_for_state("holding")
    camera.start()
    tools.eventually(lambda: "recovered" in running.input_states("camera"))
    running.wait_until_it_acts()
