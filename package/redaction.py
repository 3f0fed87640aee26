"""Addresses and messages without the credentials that are in them.

What is not known to be harmless is left out: a name, a password, and every value of the query but a few such as
`channel=2`. Secrets within a path cannot be told from other paths, and stay.
"""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"

_HARMLESS = frozenset(
    (
        *("buffer_size", "camera", "channel", "codec", "fifo_size", "fps", "height", "localaddr", "overrun_nonfatal"),
        *("pkt_size", "profile", "quality", "resolution", "stream", "subtype", "timeout", "transport", "ttl", "width"),
    )
)
"""Keys of a query whose values tell streams apart and open nothing."""

_USER = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/?#]*@", re.IGNORECASE)


def redacted(url: str) -> str:
    """An address that can be printed.

    >>> redacted("rtsp://admin:s3cret@10.0.0.7:554/live?channel=2&token=abc")
    'rtsp://***@10.0.0.7:554/live?channel=2&token=***'
    >>> redacted("clip.mp4")
    'clip.mp4'
    """
    if "://" not in url:
        return url
    # Passwords may hold any character if they were not encoded: the last @ before the path ends them, and where the
    # path begins is not certain then. Hence the last @ of all that is no query.
    scheme, rest = url.split("://", 1)
    address, mark, query = rest.partition("?")
    address = address.split("#")[0]
    if "@" in address:
        address = f"{HIDDEN}@{address.rsplit('@', 1)[1]}"
    if not mark:
        return f"{scheme}://{address}"
    if "@" in query and "@" not in rest.split("?", 1)[0]:  # rtsp://user:pass?word@host
        return f"{scheme}://{HIDDEN}@{query.rsplit('@', 1)[1].split('?')[0]}"
    return f"{scheme}://{address}?{'&'.join(_harmless(part) for part in query.split('#')[0].split('&'))}"


def _harmless(part: str) -> str:
    key, equals, _ = part.partition("=")
    if not equals:
        return HIDDEN
    return part if key.lower() in _HARMLESS else f"{key}={HIDDEN}"


def without_secrets(message: str, url: str) -> str:
    """What a library said about an address, without the credentials in it.

    >>> without_secrets("401 for admin:s3cret at rtsp://admin:s3cret@cam/1", "rtsp://admin:s3cret@cam/1")
    '401 for ***:*** at rtsp://***@cam/1'
    """
    message = message.replace(url, redacted(url))
    message = _USER.sub(rf"\g<scheme>{HIDDEN}@", message)
    for secret in sorted(_secrets(url), key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, message)
    return message


def _secrets(url: str) -> set[str]:
    if "://" not in url:
        return set()
    found: set[str] = set()
    before = url.split("://", 1)[1].split("?")[0]
    if "@" in before:
        user, _, password = before.rsplit("@", 1)[0].partition(":")
        found |= {user, password}
    try:
        query = urlsplit(url).query
    except ValueError:  # brackets that are no IPv6 address
        query = url.partition("?")[2]
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key.lower() not in _HARMLESS:
            found.add(value)
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if key.lower() not in _HARMLESS:
            found.add(value)
    found |= {unquote(secret) for secret in found}
    return {secret for secret in found if secret}
