"""The recording of a run, read back turn by turn: the very values that each decision saw."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.episodes import SoundTrack
from sensorimotor.pipelines.lerobot import LeRobotEpisode, LeRobotSource
from sensorimotor.pipelines.lerobot_format import seen_column
from sensorimotor.pipelines.run_features import DECISION, feature_name, frame_names, run_features

SAME_S = 1e-6
"""A step and a decision that are further apart (s) are not of one run."""
BLOCK = 32
"""So many steps of a video are decoded at once."""
CHUNKS = 500
"""So many chunks of sound are read at once."""


def open_recording(path: Path, signature: Signature, names: list[str]) -> LeRobotSource:
    """The recording of runs of a policy.

    Raises:
        DataError: There is none, or it has other features than a run of this policy with these inputs.
    """
    source = LeRobotSource(path)
    for name, feature in run_features(signature, names).items():
        there = source.features.get(name)
        if name.startswith(("seen.", "captured_ns.")):
            continue
        if there is None or (there.kind, there.shape) != (feature.kind, feature.shape):
            found = "nothing" if there is None else f"{there.kind} {there.shape}"
            raise DataError(
                f"{path} is no recording of a run of this policy: expected {name}, {feature.kind} {feature.shape}, "
                f"found {found}"
            )
        if feature.stream and there.rate_hz != feature.rate_hz:
            raise DataError(f"{path}: {name} was recorded at {there.rate_hz} Hz, the policy hears {feature.rate_hz} Hz")
    return source


class RecordedRun:
    """One episode of a run; its turns are asked for in order.

    Args:
        source: See `open_recording`.
        number: Of the episode.
        signature: Of the policy.

    Raises:
        DataError: There is no such episode, or it is damaged.
    """

    def __init__(self, source: LeRobotSource, number: int, signature: Signature):
        if not 0 <= number < len(source):
            raise DataError(
                f"{source.path}: there is no episode {number}, of which the trace speaks; it has {len(source)}"
            )
        self._episode, self._signature = source.episode(number), signature
        steps = range(len(self._episode.times_s))
        self._steps = {turn: step for step, turn in enumerate(self._episode.stored(DECISION, steps))}
        self._pictures = {
            name: _Pictures(self._episode, name, len(steps))
            for input_name, modality in signature.inputs.items()
            if isinstance(modality, Image)
            for name in frame_names(signature, input_name)
        }
        self._sounds: dict[str, _Sounds] = {}

    def observation(self, turn: int, at_ns: int, sequences: Mapping[str, int]) -> dict[str, Any] | None:
        """What a turn saw; None: it is not in the recording.

        Args:
            turn: Its number.
            at_ns: When it was (ns).
            sequences: Input → number of the value that it saw.

        Raises:
            DataError: The recording is of another run, damaged, or lacks a value.
        """
        step = self._steps.get(turn)
        if step is None:
            return None
        if abs(self._episode.times_s[step] - at_ns / 1e9) > SAME_S:
            raise DataError(
                f"{self._episode.name} is of another run than the trace: decision {turn} was at {at_ns / 1e9:.6f} s, "
                f"in the recording at {self._episode.times_s[step]:.6f} s"
            )
        return {name: self._value(name, step, number) for name, number in sequences.items()}

    def _value(self, name: str, step: int, number: int) -> Any:
        modality, feature = self._signature.inputs[name], feature_name(self._signature, name)
        if isinstance(modality, Audio):
            if name not in self._sounds:
                self._sounds[name] = _Sounds(self._episode.sound(feature, modality.sample_rate), name, modality)
            return self._sounds[name].value(number, self._episode.name)
        if isinstance(modality, State):
            return self._episode.stored(feature, [step])[0]
        (there,) = self._episode.stored(seen_column(feature), [step])
        if there != number:
            raise DataError(f"{self._episode.name}, step {step}: expected value {number} of {name}, found {there}")
        if isinstance(modality, Text):
            return self._episode.stored(feature, [step])[0]
        film = [self._pictures[one].at(step)[..., : modality.channels] for one in frame_names(self._signature, name)]
        return np.stack(film) if modality.frames > 1 else film[0]


class _Pictures:
    """One video, decoded a block at a time."""

    def __init__(self, episode: LeRobotEpisode, feature: str, steps: int):
        self._episode, self._feature, self._steps = episode, feature, steps
        self._first, self._block = 0, list[np.ndarray]()

    def at(self, step: int) -> np.ndarray:
        if not self._first <= step < self._first + len(self._block):
            self._first = step
            self._block = self._episode.stored(self._feature, range(step, min(step + BLOCK, self._steps)))
        return self._block[step - self._first]


class _Sounds:
    """The windows or utterances of one stream: what buffers made of it then, they make of it again."""

    def __init__(self, sound: SoundTrack, name: str, modality: Audio):
        self._buffers, self._name = Buffers({name: modality}), name
        self._chunks = _chunks(sound)

    def value(self, number: int, where: str) -> np.ndarray:
        while self._buffers.newest(self._name)[0] < number:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise DataError(
                    f"{where}: the sound of {self._name} ends before value {number}, which a decision heard"
                )
            self._buffers.feed(self._name, chunk, 0.0)
        value, newest, _ = self._buffers.value(self._name)
        if newest != number:
            raise DataError(f"{where}: decisions heard value {newest} of {self._name}, and then {number} again")
        result: np.ndarray = value
        return result


def _chunks(sound: SoundTrack) -> Iterator[np.ndarray]:
    """The chunks of a stream as they came."""
    ends = sound.ends.tolist()
    start = 0
    for first in range(0, len(ends), CHUNKS):
        some = ends[first : first + CHUNKS]
        block, begin = sound.read(start, some[-1]), start
        for end in some:
            yield block[start - begin : end - begin]
            start = end
