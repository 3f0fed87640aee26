"""`sensorimotor run` as a person types it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sensorimotor.pipelines.trace import read_trace

WAIT_S = 30.0
COMMAND = str(Path(sys.executable).with_name("sensorimotor"))


@pytest.fixture
def started():
    """Starts `sensorimotor run` with some words; it is ended at the end of the test."""
    processes = []

    def start(*words, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen([COMMAND, "run", *map(str, words)], text=True, **pipes, **options)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def has_lines(path, count):
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return True
        time.sleep(0.02)
    return False


def test_in_a_simulated_body_it_acts_in_real_time(sensorimotor, tmp_path):
    done = sensorimotor(
        "run", "default", "--env", "BabyAI-GoToObj-v0", "--rate", "50", "--duration", "2", "--json",
        "--trace", str(tmp_path / "run.jsonl"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert 10 <= summary["decisions"] <= 100
    assert summary["actuator"]["sent"] >= 10
    assert summary["episodes"]["ended"] >= 1
    assert summary["episodes"]["successes"] == summary["episodes"]["ended"]
    decisions = [line.record for line in read_trace(tmp_path / "run.jsonl") if line.kind == "decision"]
    assert len(decisions) == summary["decisions"]


def test_words_from_standard_input_and_actions_on_standard_output(started, tmp_path):
    process = started("default", "--input", "instruction=-", "--trace", tmp_path / "run.jsonl", "--rate", "20")
    process.stdin.write("go to the red ball\n")
    process.stdin.flush()
    assert has_lines(tmp_path / "run.jsonl", 10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    actions = [json.loads(line) for line in out.splitlines()]
    assert {"action", "label", "step", "held"} <= set(actions[0])
    assert all(one["held"] for one in actions)  # the camera is critical, and there is none
    assert "decisions" in err


def test_a_second_signal_is_not_needed_and_the_stop_signal_holds(started, tmp_path):
    trace = tmp_path / "run.jsonl"
    process = started("default", "--env", "BabyAI-GoToObj-v0", "--trace", trace, "--json")
    assert has_lines(trace, 5)
    process.send_signal(signal.SIGUSR1)
    assert has_lines(trace, trace.read_bytes().count(b"\n") + 15)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["health"]["state"] == "stopped"
    assert summary["verdicts"]["stop"]["stop"] >= 5


def test_after_a_kill_the_trace_is_readable_and_is_continued(started, tmp_path):
    trace = tmp_path / "run.jsonl"
    process = started("default", "--env", "BabyAI-GoToObj-v0", "--trace", trace, "--rate", "100")
    assert has_lines(trace, 50)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(WAIT_S)
    before = len(list(read_trace(trace)))
    assert before >= 50
    again = started("default", "--env", "BabyAI-GoToObj-v0", "--trace", trace, "--duration", "0.5", "--json")
    _, err = again.communicate(timeout=WAIT_S)
    assert again.returncode == 0, err
    assert sum(line.kind == "header" for line in read_trace(trace)) == 2


def test_actions_go_to_a_socket(started):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(WAIT_S)
        port = receiver.getsockname()[1]
        words = ("--input", "instruction=go to the red ball", "--to", f"udp://127.0.0.1:{port}", "--duration", "1")
        started("default", *words)
        assert json.loads(receiver.recv(65536))["label"]


def without_timings(trace):
    lines = [line.record for line in read_trace(trace)]
    for line in lines:
        for timing in ("timings_ms", "clock", "path"):
            line.pop(timing, None)
    return lines


def test_files_are_run_through_as_fast_as_possible_recorded_and_replayed(sensorimotor, clips, tmp_path):
    for name in ("one", "two"):
        done = sensorimotor(
            "run", "default", *clips, "--as-fast-as-possible", "--json", "--to", "none",
            "--trace", tmp_path / f"{name}.jsonl", "--record", tmp_path / name,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        rate_hz = summary["rate_hz"]["asked"]
        assert summary["decisions"] == pytest.approx(rate_hz, abs=1)
        assert summary["drops"] == {}
        assert summary["recording"]["steps"] == summary["decisions"]
    assert without_timings(tmp_path / "one.jsonl") == without_timings(tmp_path / "two.jsonl")
    replay = ("run", "default", "--replay", tmp_path / "one.jsonl", tmp_path / "one")
    done = sensorimotor(*replay, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["agree"] == report["decisions"] == summary["decisions"]
    assert report["largest_difference"] == 0
    assert "the same again" in sensorimotor(*replay).stdout
    assert sensorimotor("data", "inspect", tmp_path / "one", "--json").returncode == 0

    content = (tmp_path / "one.jsonl").read_text()
    selected = next(line["selected"] for line in without_timings(tmp_path / "one.jsonl") if "selected" in line)
    (tmp_path / "other.jsonl").write_text(content.replace(f'"selected":{selected},', f'"selected":{selected + 1},'))
    done = sensorimotor("run", "default", "--replay", tmp_path / "other.jsonl", tmp_path / "one")
    assert done.returncode == 1
    assert "the first other" in done.stdout


def test_a_simulated_body_is_recorded_an_episode_each_and_replayed(sensorimotor, tmp_path):
    done = sensorimotor(
        "run", "default", "--env", "BabyAI-GoToObj-v0", "--rate", "50", "--duration", "2", "--json",
        "--trace", tmp_path / "run.jsonl", "--record", tmp_path / "recording",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["recording"]["episodes"] >= summary["episodes"]["ended"] >= 1
    assert summary["recording"]["lost"] == 0
    done = sensorimotor("run", "default", "--replay", tmp_path / "run.jsonl", tmp_path / "recording", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agree"] == summary["decisions"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--input", "lidar=0"), "no input 'lidar'"),
        (("--input", "camera"), "expected NAME=SOURCE"),
        (("--input", "camera=0", "--input", "camera=1"), "named twice"),
        (("--input", "camera=nowhere.mp4"), "there is no nowhere.mp4"),
        (("--env", "BabyAI-GoToObj-v0", "--input", "camera=0"), "leave out --input, or --env"),
        (("--input", "instruction=go", "--to", "serial"), "no actuator is called 'serial'"),
        (("--input", "instruction=go", "--guards", "nowhere.toml"), "nowhere.toml"),
        (("--input", "instruction=go", "--trigger", "camera"), "cannot be triggered by 'camera'"),
        (("--input", "instruction=go", "--trace", "/proc/nowhere/run.jsonl"), "cannot write the trace"),
        (("--input", "instruction=-", "--input", "camera=-"), "only one of them can"),
        (("--input", "camera=http://127.0.0.1:9/", "--as-fast-as-possible"), "is live"),
        (("--input", "instruction=-", "--as-fast-as-possible"), "instruction: lines of standard input is live"),
        (("--input", "instruction=go", "--as-fast-as-possible"), "words alone never end"),
        (("--input", "instruction=go", "--as-fast-as-possible", "--serve", "0"), "no health to --serve"),
        (("--env", "BabyAI-GoToObj-v0", "--as-fast-as-possible"), "is for recordings"),
        (("--input", "instruction=go", "--record", "/dev/null/run"), "cannot write /dev/null/run"),
        (("--input", "instruction=go", "--record", "unused", "--rate", "7.5"), "a whole number of steps a second"),
        (("--replay", "nowhere.jsonl", "nowhere"), "cannot read the trace nowhere.jsonl"),
        (("--replay", "nowhere.jsonl", "nowhere", "--env", "BabyAI-GoToObj-v0"), "leave the other options out"),
        (("--replay", "nowhere.jsonl", "nowhere", "--serve", "0"), "leave the other options out"),
        (("--replay", "nowhere.jsonl", "nowhere", "--to", "none"), "leave the other options out"),
        (("--env", "BabyAI-GoToObj-v0", "--to", "udp://127.0.0.1:9"), "leave out --to, or --env"),
        (("--input", "instruction=go", "--speaker", "espeak:en-us"), "name one with --env"),
        (("--input", "instruction=go", "--json"), "where the actions go"),
        (("--input", "instruction=go", "--json", "--to", "stdout"), "where the actions go"),
        (("--input", "instruction=go", "--duration", "inf"), "less than or equal to 1000000000"),
        (("--input", "http://ann:secret@cam/video"), "--input 'http://***@cam/video': expected NAME=SOURCE"),
        (("--input", "http://ann:secret@cam/video?channel=2"), "expected NAME=SOURCE"),
        ((), "nothing is connected"),
        (("--env", "NoSuch-v0"), "'NoSuch-v0' cannot be made"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(sensorimotor, words, what):
    done = sensorimotor("run", "default", *words)
    assert done.returncode in (1, 2)
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_that_a_critical_input_is_not_connected_is_told_at_once(sensorimotor):
    done = sensorimotor("run", "default", "--input", "instruction=go", "--to", "none", "--duration", "0.2")
    assert done.returncode == 0, done.stderr
    assert "camera is critical and not connected: only the safe action will be executed" in done.stderr


def test_the_sensors_of_this_machine_are_shown(sensorimotor):
    done = sensorimotor("sensors", "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)
    assert sensorimotor("sensors").returncode == 0
