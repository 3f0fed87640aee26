"""What the Rerun viewer is given of a turn, entity by entity."""

import numpy as np
import pytest

from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.actions.space import Box, Discrete, MultiBinary
from sensorimotor.models.signature import ActuatorHold, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.rerun_views import MOST_PIXELS, Views, sentence
from sensorimotor.pipelines.senses import Perceived

SIGNATURE = Signature(
    {
        "camera": Image(height=5, width=7),
        "mic": Audio(sample_rate=8000, seconds=0.5, channels=2),
        "instruction": Text(max_tokens=8),
        "joints": State(size=2, names=("pan", "lift"), units=("rad", "")),
    },
    Discrete(3, ("wait", "go", "turn")),
    ActuatorHold(),
    10.0,
)
SEEN = {
    "camera": np.arange(105, dtype=np.uint8).reshape(5, 7, 3),
    "mic": np.zeros((4000, 2), np.float32),
    "instruction": "go",
    "joints": np.array([1, 2], np.float32),
}


def turn(observation, number=0, sequence=0, ages_s=None, verdicts=(), selected=1, executed=1, **decision):
    inputs = {name: InputReport(name in observation) for name in SIGNATURE.inputs}
    decision.setdefault("confidence", 0.75)
    decided = Decision(
        policy="f",
        stream="main",
        step=number,
        selected=selected,
        executed=executed,
        label="go",
        probabilities=decision.pop("probabilities", np.array([0.25, 0.75, 0], np.float32)),
        novelty=decision.pop("novelty", None),
        inputs=inputs,
        verdicts=verdicts,
        timings_ms={"core": 0.5, "total": 0.75},
        **decision,
    )
    seen = Perceived(observation, ages_s or dict.fromkeys(observation, 0.0), dict.fromkeys(observation, sequence))
    return Turn(number, 10**9, seen, decided, due_ns=10**9, decided_ns=10**9)


def signature(inputs, space=None):
    return Signature(inputs, space or SIGNATURE.action_space, ActuatorHold(), 10.0)


@pytest.fixture
def shown():
    """The entities of turns, one after another."""
    views = Views(SIGNATURE, list(SIGNATURE.inputs))

    def show(*given, **options):
        return dict(views.turn(turn(*given, **options)))

    return show


def numbers(scalars):
    return scalars.scalars.as_arrow_array().to_pylist()


def text(archetype):
    return archetype.text.as_arrow_array().to_pylist()[0]


def level(archetype):
    return archetype.level.as_arrow_array().to_pylist()[0]


def names(archetype):
    return archetype.names.as_arrow_array().to_pylist()


def pixels(image, shape):
    return np.array(image.buffer.as_arrow_array().to_pylist()[0], np.uint8).reshape(shape)


def test_every_input_its_age_and_what_was_decided_have_a_place_of_their_own(shown):
    found = shown(SEEN, ages_s={"camera": 0.125, "mic": 0.0, "instruction": 0.0, "joints": 0.01})
    assert set(found) == {
        "inputs/camera", "inputs/mic", "inputs/instruction", "inputs/joints",
        "age_ms/camera", "age_ms/mic", "age_ms/instruction", "age_ms/joints",
        "probabilities", "confidence", "action/selected", "action/executed", "action/label", "guards/held",
        "time_ms/core", "time_ms/total",
    }  # fmt: skip
    assert numbers(found["age_ms/camera"]) == [125]
    assert numbers(found["probabilities"]) == [0.25, 0.75, 0]
    assert numbers(found["confidence"]) == [0.75]
    assert numbers(found["inputs/joints"]) == [1, 2]
    assert text(found["inputs/instruction"]) == "go"
    assert numbers(found["action/selected"]) == numbers(found["action/executed"]) == [1]
    assert text(found["action/label"]) == "go"
    assert numbers(found["guards/held"]) == [0]
    assert numbers(found["time_ms/total"]) == [0.75]
    assert np.array_equal(pixels(found["inputs/camera"], (5, 7, 3)), SEEN["camera"])


