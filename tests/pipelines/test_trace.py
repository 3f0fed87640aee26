import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.actions.space import Discrete
from sensorimotor.clock import ManualClock
from sensorimotor.errors import OutputPathError, TraceError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image
from sensorimotor.pipelines.trace import FORMAT, TraceWriter, read_trace

SIGNATURE = Signature({"camera": Image(height=8, width=8)}, Discrete(2, ("wait", "go")), Constant(0), 10.0)
DECISION = Decision(
    policy="f00d",
    stream="main",
    step=3,
    selected=1,
    executed=0,
    label="wait",
    probabilities=np.array([0.25, 0.75], np.float32),
    confidence=0.75,
    novelty=None,
    inputs={"camera": InputReport(True, 0.125, 7)},
    verdicts=(GuardVerdict("staleness", "hold", "camera is 0.125 s old, 0.1 s are allowed"),),
    timings_ms={"total": 1.5},
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def writer(path, told=None, **more):
    return TraceWriter(
        path,
        SIGNATURE,
        policy="f00d",
        sensors={"camera": "rtsp://ann:secret@cam/1"},
        actuator="http://ann:secret@robot/act",
        clock=ManualClock(5),
        told=(told if told is not None else []).append,
        **more,
    )


def kinds(path):
    return [line.kind for line in read_trace(path)]


def test_a_trace_says_what_ran_on_what_and_what_it_did(path):
    with writer(path, more={"rate_hz": 10.0}) as trace:
        trace.decision(DECISION, 1000, deadline_missed=False)
        trace.event("input", 1100, input="camera", state="late")
        trace.event("health")
    header, decision, late, health = (line.record for line in read_trace(path))
    assert header["format"] == FORMAT
    assert header["policy"] == "f00d"
    assert Signature.from_json(header["signature"]) == SIGNATURE
    assert header["sensors"] == {"camera": "rtsp://***@cam/1"}
    assert header["actuator"] == "http://***@robot/act"
    assert header["clock"]["kind"] == "ManualClock"
    assert header["clock"]["now_ns"] == 5
    assert header["rate_hz"] == 10.0
    assert decision == {"kind": "decision", "decided_ns": 1000, **DECISION.to_json(), "deadline_missed": False}
    assert decision["inputs"]["camera"] == {"present": True, "age_s": 0.125, "sequence": 7, "cached": False}
    assert (decision["selected"], decision["executed"]) == (1, 0)
    assert late == {"kind": "event", "what": "input", "at_ns": 1100, "input": "camera", "state": "late"}
    assert health == {"kind": "event", "what": "health", "at_ns": 5}
    assert [line.number for line in read_trace(path)] == [1, 2, 3, 4]
    assert (trace.lines, trace.lost) == (4, 0)


def test_every_line_is_there_as_soon_as_it_is_written(path):
    trace = writer(path)
    for count in range(2, 5):
        trace.decision(DECISION, 0)
        assert len(list(read_trace(path))) == count
    trace.close()


def test_numbers_that_json_does_not_have_are_spelled(path):
    with writer(path) as trace:
        trace.event(
            "guard", 0, selected=[float("nan"), {"x": -np.inf}], array=np.array([np.inf, 1]), one=np.float32(0.5)
        )
        trace.event("guard", 0, array=np.array([np.nan]), path=path)
    first, second = [line.record for line in read_trace(path)][1:]
    assert first["selected"] == ["nan", {"x": "-inf"}]
    assert first["array"] == ["inf", 1.0]
    assert first["one"] == 0.5
    assert second["array"] == ["nan"]
    assert second["path"] == str(path)


def test_a_run_is_appended_to_what_is_there(path):
    for _ in range(2):
        with writer(path) as trace:
            trace.decision(DECISION, 0)
    assert kinds(path) == ["header", "decision", "header", "decision"]


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_the_torn_last_line_of_a_run_that_was_killed_is_told_and_the_rest_is_read(path, cut):
    with writer(path) as trace:
        trace.decision(DECISION, 0)
        trace.decision(DECISION, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: -cut - 1])
    assert kinds(path) == ["header", "decision", "torn"]
    with writer(path) as trace:
        trace.decision(DECISION, 2)
    assert kinds(path) == ["header", "decision", "torn", "header", "decision"]


