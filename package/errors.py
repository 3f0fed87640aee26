"""Every error that a user can cause or meet, each with a sentence that says what to do about it."""

from collections.abc import Iterable


class SensorimotorError(Exception):
    """The base of all errors raised on purpose by this library.

    `exit_status` is what a command ends with: 1, the job failed; 2, it was asked for something impossible.
    """

    exit_status = 1


class UsageError(SensorimotorError):
    """A command or a call was asked for something that does not exist or does not go together."""

    exit_status = 2


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
        super().__init__(name, expected, got, hint)  # as they came: an error is rebuilt from its arguments elsewhere
        self.name, self.expected, self.got, self.hint = name, expected, got, hint

    def __str__(self) -> str:
        return f"input {self.name!r}: expected {self.expected}, got {self.got}{'. ' + self.hint if self.hint else ''}"


class OutputError(SensorimotorError):
    """A network gave numbers that cannot be acted upon."""


class BundleError(SensorimotorError):
    """A bundle is missing, damaged, edited, or newer than this version can read."""


class EncoderError(SensorimotorError):
    """A pretrained encoder cannot be had: unknown, not reachable, damaged, or of another architecture."""


class UnreachableError(EncoderError):
    """The files of a pretrained encoder are not on this machine, and could not be fetched."""


class LicenceWarning(UserWarning):
    """A policy has weights in it whose licence restricts what it may be used for."""


class RecipeError(UsageError):
    """A training recipe has a key that is missing, unknown or wrong."""


class GuardError(UsageError):
    """An operator's guards have a key that is missing, unknown or wrong, or allow more than the policy promises."""


class DataError(SensorimotorError):
    """A data set is missing, damaged, incomplete, or not what it says it is."""


class CacheError(SensorimotorError):
    """A file that was made once and kept is damaged."""


class CheckpointError(SensorimotorError):
    """A checkpoint cannot be read, written or continued from."""


class ParityError(SensorimotorError):
    """The exported graphs do not compute what the trained network computes; nothing was exported."""


class QuantisationError(SensorimotorError):
    """A graph is nothing that can be had in another precision."""


class ProfileError(SensorimotorError):
    """A machine profile is damaged, or made for another machine, version or policy."""


class ExportError(SensorimotorError):
    """A network is nothing that can be exported."""


class SpeechError(SensorimotorError):
    """A speech synthesiser is missing, failed, or was asked for a voice that it does not have."""


class WorldError(UsageError):
    """An environment does not exist or does not fit the policy's signature."""


class SensorError(SensorimotorError):
    """A camera, microphone or other source of samples is not there, or no more."""


class ActuatorError(SensorimotorError):
    """An action could not be delivered."""


class ActuatorGoneError(ActuatorError):
    """Nothing can be delivered there any more, however often it is tried."""


class TraceError(SensorimotorError):
    """A trace is missing, damaged, or newer than this version can read."""


class ClusterError(SensorimotorError):
    """Other machines cannot be reached, or have failed."""


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
        super().__init__(package, extras, purpose)
        self.package, self.extras, self.purpose = package, extras, purpose

    def __str__(self) -> str:
        install = " or ".join(f"pip install 'sensorimotor[{name}]'" for name in self.extras)
        return f"{self.purpose} needs {self.package}, which is not installed: {install}"