def test_the_lines_of_plots_have_the_names_of_the_signature():
    found = dict(Views(SIGNATURE, list(SIGNATURE.inputs)).static())
    assert names(found["probabilities"]) == ["wait", "go", "turn"]
    assert names(found["inputs/joints"]) == ["pan (rad)", "lift"]
    vector = Views(signature({"joints": State(size=1)}, Box([-1, 0], [1, 1], ("x", "grip"), ("m", ""))), ["joints"])
    found = dict(vector.static())
    assert "probabilities" not in found
    assert names(found["action/executed"]) == ["executed x (m)", "executed grip"]


def test_what_was_shown_already_is_not_shown_again(shown):
    shown(SEEN, sequence=3)
    again = shown(SEEN, sequence=3)
    assert not [path for path in again if path.startswith("inputs/") or path == "action/label"]
    assert "age_ms/camera" in again
    newer = shown({"camera": SEEN["camera"]}, sequence=4)
    assert "inputs/camera" in newer


def test_an_input_that_is_missing_is_cleared_once_and_its_age_is_a_gap(shown):
    assert "inputs/camera" not in shown({})  # there is nothing to clear yet
    shown(SEEN)
    gone = shown({})
    assert gone["inputs/camera"].is_recursive.as_arrow_array().to_pylist() == [False]
    assert np.isnan(numbers(gone["age_ms/camera"])).all()
    assert "inputs/camera" not in shown({})
    assert "inputs/camera" in shown(SEEN)


def test_a_new_episode_is_shown_although_its_numbers_are_those_of_the_last_one():
    views = Views(SIGNATURE, ["camera"])
    dict(views.turn(turn(SEEN)))
    views.begin()
    assert "inputs/camera" in dict(views.turn(turn(SEEN)))


