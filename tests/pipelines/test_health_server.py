import json
import socket
from http.client import HTTPConnection

import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import UsageError
from sensorimotor.pipelines import health_server
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.health_server import HealthServer
from sensorimotor.pipelines.metrics import Metrics


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return Health(clock, 0.1)


@pytest.fixture
def server(health):
    with HealthServer(health, Metrics(health)) as server:
        yield server


def asked(server, path, method="GET"):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_it_is_well_only_while_decisions_are_made(server, health, clock):
    assert asked(server, "/healthz")[0].status == 503
    health.decided()
    answer, body = asked(server, "/healthz")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(body) == health.report().to_json()
    clock.advance(1.5)
    answer, body = asked(server, "/healthz")
    assert answer.status == 503
    assert json.loads(body)["state"] == "stalled"
    assert json.loads(body)["since_decision_s"] == 1.5
    health.decided()
    assert asked(server, "/healthz")[0].status == 200


def test_a_stopped_policy_is_not_well(server, health):
    health.decided()
    health.stop("key pressed")
    answer, body = asked(server, "/healthz")
    assert answer.status == 503
    assert json.loads(body)["reasons"] == ["key pressed"]


def test_metrics_are_in_the_form_that_prometheus_reads(server):
    answer, body = asked(server, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert b"\nsensorimotor_decisions_total 0.0\n" in body


@pytest.mark.parametrize("path", ["/", "/healthzz", "/../etc/passwd", "/metrics/"])
def test_there_is_nothing_else(server, path):
    assert asked(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(server, method):
    assert asked(server, "/healthz", method)[0].status == 501


def test_only_the_head_can_be_asked_for(server, health):
    health.decided()
    answer, body = asked(server, "/healthz?verbose", "HEAD")
    assert (answer.status, body) == (200, b"")


def test_it_listens_on_this_machine_only(server):
    assert server._server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("garbage", [b"\0\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"x" * 70_000 + b"\r\n\r\n", b""])
def test_garbage_and_clients_that_go_away_are_no_harm(server, garbage):
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(garbage)
    assert asked(server, "/healthz")[0].status == 503


def test_clients_that_say_nothing_do_not_use_up_its_threads(health, monkeypatch):
    monkeypatch.setattr(health_server, "MAX_CLIENTS", 2)
    with HealthServer(health, Metrics(health)) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", server.port)) as turned_away:
            turned_away.settimeout(20)
            assert turned_away.recv(1) == b""
        for client in silent:
            client.close()


def test_a_port_that_is_taken_or_is_none_is_refused(server, health):
    with pytest.raises(UsageError, match=f"cannot serve metrics on 127.0.0.1:{server.port}: Address already in use"):
        HealthServer(health, Metrics(health), port=server.port)
    with pytest.raises(UsageError, match="cannot serve metrics on"):
        HealthServer(health, Metrics(health), port=70_000)
    with pytest.raises(UsageError, match="cannot serve metrics on"):
        HealthServer(health, Metrics(health), host="192.0.2.1")


def test_after_the_end_nobody_answers(health):
    server = HealthServer(health, Metrics(health))
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        asked(server, "/healthz")
