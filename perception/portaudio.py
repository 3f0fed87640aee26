"""PortAudio, by which microphones are read."""

from typing import Any

from sensorimotor.errors import SensorError
from sensorimotor.libraries import library


def portaudio(purpose: str) -> Any:
    """The package `sounddevice`.

    Args:
        purpose: What it is needed for, to go before "needs".

    Raises:
        MissingExtraError: It is not installed.
        SensorError: It is installed, and PortAudio is not.
    """
    try:
        return library("sounddevice", "sounddevice", "live", purpose)
    except OSError as error:
        raise SensorError(f"{purpose} needs a library of the system: {error}. On Debian: libportaudio2") from error
