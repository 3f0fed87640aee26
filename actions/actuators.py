"""Which actuator a person means by what they typed."""

from difflib import get_close_matches

from sensorimotor.actions.actuator import Actuator, Command
from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.http_actuator import HttpActuator
from sensorimotor.actions.line_actuator import LineActuator
from sensorimotor.actions.udp_actuator import UdpActuator
from sensorimotor.errors import UsageError
from sensorimotor.redaction import redacted

KINDS = "stdout, none, http://HOST:PORT/PATH, https://HOST/PATH, udp://HOST:PORT"


def open_actuator(what: str) -> Actuator:
    """The actuator that is called so; nothing is connected before its `open` and the first `send`.

    Args:
        what: `stdout`, `none`, or a URL of the kind `http`, `https` or `udp`.

    Raises:
        UsageError: There is no such actuator.

    >>> open_actuator("http://ann:secret@robot:9000/act").target
    'http://***@robot:9000/act'
    """
    if what in ("stdout", "-"):
        return LineActuator()
    if what == "none":
        return CallableActuator(_ignore, "none")
    kind, is_url, _ = what.partition("://")
    if is_url and kind in ("http", "https"):
        return HttpActuator(what)
    if is_url and kind == "udp":
        return UdpActuator(what)
    close = get_close_matches(kind, ("stdout", "none", "http", "https", "udp"), n=1)
    meant = f"did you mean {close[0]}? " if close and close[0] != kind else ""
    raise UsageError(f"no actuator is called {redacted(what)!r}; {meant}There are {KINDS}")


def _ignore(_command: Command) -> None:
    """Do nothing with an action."""
