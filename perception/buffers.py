"""What is known of every input now: newest frames, sliding windows, latched words, with ages and sequence numbers.

Frames and states: the newest wins; of a video the last frames, the first one repeated until there are enough. Sound: a
window slides, an utterance is cut out of the stream and kept. Texts are kept until the next one. What is kept (latched)
does not age.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorimotor.errors import ObservationError
from sensorimotor.perception.modality import Audio, Image, Modality, Text
from sensorimotor.perception.utterance import Endpointer


@dataclass(frozen=True)
class Sensed:
    """An observation with what a decision must know about it.

    Attributes:
        observation: Input name → value; inputs that are missing are left out.
        ages_s: Age of each value's newest sample (s); 0 for latched inputs.
        sequences: Counts the values of each input; the same number is the same value.
    """

    observation: dict[str, Any]
    ages_s: dict[str, float] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)


def latched(modality: Modality) -> bool:
    """Whether values of this modality are kept until the next one, and so do not age."""
    return isinstance(modality, Text) or (isinstance(modality, Audio) and modality.mode == "utterance")


class Buffers:
    """One buffer for each input of a stream.

    Args:
        inputs: Input name → modality.

    >>> from sensorimotor.perception.modality import State
    >>> buffers = Buffers({"joints": State(size=2), "instruction": Text()})
    >>> buffers.feed("joints", np.zeros(2), now_s=1.0)
    >>> buffers.observe(now_s=1.5).ages_s
    {'joints': 0.5}
    """

    def __init__(self, inputs: Mapping[str, Modality]):
        self._inputs = dict(inputs)
        self._ears = {
            name: Endpointer(modality.sample_rate, modality.seconds)
            for name, modality in inputs.items()
            if isinstance(modality, Audio) and modality.mode == "utterance"
        }
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new stream begins."""
        self._values: dict[str, Any] = {}
        self._times: dict[str, float] = {}
        self._sequences: dict[str, int] = {}
        for ear in self._ears.values():
            ear.reset()

    def feed(self, name: str, value: Any, now_s: float) -> None:
        """Take a new value of an input.

        Args:
            name: The input.
            value: A frame (a video's next one, or all of them), a state or a text; of sound, the samples since the last
                call, `(samples, channels)`.
            now_s: When its newest sample was in hand (s).

        Raises:
            ObservationError: The stream has no such input, or the sound is not what it should be. Other values are
                checked when they are acted upon.
        """
        modality, number = self._inputs.get(name), 1
        if modality is None:
            raise ObservationError(name, f"one of {', '.join(self._inputs)}", "an unknown name")
        if isinstance(modality, Audio):
            value = modality.check_chunk(name, value)  # one NaN would make the ear deaf for good
            if len(value) == 0:
                return
        if name in self._ears:
            ended = self._ears[name].feed(value)
            if not ended:
                return
            value, number = ended[-1].sound, len(ended)
        elif isinstance(modality, Audio):
            before = self._values.get(name, np.zeros((modality.samples, modality.channels), np.float32))
            value = np.concatenate([before, value])[-modality.samples :]
        elif isinstance(modality, Text) and self._values.get(name) == value:
            return
        elif isinstance(modality, Image) and modality.frames > 1 and np.shape(value) == modality.one_frame:
            film = self._values.get(name)
            frame = np.asarray(value)[None]
            value = np.repeat(frame, modality.frames, 0) if film is None else np.concatenate([film[1:], frame])
        self._values[name], self._times[name] = value, now_s
        self._sequences[name] = self._sequences.get(name, -1) + number

    def newest(self, name: str) -> tuple[int, float]:
        """The number of an input's newest value, and when it was in hand (s); -1 where there is none yet."""
        return self._sequences.get(name, -1), self._times.get(name, float("-inf"))

    def value(self, name: str) -> tuple[Any, int, float]:
        """The newest value of an input, with its number and when it was in hand (s).

        Raises:
            KeyError: There is none yet.
        """
        return self._values[name], self._sequences[name], self._times[name]

    def observe(self, now_s: float) -> Sensed:
        """What a decision at `now_s` sees; a sample that came in since then has age 0."""
        ages = {
            name: 0.0 if latched(self._inputs[name]) else max(0.0, now_s - taken) for name, taken in self._times.items()
        }
        return Sensed(dict(self._values), ages, dict(self._sequences))
