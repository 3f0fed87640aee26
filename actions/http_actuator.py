"""Actions over HTTP: each is the JSON body of one POST, on a connection that is kept."""

import base64
import io
import select
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from sensorimotor.actions.actuator import Command
from sensorimotor.errors import ActuatorError, UsageError
from sensorimotor.redaction import redacted

MAX_ANSWER_BYTES = 65_536
"""What a receiver answers is thrown away; one that says more than this is cut off."""


class HttpActuator:
    """Posts each command to a URL; every status from 200 to 299 means that it was taken. Redirects are not followed.

    A command is posted once: whether one that got no answer was carried out is not known, and the next is on its way.

    Args:
        url: Where to; a user and a password in it are sent as basic authorisation.

    Raises:
        UsageError: It is no URL of that kind.
    """

    def __init__(self, url: str):
        self.target = redacted(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{self.target} is no URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.target} is no URL like http://HOST:PORT/PATH")
        if any(not "!" <= letter <= "~" for letter in url):
            raise UsageError(f"{self.target} has spaces or letters in it that a URL must write as %XX")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self._connection: HTTPConnection | None = None

    def open(self) -> None:
        """Nothing to do: the first command connects."""

    def send(self, command: Command, timeout_s: float) -> None:
        """Post one command and wait until it was taken.

        Raises:
            ActuatorError: Nobody is there, it was refused, or the answer did not come in time.
        """
        deadline = time.monotonic() + timeout_s
        try:
            status = self._post(command.to_line(), deadline)
        except TimeoutError as error:
            self.close()
            raise ActuatorError(f"{self.target} did not answer within {timeout_s * 1e3:.0f} ms") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise ActuatorError(f"{self.target} cannot be reached: {_why(error)}") from error
        if not 200 <= status < 300:
            raise ActuatorError(f"{self.target} refused an action: status {status}")

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, deadline: float) -> int:
        if self._connection and (not self._connection.sock or _readable(self._connection.sock)):
            self.close()  # the receiver has closed it in the meantime
        connection = self._connection or self._connect(deadline)
        self._connection = connection
        connection.sock.settimeout(_left(deadline))
        connection.request("POST", self._path, body, self._headers)
        connection.response_class = cast(
            Any, lambda sock, **more: HTTPResponse(cast(Any, _Hurried(sock, deadline)), **more)
        )
        answer = connection.getresponse()
        answer.read(MAX_ANSWER_BYTES)
        if not answer.isclosed() or not connection.sock:
            self.close()
        return answer.status

    def _connect(self, deadline: float) -> HTTPConnection:
        timeout_s = _left(deadline)
        if self._secure:
            context = ssl.create_default_context()
            connection: HTTPConnection = HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)
        else:
            connection = HTTPConnection(self._host, self._port, timeout=timeout_s)
        connection.connect()
        return connection


class _Hurried(io.RawIOBase):
    """A connection read in all by a deadline: a socket's own time-out starts anew with every byte that trickles in."""

    def __init__(self, sock: socket.socket, deadline: float):
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket when the connection lets go of it

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    """Seconds that are left, at least a thousandth: 0 would mean not to wait at all, which raises another error."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return max(left_s, 1e-3)


def _readable(sock: socket.socket) -> bool:
    """Whether something is there to read: before a request, that can only be the end of the connection."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
