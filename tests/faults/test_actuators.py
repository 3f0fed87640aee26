"""What a running policy does when whoever takes its actions is slow, refuses them, or is gone."""

import urllib.error
import urllib.request

import pytest


@pytest.fixture
def served(inside, policy, camera):
    with inside(policy, {"camera": camera.url}, serve=0) as running:
        running.wait_until_it_acts()
        yield running


def answer(running, path):
    try:
        with urllib.request.urlopen(f"{running.live.served_at}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def lost_and_found(running, receiver, tools, cause):
    """From the fault to its end, which `cause` makes: what every one of them has in common."""
    running.wait_for("→ degraded: actuator")
    before = len(running.lines("decision"))
    tools.eventually(lambda: len(running.lines("decision")) > before + 15)  # it backs nothing up
    tools.eventually(lambda: answer(running, "/healthz")[0] == 503)
    assert running.live.summary()["actuator"]["failed"] >= 1
    tools.eventually(lambda: f'failures_total{{cause="{cause}"}}' in answer(running, "/metrics")[1])


def found(running, tools):
    running.wait_for("actuator recovered")
    running.wait_until_it_acts()
    running.wait_for_state("running")
    tools.eventually(lambda: answer(running, "/healthz")[0] == 200)
    assert [event["state"] for event in running.events("actuator")][-2:] == ["lost", "recovered"]


def test_actuator_slow(served, receiver, tools):
    receiver.mode = "slow"
    assert "did not answer within" in served.wait_for("actuator lost")
    lost_and_found(served, receiver, tools, "waited")
    sent = len(receiver.commands)
    receiver.mode = "taking"
    late = {command["step"] for command in served.lines("decision")[-1:]}
    found(served, tools)
    receiver.released.set()
    fresh = [command["step"] for command in receiver.commands[sent:] if not command["held"]]
    assert late <= set(range(max(fresh) + 1))
    assert len(fresh) == len(set(fresh))  # no command twice


def test_actuator_refusing(served, receiver, tools):
    receiver.mode = "refusing"
    assert "refused an action: status 503" in served.wait_for("actuator lost")
    lost_and_found(served, receiver, tools, "failed")
    receiver.mode = "taking"
    found(served, tools)


def test_actuator_gone(served, receiver, tools):
    receiver.go_away()
    assert "cannot be reached" in served.wait_for("actuator lost")
    lost_and_found(served, receiver, tools, "waited")
    sent, decided = len(receiver.commands), served.lines("decision")[-1]["turn"]
    receiver.come_back()
    found(served, tools)
    assert receiver.commands[sent]["step"] >= decided - 1  # what could not be sent in time never is
