"""What the Rerun viewer shows of a running policy: which entity holds what, and how they are arranged.

inputs/NAME             what a decision saw: a picture, the spectrogram of a sound, words, or a state's values
age_ms/NAME             how old it was
probabilities           of each choice or switch
confidence, novelty     of the decision
action/selected         by the policy: a number of a choice, switches, or values
action/executed         after the guards
action/label            in words
guards/held             1 where the safe action took the place of the selected one
time_ms/STAGE           how long a stage took, such as `core` and `total`
log/KIND                what happened: `guards`, `input`, `health`, `drop`, `actuator`, …
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.decision import Decision
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Audio, Image, Modality, State, Text
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.rerun_file import rerun_library
from sensorimotor.pipelines.spectrogram import coloured, power_db

Entity = tuple[str, Any]
"""A path, and what to log there."""
PLAIN_BYTES = 2**16
"""Pictures up to this size are kept as they are: JPEG would blur what is small, and save little."""
MOST_PIXELS = 1280
"""Of a larger picture every second, third, … pixel is kept, so that neither side is longer."""
QUALITY = 80
"""Of JPEG, of 100."""
COLUMNS, HEIGHT, LOUDEST_DB = 320, 160, 0
"""A spectrogram's size (pixels), and what is brightest in it (dB of full scale)."""
CHANNELS = 2
"""Further channels are not drawn."""
ERROR, WARN, INFO, DEBUG = "ERROR", "WARN", "INFO", "DEBUG"
LEVELS = {
    **dict.fromkeys(("late", "frozen", "refused", "degraded", "holding"), WARN),
    **dict.fromkeys(("lost", "hangs", "abandoned", "stalled", "stopped"), ERROR),
}
"""How grave a state of an input, an encoder, the actuator or the whole policy is."""
VERDICT_LEVELS = {"clip": INFO, "hold": WARN, "deny": WARN, "confirm": WARN, "stop": ERROR}


