"""What the recording of a run has in it: the features, and what a turn puts into them.

Every turn is a step. LeRobot has no place for "nothing" among pictures, texts and choices: something stands there all
the same (the last picture, or black; an empty text; 0), and a column beside it, `seen.…`, has the number of the value
that the decision saw, or -1. `LeRobotSource` goes by it: a value counts once, when it was in hand, and never where it
only stands for nothing.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.errors import UsageError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import AUDIO, captured_column, seen_column
from sensorimotor.pipelines.loop import Turn

ACTION, SELECTED, DECISION = "action", "selected", "decision"
"""What was executed, what the policy had selected, and the number of the turn."""
NOTHING = -1
"""In a column of what was seen: nothing was."""


def feature_name(signature: Signature, name: str) -> str:
    """Where an input is recorded; of a film, its newest frame."""
    match signature.inputs[name]:
        case Image():
            return f"observation.images.{name}"
        case Audio():
            return f"{AUDIO}{name}"
        case Text():
            return f"observation.text.{name}"
        case State():
            only = sum(isinstance(one, State) for one in signature.inputs.values()) == 1
            return "observation.state" if only else f"observation.state.{name}"


def frame_names(signature: Signature, name: str) -> list[str]:
    """Where the frames of a film are recorded, the oldest first; of a picture, the one."""
    modality, newest = signature.inputs[name], feature_name(signature, name)
    assert isinstance(modality, Image)
    return [f"{newest}.before{back}" if back else newest for back in reversed(range(modality.frames))]


def run_features(signature: Signature, names: Collection[str]) -> dict[str, Feature]:
    """The features of a run that senses some of the inputs.

    Raises:
        UsageError: Pictures of four channels cannot be recorded.
    """
    features: dict[str, Feature] = {}
    number = Feature("choice")
    for name in names:
        modality, feature = signature.inputs[name], feature_name(signature, name)
        match modality:
            case Image():
                if modality.channels == 4:
                    raise UsageError(f"{name} has four channels; pictures of one or three can be recorded")
                for one in frame_names(signature, name):
                    features[one] = Feature("image", (modality.height, modality.width, 3))
                    features[seen_column(one)] = number
                features[captured_column(feature)] = number
            case Audio():
                rate_hz, channels = float(modality.sample_rate), modality.channels
                features[feature] = Feature("audio", (channels,), rate_hz=rate_hz, stream=True)
            case Text():
                features[feature], features[seen_column(feature)] = Feature("text"), number
            case State():
                features[feature] = Feature("vector", (modality.size,), modality.names, modality.units)
    space = signature.action_space
    for what in (ACTION, SELECTED):
        if isinstance(space.space, spaces.Discrete):
            features[what], features[seen_column(what)] = number, number
        else:
            features[what] = Feature("vector", (space.size,), space.labels, space.units)
    return {**features, DECISION: number}


class Rows:
    """Makes turns into the rows of an episode.

    Args:
        signature: Of the policy.
        names: The inputs that are sensed.
    """

    def __init__(self, signature: Signature, names: Collection[str]):
        self._signature, self._names = signature, names
        self._pictures: dict[str, list[np.ndarray]] = {}

    def row(self, turn: Turn) -> dict[str, Any]:
        """What a turn saw and did, for `Recorder.add`."""
        row: dict[str, Any] = {}
        for name in self._names:
            match self._signature.inputs[name]:
                case Image() as modality:
                    row |= self._picture(name, modality, turn)
                case Text():
                    feature = feature_name(self._signature, name)
                    row[feature] = turn.seen.observation.get(name, "")
                    row[seen_column(feature)] = _number(turn, name)
                case State():
                    row[feature_name(self._signature, name)] = turn.seen.observation.get(name)
        row |= self._action(ACTION, turn.decision.executed, turn.number)
        row |= self._action(SELECTED, turn.decision.selected, turn.number)
        return {**row, DECISION: turn.number}

    def _picture(self, name: str, modality: Image, turn: Turn) -> dict[str, Any]:
        names, number = frame_names(self._signature, name), _number(turn, name)
        captured_ns = NOTHING
        if number != NOTHING:
            value = turn.seen.observation[name]
            film = value if modality.frames > 1 else value[None]
            self._pictures[name] = [np.repeat(frame, 3, 2) if modality.channels == 1 else frame for frame in film]
            captured_ns = turn.at_ns - round(turn.seen.ages_s.get(name, 0.0) * 1e9)
        elif name not in self._pictures:
            self._pictures[name] = [np.zeros((modality.height, modality.width, 3), np.uint8)] * modality.frames
        row: dict[str, Any] = dict(zip(names, self._pictures[name], strict=True))
        row |= {seen_column(one): number for one in names}
        return {**row, captured_column(names[-1]): captured_ns}

    def _action(self, what: str, action: Any, number: int) -> dict[str, Any]:
        if isinstance(self._signature.action_space.space, spaces.Discrete):
            return {
                what: 0 if action is None else int(action),
                seen_column(what): NOTHING if action is None else number,
            }
        return {what: None if action is None else np.ravel(action).astype(np.float32)}


def _number(turn: Turn, name: str) -> int:
    """The number of the value of an input that a turn saw."""
    return turn.seen.sequences.get(name, 0) if name in turn.seen.observation else NOTHING


def words(signature: Signature, observation: Mapping[str, Any]) -> str:
    """The first instruction of an observation; empty where there is none."""
    said = (observation.get(name, "") for name, one in signature.inputs.items() if isinstance(one, Text))
    return next((text for text in said if text.strip()), "")
