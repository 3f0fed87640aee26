"""The libraries that read and write data: imported where they are used, with a word on how to get them."""

from importlib import import_module
from typing import Any

from sensorimotor.errors import MissingExtraError


def data_library(module: str, package: str, purpose: str) -> Any:
    """A library of the extra `data`.

    Args:
        module: What to import.
        package: The distribution that brings it.
        purpose: What it is needed for, to go before "needs PACKAGE".

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, "data", purpose) from error
