"""Optional libraries: imported where they are used, with a word on how to get them."""

from importlib import import_module
from typing import Any

from sensorimotor.errors import MissingExtraError


def library(module: str, package: str, extra: str, purpose: str) -> Any:
    """A library that an optional part needs.

    Args:
        module: What to import.
        package: The distribution that brings it.
        extra: The extra of this library that brings the distribution.
        purpose: What it is needed for, to go before "needs PACKAGE".

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, extra, purpose) from error
