"""States as sensors: JSON in lines of standard input or in UDP datagrams."""

import ipaddress
import json
import select
import socket
from contextlib import suppress

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import ObservationError, SensorError
from sensorimotor.perception.held import Held
from sensorimotor.perception.lines import LOOK_S, Lines
from sensorimotor.perception.modality import State
from sensorimotor.perception.sensor import Losses, Sample

MAX_BYTES = 65_507
"""The largest UDP datagram; no line may be longer either."""


class WrongReading(ValueError):  # noqa: N818 (it is told and counted, and no error of the program)
    """Something came that is no state.

    Attributes:
        cause: In two or three words, to be counted by.
    """

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


def parse_reading(text: str | bytes, name: str, modality: State) -> np.ndarray:
    """A state in JSON: a list of numbers, or an object with such a list under the input's name.

    Raises:
        WrongReading: It is none; the message says what was expected and what came.

    >>> parse_reading('{"joints": [0.5, 1], "time": 3}', "joints", State(size=2)).tolist()
    [0.5, 1.0]
    """
    expected = f'[{modality.size} numbers] or {{"{name}": [{modality.size} numbers]}}'
    try:
        form = json.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError too
        shown = text[:60]
        raise WrongReading("not JSON", f"input {name!r}: expected {expected}, got {shown!r}") from error
    if isinstance(form, dict):
        if name not in form:
            keys = ", ".join(list(form)[:5]) or "nothing"
            raise WrongReading("no such key", f"input {name!r}: expected {expected}, got an object with {keys[:100]}")
        form = form[name]
    numbers = isinstance(form, list) and all(type(value) in (int, float) for value in form)  # true is no number here
    if not numbers or len(form) != modality.size:
        got = f"{len(form)} numbers" if numbers else str(form)[:60]
        raise WrongReading("wrong shape", f"input {name!r}: expected {expected}, got {got}")
    try:
        return modality.check(name, form)
    except ObservationError as error:
        raise WrongReading("not finite", str(error)) from error
    except OverflowError as error:  # an integer of hundreds of digits
        message = f"input {name!r}: expected {expected}, got a number beyond all limits"
        raise WrongReading("not finite", message) from error


class _Parser:
    """Gives samples of what is a state, and counts what is none; the first of each cause is told."""

    def __init__(self, name: str, modality: State, clock: Clock, losses: Losses):
        self._name, self._modality, self._clock, self._losses = name, modality, clock, losses
        self._sequence = -1

    def __call__(self, text: str | bytes) -> Sample | None:
        captured_ns = self._clock.now_ns()
        self._sequence += 1
        try:
            return Sample(parse_reading(text, self._name, self._modality), captured_ns, self._sequence)
        except WrongReading as wrong:
            if self._losses.first(wrong.cause):
                self._losses.tell(f"{wrong}; more of these are only counted")
            return None


class LinesOfReadings:
    """Every line of standard input is a state in JSON.

    Args:
        descriptor: Of standard input.
        name: The input; the key of its numbers where a line is an object.
        modality: The input.
        clock: Stamps them.
    """

    paced, noisy, reopens = True, False, False
    interval_s: float | None = None

    def __init__(self, descriptor: int, name: str, modality: State, *, clock: Clock):
        self._descriptor = descriptor
        self.source = "lines of standard input"
        self.losses = Losses()
        self._form = name, modality, clock
        self._lines: Lines | None = None

    def open(self) -> str | None:
        """Begin to read."""
        self._lines = Lines(self._descriptor, MAX_BYTES, self.losses)
        self._parse = _Parser(*self._form, self.losses)
        return None

    def read(self, timeout_s: float) -> Sample | None:
        """The next state; None also after a line that was none.

        Raises:
            StreamEnded: There are no more lines.
        """
        if self._lines is None:
            raise SensorError(f"{self.source}: closed")
        line = self._lines.next(timeout_s)
        return self._parse(line) if line and line.strip() else None

    def close(self) -> None:
        """Have a `read` in another thread come back; standard input itself stays open."""
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()


class UdpReadings:
    """Every datagram that comes to a port is a state in JSON. Whoever can reach the port is believed.

    Args:
        host: The address to listen at; `127.0.0.1` where only this machine may send.
        port: 0 takes any; `port` says which.
        name: The input; the key of its numbers where a datagram holds an object.
        modality: The input.
        clock: Stamps them.

    Attributes:
        port: Where it listens, after `open`.
    """

    paced, noisy, reopens = True, False, False
    interval_s: float | None = None

    def __init__(self, host: str, port: int, name: str, modality: State, *, clock: Clock):
        self.host, self.port = host, port
        self.source = f"udp://{f'[{host}]' if ':' in host else host}:{port}"
        self.losses = Losses()
        self._form = name, modality, clock
        self._held: Held[socket.socket] | None = None

    def open(self) -> str | None:
        """Begin to listen; a line warns where other machines can send.

        Raises:
            SensorError: The port is taken, or the address is none of this machine.
        """
        self.close()
        try:
            family, _, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            listening = socket.socket(family, socket.SOCK_DGRAM)
            try:
                listening.bind(address)
                listening.setblocking(False)
            except OSError:
                listening.close()
                raise
        except OSError as error:
            raise SensorError(f"{self.source}: cannot listen there: {error.strerror or error}") from error
        self._held, self.port = Held(listening, socket.socket.close, self.source), listening.getsockname()[1]
        self._parse = _Parser(*self._form, self.losses)
        if ipaddress.ip_address(address[0]).is_loopback:
            return None
        return f"{self.source}: every machine that can reach this address can send states; nothing is authenticated"

    def read(self, timeout_s: float) -> Sample | None:
        """The next state; None also after a datagram that was none.

        Raises:
            SensorError: It was closed.
        """
        while True:
            held = self._held
            if held is None:
                raise SensorError(f"{self.source} is closed")
            wait_s = max(min(timeout_s, LOOK_S), 0.0)
            with held.use() as listening, suppress(BlockingIOError):  # a datagram with a wrong checksum
                if select.select([listening], [], [], wait_s)[0]:
                    return self._parse(listening.recv(MAX_BYTES))
            timeout_s -= wait_s
            if timeout_s <= 0:
                return None

    def close(self) -> None:
        """Stop listening. May be called twice."""
        held, self._held = self._held, None
        if held is not None:
            held.let_go()