def test_a_sound_is_a_spectrogram_of_each_ear(shown):
    sound = np.zeros((4000, 2), np.float32)
    sound[:, 1] = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)
    found = shown({**SEEN, "mic": sound})["inputs/mic"]
    import cv2

    picture = cv2.imdecode(np.array(found.blob.as_arrow_array().to_pylist()[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (320, 320, 3)
    assert picture[:140].max() < 20  # the left one is silent
    row = 160 + round(160 * (1 - 1000 / 4000))
    assert picture[row - 3 : row + 3].max() > 150


@pytest.mark.parametrize(
    ("modality", "value", "shape"),
    [
        (Image(height=4, width=6, channels=1), np.full((4, 6, 1), 9, np.uint8), (4, 6)),
        (Image(height=4, width=6, channels=4), np.full((4, 6, 4), 9, np.uint8), (4, 6, 3)),
        (Image(height=4, width=6, frames=3), np.full((3, 4, 6, 3), 9, np.uint8), (4, 6, 3)),
    ],
)
def test_grey_and_glassy_pictures_and_the_newest_of_a_film_are_shown(modality, value, shape):
    (found,) = [
        what for path, what in Views(signature({"eye": modality}), ["eye"]).turn(turn({"eye": value}))
        if path == "inputs/eye"
    ]  # fmt: skip
    assert (pixels(found, shape) == 9).all()


def test_large_pictures_are_compressed_and_bounded():
    modality = Image(height=1000, width=3000)
    value = np.zeros((1000, 3000, 3), np.uint8)
    value[::2] = 200
    found = dict(Views(signature({"eye": modality}), ["eye"]).turn(turn({"eye": value})))["inputs/eye"]
    assert found.media_type.as_arrow_array().to_pylist() == ["image/jpeg"]
    blob = bytes(found.blob.as_arrow_array().to_pylist()[0])
    from sensorimotor.pipelines.picture_size import picture_size

    assert picture_size(blob) == (1000, 334)
    assert max(picture_size(blob)) <= MOST_PIXELS


def test_vectors_and_switches_are_values_and_what_was_not_done_is_a_gap():
    for space in (Box([-1, 0], [1, 1]), MultiBinary(2)):
        views = Views(signature({"camera": SIGNATURE.inputs["camera"]}, space), ["camera"])
        found = dict(views.turn(turn({}, selected=np.array([1, 0]), executed=None, probabilities=None)))
        assert numbers(found["action/selected"]) == [1, 0]
        assert np.isnan(numbers(found["action/executed"])).tolist() == [True, True]
        assert "probabilities" not in found


def test_what_a_policy_cannot_tell_is_a_gap_or_not_there(shown):
    found = shown({}, selected=None, executed=None, confidence=None, probabilities=None)
    assert np.isnan(numbers(found["confidence"])).all()
    assert np.isnan(numbers(found["action/executed"])).all()
    assert "novelty" not in found
    assert numbers(shown({}, novelty=0.5)["novelty"]) == [0.5]


def test_guards_are_told_when_they_judge_otherwise_with_the_gravest_level(shown):
    hold = GuardVerdict("critical", "hold", "camera is 2 s old")
    clip, stop = GuardVerdict("limits", "clip", "1.5 is above 1"), GuardVerdict("stop", "stop", "key")
    told = [
        shown({}, verdicts=verdicts).get("log/guards")
        for verdicts in [(GuardVerdict("finite", "pass"),), (hold,), (hold,), (clip, stop), (clip,), ()]
    ]
    assert [one and (text(one), level(one)) for one in told] == [
        None,
        ("critical hold: camera is 2 s old", "WARN"),
        None,
        ("limits clip: 1.5 is above 1; stop stop: key", "ERROR"),
        ("limits clip: 1.5 is above 1", "INFO"),
        ("everything passes again", "INFO"),
    ]
    assert numbers(shown({}, verdicts=(hold,))["guards/held"]) == [1]
    assert text(shown({}, verdicts=(clip,))["action/label"]) == "go"
    assert text(shown({}, verdicts=(hold,))["action/label"]) == "go (held)"


@pytest.mark.parametrize(
    ("what", "details", "expected", "grave"),
    [
        ("input", {"input": "camera", "state": "lost", "reason": "gone"}, "camera lost: gone", "ERROR"),
        ("input", {"input": "camera", "state": "late", "reason": ""}, "camera late", "WARN"),
        ("input", {"input": "camera", "state": "recovered", "reason": ""}, "camera recovered", "INFO"),
        ("drop", {"input": "camera", "cause": "replaced", "count": 3}, "camera: 3 replaced", "DEBUG"),
        ("health", {"before": "running", "after": "holding", "reason": "x"}, "running → holding: x", "WARN"),
        ("health", {"before": "running", "after": "stopped", "reason": "x"}, "running → stopped: x", "ERROR"),
        ("actuator", {"state": "lost", "reason": "refused"}, "actuator lost: refused", "ERROR"),
        ("encoder", {"input": "mic", "state": "hangs", "reason": "busy"}, "encoder of mic hangs: busy", "ERROR"),
        ("error", {"stage": "encode.mic", "reason": "x"}, "error: stage encode.mic, reason x", "ERROR"),
        ("notice", {"input": "mic", "reason": "muted"}, "notice: input mic, reason muted", "INFO"),
        ("episode", {"stream": 2}, "episode 2 begins", "INFO"),
        (
            "carried on",
            {"turn": 3, "missed": 2, "label": "lift 0.25 m", "policy": "f"},
            "what is left of the plan goes on, lift 0.25 m: 2 deadlines missed",
            "WARN",
        ),
    ],
)
def test_events_are_sentences_with_a_level(what, details, expected, grave):
    path, log = Views(SIGNATURE, []).event(what, details)
    assert sentence(what, details) == text(log) == expected
    assert (path, level(log)) == (f"log/{what}".replace(" ", "_"), grave)
