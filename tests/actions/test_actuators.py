"""Actuators against real receivers on this machine: pipes, HTTP servers, UDP sockets."""

import contextlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sensorimotor.actions.actuator import Command
from sensorimotor.actions.actuators import open_actuator
from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.http_actuator import HttpActuator
from sensorimotor.actions.line_actuator import LineActuator
from sensorimotor.actions.udp_actuator import UdpActuator
from sensorimotor.errors import ActuatorError, ActuatorGoneError, UsageError

COMMAND = Command(np.array([0.5, -1], np.float32), "lift", 7, 100, 200, held=False)
RECORD = {"action": [0.5, -1.0], "label": "lift", "step": 7, "decided_ns": 100, "expires_ns": 200, "held": False}
LONG_S, SHORT_S = 20.0, 0.1


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    ("action", "plain"), [(np.int64(2), 2), (np.array([1, 0], np.int8), [1, 0]), (None, None), (1, 1)]
)
def test_a_command_is_json_for_every_kind_of_action(action, plain):
    assert json.loads(Command(action, "x", 0, 0, 1, held=True).to_line())["action"] == plain


def test_a_number_that_json_does_not_have_never_leaves():
    with pytest.raises(ValueError, match="JSON compliant"):
        Command(np.array([np.nan]), "x", 0, 0, 1, held=True).to_line()


# Lines.


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(end)


def test_each_command_is_one_line(pipe):
    reading, writing = pipe
    actuator = LineActuator(writing)
    actuator.open()
    actuator.send(COMMAND, LONG_S)
    actuator.send(COMMAND, LONG_S)
    actuator.close()
    assert [json.loads(line) for line in os.read(reading, 9999).splitlines()] == [RECORD, RECORD]


def test_a_reader_that_has_gone_is_an_error(pipe):
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(ActuatorGoneError, match="cannot write to stdout: Broken pipe"):
        LineActuator(writing).send(COMMAND, LONG_S)


def test_a_reader_that_does_not_read_costs_the_time_out_and_gets_whole_lines_later(pipe):
    reading, writing = pipe
    actuator = LineActuator(writing)
    with pytest.raises(ActuatorError, match="its reader is too slow"):
        for _ in range(10_000):
            actuator.send(COMMAND, 0.01)
    received = os.read(reading, 1 << 20)
    actuator.send(COMMAND, LONG_S)
    received += os.read(reading, 1 << 20)
    assert received.endswith(b"\n")
    assert all(json.loads(line) == RECORD for line in received.splitlines())


def test_a_line_that_was_torn_is_ended_and_never_completed_late(pipe):
    reading, writing = pipe
    actuator = LineActuator(writing)
    huge = Command([0.125] * 50_000, "huge", 0, 0, 1, held=False)
    with pytest.raises(ActuatorError, match="too slow"):
        actuator.send(huge, SHORT_S)
    torn = os.read(reading, 1 << 20)
    actuator.send(COMMAND, LONG_S)
    lines = (torn + os.read(reading, 1 << 20)).splitlines()
    assert len(lines) == 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[0])
    assert json.loads(lines[1]) == RECORD


# HTTP.


