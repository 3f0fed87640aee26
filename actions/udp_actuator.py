"""Actions over UDP: each is one datagram of JSON, sent and not waited for."""

import os
import select
import socket
from urllib.parse import urlsplit

from sensorimotor.actions.actuator import Command
from sensorimotor.errors import ActuatorError, UsageError
from sensorimotor.redaction import redacted

REFUSED_S = 0.02
"""Where nobody listens, this machine says so within microseconds, and one in the same building within milliseconds."""


class UdpActuator:
    """Sends each command as one datagram. That nobody listens is only noticed where the receiver's machine says so.

    It says so after the fact: the first one is lost without a word, and the next raises. From then on each is waited
    for (`REFUSED_S`), until one was not refused: else every second one would seem to be taken.

    Args:
        url: `udp://HOST:PORT`.

    Raises:
        UsageError: It is not like that.
    """

    def __init__(self, url: str):
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{redacted(url)} is no address like udp://HOST:PORT: {error}") from error
        if parts.scheme != "udp" or not host or not port or parts.path.strip("/") or parts.query or parts.username:
            raise UsageError(f"{redacted(url)} is no address like udp://HOST:PORT")
        self.target, self._address = url, (host, port)
        self._socket: socket.socket | None = None
        self._refused = False

    def open(self) -> None:
        """Look the host up.

        Raises:
            ActuatorError: There is no such host.
        """
        self.close()
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        except OSError as error:
            self.close()
            raise ActuatorError(f"{self.target} cannot be reached: {error.strerror}") from error

    def send(self, command: Command, timeout_s: float) -> None:
        """Send one datagram.

        Raises:
            ActuatorError: It cannot be sent, or the last one found nobody there.
        """
        if self._socket is None:
            raise ActuatorError(f"{self.target} is not open")
        try:
            self._socket.settimeout(max(timeout_s, 1e-3))
            self._socket.send(command.to_line())
            if self._refused:
                _raise_refusal(self._socket, min(timeout_s, REFUSED_S))
        except OSError as error:
            self._refused = isinstance(error, ConnectionRefusedError)
            raise ActuatorError(f"{self.target} cannot be reached: {error.strerror or error}") from error
        self._refused = False

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None


def _raise_refusal(connected: socket.socket, within_s: float) -> None:
    """Raise the error that comes back for a datagram within a time."""
    poll = select.poll()
    poll.register(connected, select.POLLERR)
    if poll.poll(within_s * 1e3) and (number := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise OSError(number, os.strerror(number))
