"""Actions over UDP: each is one datagram of JSON, sent and not waited for."""

import socket
from urllib.parse import urlsplit

from sensorimotor.actions.actuator import Command
from sensorimotor.errors import ActuatorError, UsageError


class UdpActuator:
    """Sends each command as one datagram. That nobody listens is noticed on this machine only, one command later.

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
            raise UsageError(f"{url} is no address like udp://HOST:PORT: {error}") from error
        if parts.scheme != "udp" or not host or not port or parts.path.strip("/") or parts.query or parts.username:
            raise UsageError(f"{url} is no address like udp://HOST:PORT")
        self.target, self._address = url, (host, port)
        self._socket: socket.socket | None = None

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
        except OSError as error:
            raise ActuatorError(f"{self.target} cannot be reached: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None
