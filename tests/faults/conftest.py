"""What faults are injected into: real sources and a real receiver, and a whole running policy between them.

A running policy is looked at as its operator would: by what it tells, by its trace, and by what the receiver got.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from sensorimotor.actions.actuators import open_actuator
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.clock import MonotonicClock
from sensorimotor.models.policy import Policy
from sensorimotor.perception.sensors import open_sensor
from sensorimotor.pipelines import live
from sensorimotor.pipelines.live import Live
from sensorimotor.pipelines.trace import TraceWriter, read_trace

WAIT_S = 30.0
SAFE = 6
"""The safe action of the bundled policy: `done`."""


def eventually(holds, what="it never came"):
    """Wait until something is so, and give what it gave."""
    until_s = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < until_s, what
        time.sleep(0.01)
    return found


class Camera:
    """The loopback camera as a process of its own."""

    def __init__(self, program):
        self._program, self.port = program, 0
        self.start()

    def start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, self._program, "--port", str(self.port)]
        self._process = subprocess.Popen(command, text=True, **pipes)
        self.url = self._process.stdout.readline().strip()
        self.port = int(self.url.split(":")[2].split("/")[0])

    def tell(self, order):
        """`mode torn`, `rate 5`, `size 640x480`."""
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.communicate()

    def recover(self):
        """As it was at first."""
        if self._process.poll() is not None:
            self.start()
        self.go_on()
        for order in ("mode live", "rate 30", "size 320x240"):
            self.tell(order)


class Receiver:
    """Takes commands over HTTP; `mode` is `taking`, `refusing` or `slow`."""

    def __init__(self):
        self.mode, self.commands, self.port = "taking", [], 0
        self.released = threading.Event()
        self.come_back()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/act"

    def come_back(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):  # noqa: N802 (the name is given)
                command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.mode == "slow":
                    receiver.released.wait(WAIT_S)
                status = 503 if receiver.mode == "refusing" else 204
                if status == 204:
                    receiver.commands.append(command)
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def process_request(self, request, address):
                receiver._clients.append(request)
                super().process_request(request, address)

            def handle_error(self, *_):
                pass

        self._clients = []
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go_away(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(2)


class Watched:
    """A running policy, of which a test sees what it told, its trace, and what the receiver got."""

    def __init__(self, receiver, trace):
        self.receiver, self.path = receiver, trace
        self._taken = set()

    def told(self):
        raise NotImplementedError

    def lines(self, kind):
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        return [line.record for line in read_trace(self.path) if line.kind == kind]

    def events(self, what):
        return [record for record in self.lines("event") if record["what"] == what]

    def states(self):
        """The states it has been in, in order."""
        return [event["after"] for event in self.events("health")]

    def state(self):
        return (self.states() or ["holding"])[-1]

    def wait_for_state(self, state):
        eventually(lambda: self.state() == state, f"never {state}, but: {self.states()}")

    def input_states(self, name):
        return [event["state"] for event in self.events("input") if event["input"] == name]

    def wait_for(self, sentence):
        """Wait until a person is told so; each line is taken once, in any order."""
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            told = self.told()
            for number, line in enumerate(told):
                if sentence in line and number not in self._taken:
                    self._taken.add(number)
                    return line
            time.sleep(0.01)
        raise AssertionError(f"nobody was told {sentence!r}, but: {self.told()}")

    def wait_until_it_acts(self):
        """Wait until the receiver gets what the policy itself selected, from now on."""
        before = len(self.receiver.commands)
        eventually(lambda: any(not one["held"] for one in self.receiver.commands[before:]), "it never acts")

    def wait_until_it_holds(self):
        before = len(self.receiver.commands)
        eventually(lambda: any(one["held"] for one in self.receiver.commands[before:]), "it never holds")

    @contextmanager
    def only_the_safe_action(self):
        """Within it, from its first held command on, nothing but the safe action is received."""
        self.wait_until_it_holds()
        before = len(self.receiver.commands)
        yield
        eventually(lambda: len(self.receiver.commands) >= before + 3, "no more commands")
        for command in self.receiver.commands[before:]:
            assert (command["held"], command["action"]) == (True, SAFE), command

    def check(self):
        """Nothing unsafe was ever executed, as the trace and the receiver say."""
        header = self.lines("header")[-1]
        cameras = {name: one for name, one in header["signature"]["inputs"].items() if one["critical"]}
        executed = {}
        for decision in self.lines("decision"):
            executed.setdefault(decision["turn"], []).append(decision["executed"])
            verdicts = {one["verdict"] for one in decision["verdicts"]}
            assert decision["executed"] in range(7)
            for name, modality in cameras.items():
                report = decision["inputs"][name]
                if not report["present"] or report["age_s"] > modality["max_age_s"]:
                    assert "hold" in verdicts, decision
            if verdicts & {"hold", "deny", "stop"}:
                assert decision["executed"] == SAFE
            else:
                assert decision["executed"] == decision["selected"]
        for command in self.receiver.commands:
            if not command["held"]:
                assert command["action"] in executed[command["step"]], command
            else:
                assert command["action"] == SAFE


class Inside(Watched):
    """The same in this process: `Live`, whose parts a test may spoil."""

    def __init__(self, receiver, trace, policy, inputs, *, to=None, sensors=None, **options):
        super().__init__(receiver, trace)
        self.policy, self._told, self.seen = policy, [], []
        signature, clock = policy.signature, MonotonicClock()
        sensors = sensors or {}
        sensors |= {name: open_sensor(name, signature.inputs[name], what, clock=clock) for name, what in inputs.items()}
        actuator = open_actuator(to or receiver.url)
        rate_hz = options.get("rate_hz") or signature.rate_hz
        self._writer = TraceWriter(
            trace,
            signature,
            policy=policy.fingerprint,
            sensors={name: sensor.source for name, sensor in sensors.items()},
            actuator=actuator.target,
            clock=clock,
            told=self._told.append,
        )
        self.guards = Guards(
            NO_RULES,
            signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in signature.inputs.items()},
            period_s=1 / rate_hz,
        )
        self.live = Live(
            policy,
            sensors,
            actuator,
            self.guards,
            observers=[self._writer],
            told=self._told.append,
            clock=clock,
            watch=lambda seen, decision: self.seen.append((seen, decision)),
            **options,
        )
        self._thread = threading.Thread(target=self.live.run)

    def told(self):
        return list(self._told)

    def __enter__(self):
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        self._restore = lambda: sys.setswitchinterval(switch_s)
        self.live.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.live.stop()
        self._thread.join(WAIT_S)
        self.live.__exit__(*error)
        self._writer.close()
        self._restore()
        assert not self._thread.is_alive()
        if error[0] is None:
            self.check()


class Process(Watched):
    """The same as a person starts it: `sensorimotor run`, or a program of the test's own."""

    def __init__(self, receiver, folder, words, **options):
        super().__init__(receiver, folder / "run.jsonl")
        self._err, self._out = folder / "err.txt", folder / "out.txt"
        with self._err.open("w") as err, self._out.open("w") as out:
            self.process = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.PIPE, stdout=out, stderr=err, **options
            )

    def told(self):
        return self._err.read_text().splitlines()

    def end(self, number=signal.SIGTERM):
        """Send a signal, wait for the end; the exit status and the summary where there is one."""
        self.process.send_signal(number)
        self.process.communicate(timeout=WAIT_S)
        out = self._out.read_text()
        return self.process.returncode, json.loads(out) if out else None


