"""What a policy is run over offline: recordings, tables and media files, as the steps that it would have lived through.

Every input has episodes, each with an `id` of its own. What a step of an episode sees is what a policy would have seen
at that moment of a live run: the newest of everything, with its age; windows, utterances and films as they had formed.
Memory is not kept here: whoever decides begins each episode with an empty one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, Protocol

from sensorimotor.errors import DataError, MissingExtraError
from sensorimotor.files import expanded
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.sensor import Losses
from sensorimotor.pipelines.media import is_url
from sensorimotor.pipelines.table import TABLES
from sensorimotor.redaction import redacted

Stage = Literal["open", "decode"]
"""Where an episode failed: nothing of it could be had, or what comes after the steps that were."""


@dataclass(frozen=True)
class InputSpec:
    """What to read and how, as plain data: another process opens the same input from it.

    Attributes:
        where: A table, a recording's directory, a media file, or a directory or pattern of media files; a path, or a
            URL of `fsspec` for media.
        bind: Input → the column, feature or stream (`pictures`, `sound`) that feeds it; others go by their names.
        constants: Text input → what it is told in every step.
        rate_hz: Decisions a second of whatever goes on in time; None: as the signature says.
        fit: What to do with pictures of another shape: `crop`, `pad` or `stretch`.

    >>> spec = InputSpec("clips/*.mp4", constants={"instruction": "go to the red ball"})
    >>> InputSpec(**spec.to_json()) == spec
    True
    """

    where: str
    bind: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    rate_hz: float | None = None
    fit: str = "crop"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return asdict(self)


class Step(NamedTuple):
    """One decision that is to be made.

    Attributes:
        time_s: When, on the clock of its episode (s).
        seen: What it sees; nothing at all where nothing has come in yet: live, a policy holds then.
        refused: Why the policy cannot take it: live, it holds then too, and its memory stays as it is. Empty: it can.
    """

    time_s: float
    seen: Sensed
    refused: str = ""


class Unreadable(DataError):  # noqa: N818 (the word for an episode, which others go on without)
    """An episode that cannot be read, or not to its end; the others are not concerned.

    Attributes:
        id: Of the episode.
        stage: `open` or `decode`.
        kind: The class of the error.
        message: What was wrong, and what to do about it.
    """

    def __init__(self, id: str, stage: Stage, kind: str, message: str):
        super().__init__(id, stage, kind, message)  # as they came: it is rebuilt from them in another process
        self.id, self.stage, self.kind, self.message = id, stage, kind, message

    def __str__(self) -> str:
        return f"{self.id}: {self.message}"


class BatchInput(Protocol):
    """Episodes to decide in, for one process and thread; another one opens its own from the `spec`.

    Attributes:
        spec: What it was opened with.
        ids: What identifies each episode: no two are the same, and they stay the same as long as the data do.
        alone: Whether every episode is a single step, so that `samples` gives many at a time.
        fed: Input → what feeds it; constants are told as they are.
        absent: Inputs that nothing feeds.
        losses: What was left out or not used of the episodes that were read, counted by cause; and lines for a person,
            of which each process that opens the input has the same.
    """

    spec: InputSpec
    ids: Sequence[str]
    alone: bool
    fed: Mapping[str, str]
    absent: tuple[str, ...]
    losses: Losses

    @property
    def fingerprint(self) -> str:
        """Changes when the data change, and with what is read of them; empty where files were not listed."""
        ...

    def __len__(self) -> int:
        """How many episodes there are."""
        ...

    def lived(self, index: int) -> Iterator[Step]:
        """The steps of one episode, in order, decoded as they are asked for.

        Raises:
            Unreadable: It cannot be read (at the first step), or not to its end (at a later one).
        """
        ...

    def samples(self, indices: Sequence[int]) -> list[Step | Unreadable]:
        """The only steps of some episodes that stand alone, in the order asked for; what is wrong with those that fail.

        Raises:
            ValueError: They do not stand alone.
        """
        ...


def open_input(spec: InputSpec, signature: Signature, ids: Sequence[str] | None = None) -> BatchInput:
    """What a policy of this signature is to be run over. Files are listed and tables read, but nothing is decoded.

    Args:
        spec: What to read.
        signature: Of the policy.
        ids: Those of the same input when it was opened before, in another process: files are not listed again, so that
            an episode has the same number in both, whatever has come or gone since.

    Raises:
        DataError: There are no such data, they are damaged, what a critical input needs is missing, or two episodes
            have the same id.
        UsageError: The spec names an input that the policy does not have, or has not said what feeds which.
        MissingExtraError: A library is not installed.
    """
    from sensorimotor.pipelines import batch_binding, batch_media, batch_sources

    batch_binding.require_known(spec, signature)
    opened: BatchInput
    if _is_table(spec.where):
        opened = batch_sources.open_manifest(spec, signature)
    elif _is_recording(spec.where):
        opened = batch_sources.open_recording(spec, signature)
    elif PurePath(spec.where).suffix.lower() in TABLES:
        raise DataError(
            f"{redacted(spec.where)}: a table is read from this machine, its media from anywhere: download it"
        )
    else:
        return batch_media.open_media(spec, signature, ids)
    if ids is not None and list(ids) != list(opened.ids):
        raise DataError(f"{spec.where} has changed while it was read: begin again")
    return opened


@contextmanager
def of_episode(id: str, stage: Stage) -> Iterator[None]:
    """Whatever is wrong inside is wrong with one episode, and with no other.

    Raises:
        Unreadable: In place of what was raised.
    """
    try:
        yield
    except (Unreadable, MissingExtraError):
        raise
    except Exception as error:  # noqa: BLE001 (damaged data make libraries raise anything, and cost their episode only)
        message = " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(id, stage, type(error).__name__, message) from error


def _is_table(where: str) -> bool:
    return not is_url(where) and PurePath(where).suffix.lower() in TABLES


def _is_recording(where: str) -> bool:
    from sensorimotor.pipelines.lerobot_format import INFO

    return not is_url(where) and (expanded(where) / INFO).is_file()