def test_a_last_line_that_lacks_only_its_end_is_whole(path):
    with writer(path) as trace:
        trace.decision(DECISION, 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert kinds(path) == ["header", "decision"]
    writer(path).close()
    assert kinds(path) == ["header", "decision", "header"]


def test_a_header_that_was_torn_is_no_harm_to_the_next_run(path):
    path.write_bytes(b'{"kind":"head')
    with pytest.raises(TraceError, match="is no trace: it is not JSON"):
        list(read_trace(path))
    writer(path).close()
    assert kinds(path) == ["torn", "header"]


def test_after_kill_9_every_line_but_the_last_is_whole(path):
    code = f"""
import itertools, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from pathlib import Path
import test_trace
trace = test_trace.writer(Path({str(path)!r}))
for step in itertools.count():
    trace.decision(test_trace.DECISION, step)
    if step == 20:
        print("going", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lines = list(read_trace(path))
    assert [line.record["decided_ns"] for line in lines if line.kind == "decision"][:21] == list(range(21))
    assert {line.kind for line in lines[1:-1]} == {"decision"}


@pytest.mark.parametrize(
    ("number", "damage", "message"),
    [
        (1, b"{}", "line 1: a trace begins with a header|line 1: it is none of header, decision, event"),
        (2, b'{"kind": "deci', "line 2: it is not JSON"),
        (2, b"\0" * 50, "line 2: it is not JSON"),
        (2, b"\xff", "line 2: it is not JSON"),
        (2, b'{"kind": "decision", "age_s": NaN}', "line 2: it is not JSON: NaN is no JSON"),
        (2, b"[" * 100_000, "line 2: it is not JSON"),
        (2, b"[]", "line 2: it is none of header, decision, event"),
        (2, b'{"kind": "surprise"}', "line 2: it is none of header, decision, event"),
        (2, b"", "line 2: it is not JSON"),
        (1, b'{"kind": "decision"}', "line 1: a trace begins with a header"),
        (1, b'{"kind": "header", "format": 2}', "line 1: its format is 2, this version reads 1"),
        (1, b'{"kind": "header"}', "line 1: its format is None, this version reads 1"),
    ],
)
def test_any_other_damage_is_refused_by_file_and_line(path, number, damage, message):
    with writer(path) as trace:
        trace.decision(DECISION, 0)
        trace.decision(DECISION, 1)
    lines = path.read_bytes().splitlines()
    lines[number - 1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(TraceError, match=message) as refused:
        list(read_trace(path))
    assert str(path) in str(refused.value)


def test_what_is_no_trace_at_all_is_refused(path, tmp_path):
    with pytest.raises(TraceError, match="cannot read the trace .*: No such file"):
        list(read_trace(path))
    with pytest.raises(TraceError, match="Is a directory"):
        list(read_trace(tmp_path))
    path.touch()
    with pytest.raises(TraceError, match="is no trace: it is empty"):
        list(read_trace(path))


def test_a_trace_is_read_as_it_is_asked_for(path):
    with writer(path) as trace:
        trace.decision(DECISION, 0)
    with path.open("ab") as file:
        file.write(b"damage\n" * 2)
    lines = read_trace(path)
    assert [next(lines).kind, next(lines).kind] == ["header", "decision"]
    with pytest.raises(TraceError, match="line 3"):
        next(lines)


def test_when_the_disk_is_full_tracing_ends_once_and_the_policy_goes_on(path):
    told = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    trace = writer(path, told)
    trace.decision(DECISION, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))  # as a disk with 100 bytes left
    try:
        for step in range(1, 6):
            trace.decision(DECISION, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    trace.decision(DECISION, 6)
    trace.close()
    assert told == [f"tracing to {path} has ended after 2 lines: the disk is full"]
    assert trace.broken == told[0]
    assert (trace.lines, trace.lost) == (2, 6)
    assert kinds(path) == ["header", "decision", "torn"]


def test_a_trace_that_cannot_be_begun_is_refused_at_once(tmp_path):
    told = []
    with pytest.raises(OutputPathError, match="cannot write the trace /dev/full: No space left"):
        writer("/dev/full", told)
    with pytest.raises(OutputPathError, match="No such file or directory"):
        writer(tmp_path / "missing" / "run.jsonl", told)
    with pytest.raises(OutputPathError, match="Is a directory"):
        writer(tmp_path, told)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputPathError, match="is a pipe"):
        writer(tmp_path / "pipe", told)
    assert told == []


def test_a_trace_that_another_run_writes_is_refused_until_it_has_ended(path):
    with writer(path):
        with pytest.raises(OutputPathError, match=r"another run writes the trace .*: choose another file"):
            writer(path)
        assert [line.kind for line in read_trace(path)] == ["header"]
    writer(path).close()
    with writer(Path("/dev/null")), writer(Path("/dev/null")):
        pass


def test_what_comes_after_the_end_is_counted_as_lost(path):
    trace = writer(path)
    trace.close()
    trace.close()
    trace.event("health")
    assert (trace.lines, trace.lost) == (1, 1)
    assert len(json.loads(path.read_text())) > 0
