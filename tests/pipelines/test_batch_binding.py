"""What feeds which input."""

import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import DataError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.batch_binding import Feeding, feeding, require_fit, usual_names
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.episodes import Feature


def signature(**inputs):
    return Signature(inputs, Discrete(2), Constant(0), 10.0)


def fed(names, bind=None, constants=None, **inputs):
    spec = InputSpec("data", bind or {}, constants or {})
    return feeding(spec, signature(**inputs), names, lambda name: DataError(f"no {name}"))


CAMERA, WORDS = Image(height=8, width=8), Text()


def test_its_own_name_comes_before_what_recordings_call_it():
    names = ["observation.images.camera", "camera", "task"]
    assert fed(names, camera=CAMERA, words=WORDS).by == {"camera": "camera", "words": "task"}
    assert fed(names[:1], camera=CAMERA).by == {"camera": "observation.images.camera"}
    assert fed(names, {"camera": names[0]}, camera=CAMERA).by == {"camera": names[0]}


def test_the_task_is_for_the_only_text():
    assert "task" in usual_names(signature(a=WORDS, camera=CAMERA), "a")
    assert "task" not in usual_names(signature(a=WORDS, b=WORDS), "a")
    assert "observation.state" in usual_names(signature(a=State(size=1)), "a")
    assert "observation.state" not in usual_names(signature(a=State(size=1), b=State(size=1)), "a")


def test_a_constant_needs_no_feature_and_is_not_absent():
    assert fed(["camera"], constants={"words": "go"}, camera=CAMERA, words=WORDS) == Feeding({"camera": "camera"}, ())
    with pytest.raises(DataError, match="nothing of it feeds"):
        fed([], constants={"words": "go"}, words=WORDS)


def test_what_turns_out_to_have_nothing_is_absent_too():
    both = fed(["camera", "words"], camera=CAMERA, words=WORDS, mic=Audio(seconds=1.0))
    assert both.only({"words": "words"}, signature(camera=CAMERA, words=WORDS), "data") == Feeding(
        {"words": "words"}, ("mic", "camera")
    )


@pytest.mark.parametrize(
    ("modality", "feature", "fits"),
    [
        (CAMERA, Feature("image", (0, 0, 3)), True),
        (CAMERA, Feature("image", (480, 640, 1)), True),
        (CAMERA, Feature("image", (4, 8, 8, 3)), False),
        (CAMERA, Feature("vector", (3,)), False),
        (State(size=2), Feature("vector", (2,)), True),
        (State(size=2), Feature("vector", (3,)), False),
        (State(size=1), Feature("choice"), False),
        (WORDS, Feature("text"), True),
        (WORDS, Feature("choice"), False),
        (Audio(seconds=1.0), Feature("audio", (2,), rate_hz=8000, stream=True), True),
        (Audio(seconds=1.0), Feature("audio", (2,), stream=True), False),
        (Audio(seconds=1.0), Feature("audio", (0,)), True),
    ],
)
def test_kinds_and_sizes_that_do_not_fit_are_said(modality, feature, fits):
    if fits:
        require_fit("it", modality, "column", feature, "data")
    else:
        with pytest.raises(DataError, match=f"data: input 'it' is an? .*'column' is {feature.kind}"):
            require_fit("it", modality, "column", feature, "data")
