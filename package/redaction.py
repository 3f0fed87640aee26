"""Addresses as people and traces may see them: without passwords, keys and tokens."""

from urllib.parse import SplitResult, urlsplit


def redacted(address: str) -> str:
    """An address without what gives access: user and password, and the values of its query.

    What is no address with a host (a device number, a path) comes back as it is.

    >>> redacted("http://ann:secret@robot:9000/act?token=abc&speed=2")
    'http://***@robot:9000/act?token=***&speed=***'
    >>> redacted("/dev/video0")
    '/dev/video0'
    """
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that do not close: nothing of it can be told apart
        return f"{address.partition('://')[0]}://***"
    host = parts.netloc.rpartition("@")[2]
    user = "***@" if "@" in parts.netloc else ""
    fields = [f"{field.partition('=')[0]}=***" if "=" in field else "***" for field in parts.query.split("&") if field]
    fragment = "***" if parts.fragment else ""
    return SplitResult(parts.scheme, user + host, parts.path, "&".join(fields), fragment).geturl()
