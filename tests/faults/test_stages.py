"""What a running policy does when a stage of its own fails: encoders, the core, its clock."""

import threading
import time

import numpy as np
import pytest


@pytest.fixture
def spoilt(inside, policy, camera):
    """Runs the policy with an encoder or a core that a test may spoil: `spoil["camera"] = function(run)`."""
    spoil, encode, step = {}, policy._backend.encode, policy._backend.step

    def spoilt_encode(name, values):
        return spoil[name](lambda: encode(name, values)) if name in spoil else encode(name, values)

    def spoilt_step(inputs):
        return spoil["core"](lambda: step(inputs)) if "core" in spoil else step(inputs)

    policy._backend.encode, policy._backend.step = spoilt_encode, spoilt_step
    with inside(policy, {"camera": camera.url, "instruction": "go to the red ball"}) as running:
        running.wait_until_it_acts()
        running.wait_for_state("running")
        running.spoil = spoil
        yield running


def broken(run):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_encoder_raises_once(spoilt, tools):
    raised = threading.Event()

    def once(run):
        if not raised.is_set():
            raised.set()
            broken(run)
        return run()

    spoilt.spoil["camera"] = once
    assert "RuntimeError: CUDA error" in spoilt.wait_for("encoder of camera")
    spoilt.wait_for("encoder of camera: it works again")
    spoilt.wait_until_it_acts()
    assert spoilt.live.drops()["camera"]["failed"] == 1
    assert [event["stage"] for event in spoilt.events("error")] == ["encode.camera"]
    spoilt.wait_for_state("running")
    assert "holding" not in spoilt.states()  # one frame is not worth a hold


def test_encoder_always_raises(spoilt, tools):
    spoilt.spoil["camera"] = broken
    spoilt.wait_for("→ holding: more than 5 errors in 10 s, the last: encoding camera: RuntimeError")
    with spoilt.only_the_safe_action():
        spoilt.wait_for_state("holding")
    del spoilt.spoil["camera"]
    spoilt.wait_until_it_acts()  # after 20 good decisions in a row
    spoilt.wait_for_state("running")
    assert spoilt.live.tally.errors >= 6


def test_core_always_raises(spoilt, tools):
    spoilt.spoil["core"] = broken
    with spoilt.only_the_safe_action():
        spoilt.wait_for("→ holding: RuntimeError: CUDA error")
        tools.eventually(lambda: spoilt.live.tally.errors > 5)
    del spoilt.spoil["core"]
    spoilt.wait_until_it_acts()
    assert {one["verdicts"][0]["guard"] for one in spoilt.lines("decision") if one["selected"] is None} <= {
        "errors",
        "critical",
    }


def test_critical_encoder_hangs(spoilt):
    go_on = threading.Event()

    def hang(run):
        go_on.wait()
        return run()

    spoilt.spoil["camera"] = hang
    try:
        with spoilt.only_the_safe_action():
            spoilt.wait_for("→ holding: critical: camera is")
            spoilt.wait_for("encoder of camera: busy with one value for")
    finally:
        del spoilt.spoil["camera"]
        go_on.set()
    spoilt.wait_until_it_acts()
    spoilt.wait_for_state("running")


def test_other_encoder_hangs(inside, policy, camera, tmp_path):
    go_on, encode = threading.Event(), policy._backend.encode

    def hanging(name, values):
        if name == "instruction" and hangs.is_set():
            go_on.wait()
        return encode(name, values)

    hangs, words = threading.Event(), tmp_path / "words.txt"
    words.write_text("go to the red ball")
    policy._backend.encode = hanging
    with inside(policy, {"camera": camera.url, "instruction": f"file:{words}"}) as running:
        running.wait_until_it_acts()
        hangs.set()
        words.write_text("go to the blue key")
        running.wait_for("encoder of instruction: busy with one value for")
        running.wait_for("until it is done, the one before it counts")
        running.wait_for_state("degraded")
        running.wait_until_it_acts()  # on what it was told before
        assert running.events("encoder")[0]["state"] == "hangs"
        go_on.set()
        running.wait_for_state("running")


def test_core_hangs(spoilt):
    go_on = threading.Event()

    def hang(run):
        go_on.wait()
        return run()

    spoilt.spoil["core"] = hang
    try:
        spoilt.wait_for("→ stalled: no decision for")
        with spoilt.only_the_safe_action():  # from the watchdog
            assert spoilt.state() == "stalled"
    finally:
        del spoilt.spoil["core"]
        go_on.set()
    spoilt.wait_until_it_acts()
    spoilt.wait_for_state("running")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_outputs_not_finite(spoilt, value):
    def spoil(run):
        output = run()
        return output._replace(parameters=output.parameters * value)

    spoilt.spoil["core"] = spoil
    with spoilt.only_the_safe_action():
        spoilt.wait_for("→ holding")
    del spoilt.spoil["core"]
    spoilt.wait_until_it_acts()
    spoilt.wait_for_state("running")


def test_memory_not_finite(spoilt):
    def spoil(run):
        output = run()
        return output._replace(memory=output.memory * np.nan)

    spoilt.spoil["core"] = spoil
    with spoilt.only_the_safe_action():
        spoilt.wait_for("→ holding")
    del spoilt.spoil["core"]
    spoilt.wait_until_it_acts()
    spoilt.wait_for_state("running")


def test_wall_clock_jumps(running, monkeypatch, tools):
    real, jumped_s = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + jumped_s[0])
    for jump_s in (86_400.0, -86_400.0, 3.2e9, -1e9):
        jumped_s[0] = jump_s
        before = len(running.seen)
        tools.eventually(lambda before=before: len(running.seen) > before + 5)
    decisions = [decision for _, decision in running.seen]
    assert not any(decision.held for decision in decisions[-20:])
    ages_s = [decision.inputs["camera"].age_s for decision in decisions[-20:]]
    assert all(0 <= age_s <= 1 for age_s in ages_s)
    assert not {"holding", "stalled"} & set(running.states())
    assert running.live.summary()["duration_s"] < 3600