@pytest.fixture(scope="session")
def _camera(mjpeg):
    made = Camera(mjpeg.__file__)
    yield made
    made.kill()


@pytest.fixture
def camera(_camera):
    """One process for all tests: to start one takes as long as most faults."""
    yield _camera
    _camera.recover()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.go_away()


@pytest.fixture
def policy():
    """The bundled one, whose parts a test may spoil."""
    return Policy.load("default")


@pytest.fixture
def inside(receiver, tmp_path, monkeypatch):
    """Runs a policy in this process: `with inside(policy, {"camera": url}) as running`."""
    monkeypatch.setattr(live, "IDLE_S", 0.0)  # how it decides after a pause is no fault
    return lambda policy, inputs, **options: Inside(receiver, tmp_path / "run.jsonl", policy, inputs, **options)


@pytest.fixture
def running(inside, policy, camera):
    """The bundled policy, acting on what the camera shows and on an instruction."""
    with inside(policy, {"camera": camera.url, "instruction": "go to the red ball"}) as made:
        made.wait_until_it_acts()
        made.wait_for_state("running")
        yield made


@pytest.fixture
def started(receiver, tmp_path, person):
    """Starts `sensorimotor run default WORDS` with the receiver and a trace; killed at the end of the test."""
    made = []
    command = Path(sys.executable).with_name("sensorimotor")

    def start(*words, program=(command, "run", "default"), env=person, **options):
        folder = tmp_path / f"run{len(made)}"
        folder.mkdir()
        one = Process(
            receiver,
            folder,
            [*program, "--to", receiver.url, "--json", "--trace", folder / "run.jsonl", *words],
            env=env,
            **options,
        )
        made.append(one)
        return one

    yield start
    for one in made:
        if one.process.poll() is None:
            os.kill(one.process.pid, signal.SIGKILL)
        one.process.communicate()


@pytest.fixture
def tools():
    return SimpleNamespace(eventually=eventually, SAFE=SAFE, WAIT_S=WAIT_S)