class Receiver(BaseHTTPRequestHandler):
    """Notes what is posted, and answers as its server says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.path, dict(self.headers), json.loads(body), self.client_address))
        server.respond(self)

    def log_message(self, *_):
        pass


def answer(status=200, body=b"", **headers):
    def respond(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.fixture
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads, server.got, server.respond, server.done = True, [], answer(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/act"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.done.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_commands_are_posted_as_json_over_one_connection(receiver):
    actuator = HttpActuator(receiver.url + "?arm=left")
    actuator.open()
    for _ in range(3):
        actuator.send(COMMAND, LONG_S)
    actuator.close()
    actuator.close()
    assert [(path, body) for path, _, body, _ in receiver.got] == [("/act?arm=left", RECORD)] * 3
    assert receiver.got[0][1]["Content-Type"] == "application/json"
    assert len({address for *_, address in receiver.got}) == 1


@pytest.mark.parametrize(
    "respond", [answer(204), answer(200, b"{}"), answer(202, b"x" * 200_000), answer(200, Connection="close")]
)
def test_whatever_it_answers_besides_the_status_does_not_matter(receiver, respond):
    receiver.respond = respond
    actuator = HttpActuator(receiver.url)
    for _ in range(3):
        actuator.send(COMMAND, LONG_S)
    actuator.close()
    assert len(receiver.got) == 3


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_any_other_status_is_a_refusal(receiver, status):
    receiver.respond = answer(status, Location="/elsewhere")
    actuator = HttpActuator(receiver.url)
    with pytest.raises(ActuatorError, match=f"refused an action: status {status}"):
        actuator.send(COMMAND, LONG_S)
    receiver.respond = answer()
    actuator.send(COMMAND, LONG_S)
    actuator.close()
    assert len(receiver.got) == 2


def test_a_receiver_that_does_not_answer_costs_the_time_out(receiver):
    receiver.respond = lambda handler: receiver.done.wait(LONG_S)
    actuator = HttpActuator(receiver.url)
    with pytest.raises(ActuatorError, match="did not answer within 100 ms"):
        actuator.send(COMMAND, SHORT_S)
    receiver.respond = answer()
    actuator.send(COMMAND, LONG_S)
    actuator.close()


def test_a_receiver_that_answers_by_the_byte_costs_the_time_out_too(receiver):
    whole, came = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000, []

    def trickle(handler):
        for letter in whole:
            if receiver.done.wait(0.02):
                return
            came.append(letter)
            handler.wfile.write(bytes([letter]))

    receiver.respond = trickle
    with pytest.raises(ActuatorError, match="did not answer"):
        HttpActuator(receiver.url).send(COMMAND, SHORT_S)
    assert len(came) < len(whole)


def test_a_connection_that_was_closed_while_idle_is_made_anew_and_nothing_is_posted_twice(receiver):
    def hang_up(handler):
        answer()(handler)
        handler.close_connection = True
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    receiver.respond = hang_up
    actuator = HttpActuator(receiver.url)
    for _ in range(3):
        actuator.send(COMMAND, LONG_S)
        connection = actuator._connection
        while connection and connection.sock and connection.sock.recv(1, socket.MSG_PEEK):
            pass
    actuator.close()
    assert len(receiver.got) == 3


def test_garbage_is_an_error(receiver):
    receiver.respond = lambda handler: handler.wfile.write(b"hello\r\n\r\n")
    with pytest.raises(ActuatorError, match="cannot be reached"):
        HttpActuator(receiver.url).send(COMMAND, LONG_S)


def test_user_and_password_are_sent_and_never_shown(receiver):
    receiver.respond = answer(500)
    actuator = HttpActuator(receiver.url.replace("//", "//ann:s%40cret@") + "?token=abc")
    with pytest.raises(ActuatorError) as refused:
        actuator.send(COMMAND, LONG_S)
    assert receiver.got[0][1]["Authorization"] == "Basic YW5uOnNAY3JldA=="
    assert receiver.got[0][0] == "/act?token=abc"
    for shown in (actuator.target, str(refused.value)):
        assert "cret" not in shown
        assert "abc" not in shown


def test_nobody_there_is_an_error():
    port = closed_port()
    with pytest.raises(ActuatorError, match=rf"http://127\.0\.0\.1:{port}/act cannot be reached: Connection refused"):
        HttpActuator(f"http://127.0.0.1:{port}/act").send(COMMAND, LONG_S)


def test_a_host_without_a_name_is_an_error():
    with pytest.raises(ActuatorError, match="cannot be reached"):
        HttpActuator("http://nobody.invalid/act").send(COMMAND, LONG_S)


def test_a_receiver_that_does_not_speak_tls_is_an_error(receiver):
    with pytest.raises(ActuatorError, match="cannot be reached|did not answer"):
        HttpActuator(receiver.url.replace("http:", "https:")).send(COMMAND, 2.0)
    assert receiver.got == []


# UDP.


@pytest.mark.parametrize(
    ("family", "host", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
)
def test_each_command_is_one_datagram(family, host, shown):
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        receiver.settimeout(LONG_S)
        actuator = UdpActuator(f"udp://{shown}:{receiver.getsockname()[1]}")
        actuator.open()
        actuator.send(COMMAND, LONG_S)
        actuator.send(COMMAND, LONG_S)
        assert [json.loads(receiver.recv(9999)) for _ in range(2)] == [RECORD, RECORD]
        actuator.close()
        actuator.close()


def test_that_nobody_listens_is_noticed_one_datagram_later():
    actuator = UdpActuator(f"udp://127.0.0.1:{closed_port()}")
    actuator.open()
    with pytest.raises(ActuatorError, match="cannot be reached: Connection refused"):
        for _ in range(20):
            actuator.send(COMMAND, LONG_S)
    actuator.close()


def test_while_nobody_listens_no_datagram_seems_to_be_taken_and_the_first_that_is_is_sent_once():
    port = closed_port()
    actuator = UdpActuator(f"udp://127.0.0.1:{port}")

    def sent():
        """As a dispatcher does it: after an error all is begun anew."""
        actuator.open()
        try:
            actuator.send(COMMAND, LONG_S)
        except ActuatorError:
            return False
        return True

    actuator.open()
    actuator.send(COMMAND, LONG_S)
    with pytest.raises(ActuatorError, match="Connection refused"):
        actuator.send(COMMAND, LONG_S)
    assert not any(sent() for _ in range(5))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", port))
        receiver.settimeout(LONG_S)
        assert sent()
        assert json.loads(receiver.recv(9999)) == RECORD
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(9999)
    actuator.close()


def test_what_does_not_fit_into_a_datagram_is_an_error():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        actuator = UdpActuator(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        actuator.open()
        with pytest.raises(ActuatorError, match="Message too long"):
            actuator.send(Command([0.125] * 50_000, "huge", 0, 0, 1, held=False), LONG_S)
        actuator.close()


def test_a_datagram_socket_that_is_not_open_or_has_no_host_is_an_error():
    with pytest.raises(ActuatorError, match="is not open"):
        UdpActuator("udp://127.0.0.1:9").send(COMMAND, LONG_S)
    with pytest.raises(ActuatorError, match="cannot be reached"):
        UdpActuator("udp://nobody.invalid:9").open()


# Functions.


def test_a_function_gets_the_command_and_what_it_raises_is_told():
    got = []
    actuator = CallableActuator(got.append, "list")
    actuator.open()
    actuator.send(COMMAND, LONG_S)
    actuator.close()
    assert got == [COMMAND]

    def grip(_command):
        raise KeyError("motor 3")

    assert CallableActuator(grip).target.endswith("grip")
    with pytest.raises(ActuatorError, match="grip raised KeyError: 'motor 3'"):
        CallableActuator(grip).send(COMMAND, LONG_S)


# What a person types.


@pytest.mark.parametrize(
    ("typed", "kind", "target"),
    [
        ("stdout", LineActuator, "stdout"),
        ("-", LineActuator, "stdout"),
        ("none", CallableActuator, "none"),
        ("http://robot/act", HttpActuator, "http://robot/act"),
        ("https://ann:pw@robot/act", HttpActuator, "https://***@robot/act"),
        ("udp://robot:9000", UdpActuator, "udp://robot:9000"),
    ],
)
def test_what_was_typed_becomes_an_actuator(typed, kind, target):
    actuator = open_actuator(typed)
    assert isinstance(actuator, kind)
    assert actuator.target == target


def test_none_does_nothing():
    actuator = open_actuator("none")
    actuator.open()
    actuator.send(COMMAND, LONG_S)
    actuator.close()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "no actuator is called ''"),
        ("stdut", "did you mean stdout?"),
        ("htp://robot", "did you mean http?"),
        ("stdout://x", "no actuator is called 'stdout://x'"),
        ("robot:9000", "There are stdout, none, http://HOST:PORT/PATH"),
        ("tcp://ann:secret@robot", r"no actuator is called 'tcp://\*\*\*@robot'"),
        ("http://", "is no URL like http://HOST:PORT/PATH"),
        ("http://robot:port/act", "is no URL"),
        ("http://robot:99999/act", "is no URL"),
        ("http://[::1/act", "is no URL"),
        ("http://robot/a b", "has spaces or letters"),
        ("http://robot/a\r\nX: y", "has spaces or letters"),
        ("udp://robot", "is no address like udp://HOST:PORT"),
        ("udp://robot:0", "is no address like udp://HOST:PORT"),
        ("udp://robot:9000/act", "is no address like udp://HOST:PORT"),
        ("udp://robot:x", "is no address like udp://HOST:PORT"),
        ("udp://ann:secret@robot:9", r"udp://\*\*\*@robot:9 is no address"),
        ("udp://robot:9?key=secret", r"udp://robot:9?key=\*\*\* is no address"),
    ],
)
def test_what_is_no_actuator_is_refused_in_words(typed, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")) as refused:
        open_actuator(typed)
    assert "secret" not in str(refused.value)
