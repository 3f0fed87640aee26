"""The libraries that cameras, microphones and streams are read with, imported where they are used."""

from importlib import import_module
from typing import Any

from sensorimotor.errors import MissingExtraError, SensorError


def live_library(module: str, package: str, purpose: str) -> Any:
    """A library of the extra `live`.

    Args:
        module: What to import.
        package: The distribution that brings it.
        purpose: What it is needed for, to go before "needs PACKAGE".

    Raises:
        MissingExtraError: It is not installed.
        SensorError: It is installed, and what it needs of the system is not.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, "live", purpose) from error
    except OSError as error:  # sounddevice without PortAudio
        raise SensorError(f"{purpose} needs a library of the system: {error}. On Debian: libportaudio2") from error