class Views:
    """Makes turns and events into entities. What has not changed since the last turn is left out.

    Args:
        signature: Of the policy.
        names: The inputs that are sensed.

    Raises:
        MissingExtraError: Rerun is not installed.
    """

    def __init__(self, signature: Signature, names: Collection[str]):
        self._rerun = rerun_library()
        self._signature, self._names = signature, list(names)
        self._space = signature.action_space
        self._shown: dict[str, Any] = {}

    def begin(self) -> None:
        """All inputs count their values from 0 again."""
        self._shown.clear()

    def static(self) -> Iterator[Entity]:
        """What names the lines of the plots."""
        lines = self._rerun.SeriesLines
        for name in self._names:
            modality = self._signature.inputs[name]
            if isinstance(modality, State) and modality.names:
                yield f"inputs/{name}", lines(names=_with_units(modality.names, modality.units))
        size = self._space.size
        labels = [self._space.label(number) for number in range(size)]
        if not self._space.plans:
            yield "probabilities", lines(names=labels)
        for what in ("selected", "executed"):
            if isinstance(self._space.space, spaces.Discrete):
                yield f"action/{what}", self._rerun.SeriesPoints(names=[what])
            else:
                named = [f"{what} {label}" for label in _with_units(labels, self._space.units)]
                yield f"action/{what}", lines(names=named)

    def turn(self, turn: Turn) -> Iterator[Entity]:
        """What a decision saw and was."""
        decision = turn.decision
        for name in self._names:
            yield from self._input(name, turn)
            age_s = turn.seen.ages_s.get(name)
            yield f"age_ms/{name}", self._scalars(None if age_s is None else 1e3 * age_s)
        if decision.probabilities is not None:
            yield "probabilities", self._scalars(decision.probabilities)
        yield "confidence", self._scalars(decision.confidence)
        if decision.novelty is not None:
            yield "novelty", self._scalars(decision.novelty)
        yield "action/selected", self._action(decision.selected)
        yield "action/executed", self._action(decision.executed)
        label = f"{decision.label} (held)" if decision.held else decision.label
        if self._is_new("action/label", label):
            yield "action/label", self._rerun.TextDocument(label)
        yield "guards/held", self._scalars(float(decision.held))
        for stage, took_ms in decision.timings_ms.items():
            yield f"time_ms/{stage}", self._scalars(took_ms)
        yield from self._verdicts(decision)

    def event(self, what: str, details: dict[str, Any]) -> Entity:
        """What happened beside the turns."""
        state = details.get("state") or details.get("after") or ""
        level = {"error": ERROR, "carried on": WARN, "drop": DEBUG}.get(what) or LEVELS.get(state, INFO)
        return f"log/{what.replace(' ', '_')}", self._rerun.TextLog(sentence(what, details), level=level)

    def blueprint(self) -> Any:
        """Inputs on the left, what is made of them on the right, the log below."""
        blueprint = self._rerun.blueprint
        plot, words = blueprint.TimeSeriesView, blueprint.TextDocumentView
        scenes, texts = [], [words(origin="/action/label", name="does")]
        for name in self._names:
            match self._signature.inputs[name]:
                case Image() | Audio():
                    scenes.append(blueprint.Spatial2DView(origin=f"/inputs/{name}", name=name))
                case State():
                    scenes.append(plot(origin=f"/inputs/{name}", name=name))
                case Text():
                    texts.insert(-1, words(origin=f"/inputs/{name}", name=name))
        decided = [
            plot(name="confidence", contents=["/confidence", "/novelty", "/guards/held"]),
            plot(name="action", contents=["/action/selected", "/action/executed"]),
            plot(name="age (ms)", origin="/age_ms"),
            plot(name="time (ms)", origin="/time_ms"),
        ]
        if not self._space.plans:
            decided.insert(0, plot(origin="/probabilities"))
        seen = blueprint.Vertical(*scenes, blueprint.Horizontal(*texts), row_shares=[3] * len(scenes) + [1])
        log = blueprint.TextLogView(origin="/log")
        return blueprint.Blueprint(
            blueprint.Vertical(blueprint.Horizontal(seen, blueprint.Vertical(*decided)), log, row_shares=[4, 1]),
            blueprint.TimePanel(timeline="time", state="collapsed"),
            blueprint.BlueprintPanel(state="collapsed"),
            blueprint.SelectionPanel(state="collapsed"),
        )

    def _input(self, name: str, turn: Turn) -> Iterator[Entity]:
        path = f"inputs/{name}"
        if name not in turn.seen.observation:
            if self._is_new(path, None):
                yield path, self._rerun.Clear(recursive=False)
            return
        number = turn.seen.sequences.get(name)
        if self._is_new(path, number) or number is None:
            yield path, self._seen(self._signature.inputs[name], turn.seen.observation[name])

    def _seen(self, modality: Modality, value: Any) -> Any:
        match modality:
            case Image():
                return self._picture(value[-1] if modality.frames > 1 else value)
            case Audio():
                powers = (power_db(channel, modality.sample_rate, COLUMNS) for channel in value.T[:CHANNELS])
                return self._picture(np.concatenate([coloured(power, LOUDEST_DB, HEIGHT) for power in powers]))
            case State():
                return self._scalars(value)
            case Text():
                return self._rerun.TextDocument(value)

    def _picture(self, pixels: np.ndarray) -> Any:
        every = -(-max(pixels.shape[:2]) // MOST_PIXELS)
        pixels = np.ascontiguousarray(pixels[::every, ::every, :3])  # JPEG has no transparency
        picture = self._rerun.Image(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return picture if pixels.nbytes <= PLAIN_BYTES else picture.compress(jpeg_quality=QUALITY)

    def _action(self, action: Any) -> Any:
        if isinstance(self._space.space, spaces.Discrete):
            return self._scalars(action)
        return self._scalars(np.full(self._space.size, np.nan) if action is None else action)

    def _verdicts(self, decision: Decision) -> Iterator[Entity]:
        """Of the guards, where they judge otherwise than the last time."""
        found = [one for one in decision.verdicts if one.verdict != "pass"]
        judged = [(one.guard, one.verdict) for one in found]
        if not self._is_new("log/guards", judged, unless=[]):
            return
        said = [
            f"{one.guard} {one.verdict}: {one.reason}" if one.reason else f"{one.guard} {one.verdict}" for one in found
        ]
        grave = sorted((VERDICT_LEVELS[one.verdict] for one in found), key=[INFO, WARN, ERROR].index)
        level = grave[-1] if grave else INFO
        yield "log/guards", self._rerun.TextLog("; ".join(said) or "everything passes again", level=level)

    def _is_new(self, path: str, what: Any, unless: Any = None) -> bool:
        """Whether something else was shown there before; at the beginning, whether it is not `unless`."""
        before, self._shown[path] = self._shown.get(path, unless), what
        return bool(before != what)

    def _scalars(self, values: Any) -> Any:
        """One or several numbers; NaN, a gap in a plot, where there is none."""
        return self._rerun.Scalars(np.ravel(np.nan if values is None else values).astype(np.float64))


def sentence(what: str, details: dict[str, Any]) -> str:
    """An event in words.

    >>> sentence("input", {"input": "camera", "state": "lost", "reason": "it is gone"})
    'camera lost: it is gone'
    >>> sentence("recorded", {"stream": 1, "episode": 0})
    'recorded: stream 1, episode 0'
    """
    match what, details:
        case "carried on", {"label": label, "missed": missed}:
            return f"what is left of the plan goes on, {label}: {missed} deadlines missed"
        case "episode", {"stream": number}:
            return f"episode {number} begins"
        case "drop", {"input": name, "cause": cause, "count": count}:
            return f"{name}: {count} {cause}"
        case "health", {"before": before, "after": after, "reason": reason}:
            said = f"{before} → {after}"
        case "encoder", {"input": name, "state": state, "reason": reason}:
            said = f"encoder of {name} {state}"
        case _, {"input": name, "state": state, "reason": reason}:
            said = f"{name} {state}"
        case _, {"state": state, "reason": reason}:
            said = f"{what} {state}"
        case _:
            return f"{what}: " + ", ".join(f"{key} {value}" for key, value in details.items())
    return f"{said}: {reason}" if reason else said


def _with_units(names: Collection[str], units: Collection[str]) -> list[str]:
    return [f"{name} ({unit})" if unit else name for name, unit in zip(names, units or [""] * len(names), strict=True)]
