"""Every error that a user can cause or meet, each with a sentence that says what to do about it."""

from collections.abc import Iterable


class SensorimotorError(Exception):
    """The base of all errors raised on purpose by this library."""


class UsageError(SensorimotorError):
    """A command or a call was asked for something that does not exist or does not go together."""


class SignatureError(SensorimotorError):
    """A signature contradicts itself, or two signatures that must agree do not."""


class ObservationError(SensorimotorError):
    """An input of an observation is not what the signature says.

    Args:
        name: The input.
        expected: What the signature asks for.
        got: What came.
        hint: What to do about it.
    """

    def __init__(self, name: str, expected: str, got: str, hint: str = ""):
        super().__init__(f"input {name!r}: expected {expected}, got {got}{'. ' + hint if hint else ''}")
        self.name, self.expected, self.got = name, expected, got


class OutputError(SensorimotorError):
    """A network gave numbers that cannot be acted upon."""


class BundleError(SensorimotorError):
    """A bundle is missing, damaged, edited, or newer than this version can read."""


class RecipeError(SensorimotorError):
    """A training recipe has a key that is missing, unknown or wrong."""


class CheckpointError(SensorimotorError):
    """A checkpoint cannot be read, written or continued from."""


class ParityError(SensorimotorError):
    """The exported graphs do not compute what the trained network computes; nothing was exported."""


class SpeechError(SensorimotorError):
    """A speech synthesiser is missing, failed, or was asked for a voice that it does not have."""


class WorldError(SensorimotorError):
    """An environment does not exist or does not fit the policy's signature."""


class OutputPathError(SensorimotorError):
    """Something could not be written where it was asked to go."""


class MissingExtraError(SensorimotorError):
    """A package is not installed that an optional part of this library needs.

    Args:
        package: The distribution that is missing.
        extra: The extra, or the choice of extras, that brings it.
        purpose: What it is needed for.
    """

    def __init__(self, package: str, extra: str | Iterable[str], purpose: str):
        extras = [extra] if isinstance(extra, str) else list(extra)
        install = " or ".join(f"pip install 'sensorimotor[{name}]'" for name in extras)
        super().__init__(f"{purpose} needs {package}, which is not installed: {install}")
        self.package, self.extras = package, extras
