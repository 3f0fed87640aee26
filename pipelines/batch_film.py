"""Films and sounds played for decisions that are made without waiting."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sensorimotor.errors import DataError, ObservationError
from sensorimotor.perception.buffers import Buffers, Sensed
from sensorimotor.perception.modality import Audio, Modality
from sensorimotor.perception.sensor import Losses
from sensorimotor.perception.video_file import VideoFile
from sensorimotor.pipelines.batch_input import Step
from sensorimotor.pipelines.reel import Reel, observed_now, turns_ns

MAX_GAP_S, MAX_LENGTH_S = 3600.0, 7 * 86_400.0
"""Times that are damaged can be anything, and until they come a decision after the other is made on nothing new."""


def played(reels: Mapping[str, Reel], inputs: Mapping[str, Modality], rate_hz: float, losses: Losses) -> Iterator[Step]:
    """Steps at a rate until all has been seen: what `Stepped` does, but for what follows a decision.

    Args:
        reels: Input → where its samples come from, those of pictures a `Film`.
        inputs: Input → modality.
        rate_hz: Steps a second.
        losses: Samples that no buffer takes are counted here.

    Raises:
        DataError: The times of a recording are damaged.
        SensorError: A recording is damaged from here on.
    """
    buffers = Buffers(inputs)
    for due_ns in turns_ns(rate_hz):
        for name, reel in reels.items():
            for sample in reel.until(due_ns):
                try:
                    buffers.feed(name, _taken(sample.value, inputs[name]), sample.captured_ns / 1e9)
                except ObservationError:
                    losses.count(f"{name}: not taken")
            if reel.broken:
                raise reel.broken
            require_near(due_ns / 1e9, (reel.next_ns or 0) / 1e9)
        now = observed_now(buffers, inputs, due_ns / 1e9)
        values = {name: value() if isinstance(value, Later) else value for name, value in now.observation.items()}
        yield Step(due_ns / 1e9, Sensed(values, now.ages_s, now.sequences), _refused(values, inputs))
        if all(reel.ended for reel in reels.values()):
            return


def _taken(value: Any, modality: Modality) -> Any:
    """What a buffer takes: of a film in pictures each, for the next one is made of it."""
    return value() if isinstance(value, Later) and getattr(modality, "frames", 1) > 1 else value


def _refused(observation: Mapping[str, Any], inputs: Mapping[str, Modality]) -> str:
    """What the policy would say of sound that it cannot take; empty: nothing."""
    for name, value in observation.items():
        if isinstance(modality := inputs[name], Audio):
            try:
                modality.check(name, value)
            except ObservationError as error:
                return str(error)
    return ""


def require_near(now_s: float, next_s: float) -> None:
    """Refuse times that are damaged: until they come, a decision after the other would be made on nothing new.

    Args:
        now_s: How far a recording has come, from its beginning (s).
        next_s: When it goes on (s).

    Raises:
        DataError: That is too late.
    """
    if next_s - now_s > MAX_GAP_S or next_s > MAX_LENGTH_S:
        raise DataError(
            f"after {now_s:.6g} s it goes on at {next_s:.6g} s, and no more than {MAX_GAP_S:g} s may pass "
            f"without anything new, or {MAX_LENGTH_S:g} s in all: replace it, or cut it into pieces"
        )


class Later:
    """A frame that is made into a picture once it is asked for."""

    def __init__(self, make: Callable[[Any], np.ndarray], frame: Any):
        self._make, self._frame = make, frame
        self._picture: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        """The picture, made once."""
        if self._picture is None:
            self._picture, self._frame = self._make(self._frame), None
        return self._picture


class Film(VideoFile):
    """A video most of whose frames no decision sees: none is made into a picture before one does."""

    def made(self, frame: Any) -> Later:
        """A frame of PyAV as a sample has it."""
        return Later(super().made, frame)
