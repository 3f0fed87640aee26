import numpy as np
import pytest
from gymnasium import spaces

from sensorimotor.errors import DataError, RecipeError, SignatureError
from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.contract import as_targets, bind, feature_of, require_alike
from sensorimotor.pipelines.episode_recipe import Contract
from sensorimotor.pipelines.episodes import Feature


def contract(**content):
    return Contract.model_validate({"inputs": {"speed": {}}, **content})


# Inputs


def test_inputs_are_what_the_features_are_with_what_the_recipe_adds(drives, bound):
    found = bound(drives([3]))
    assert found.signature.inputs == {
        "camera": Image(height=8, width=8),
        "speed": State(size=2, names=("v", "w"), units=("m/s", "rad/s")),
        "task": Text(max_tokens=8),
    }
    assert found.features == {"camera": "camera", "speed": "speed", "task": "task"}
    assert (found.signature.rate_hz, found.action) == (10.0, "action")


def test_an_input_may_be_named_other_than_its_feature_and_be_critical(drives):
    inputs = {"eye": {"feature": "camera", "frames": 3, "critical": True, "max_age_s": 0.5}}
    found = bind(contract(inputs=inputs), drives([3]), [np.zeros(2)])
    assert found.signature.inputs == {"eye": Image(height=8, width=8, frames=3, critical=True, max_age_s=0.5)}
    assert found.features == {"eye": "camera"}


def test_sound_says_how_long_it_is(memory):
    source = memory.Source({"mic": Feature("audio", (2,), rate_hz=8000), "action": Feature("choice")}, [])
    inputs = {"mic": {"seconds": 0.5, "sample_rate": 8000}}
    found = bind(contract(inputs=inputs), source, [0, 1])
    assert found.signature.inputs["mic"] == Audio(sample_rate=8000, channels=2, seconds=0.5)
    with pytest.raises(RecipeError, match=r"signature.inputs.mic: say how many seconds of sound it hears"):
        bind(contract(inputs={"mic": {}}), source, [0, 1])


def test_samples_that_stand_alone_have_a_rate_of_one(drives):
    alone = drives([1, 1])
    alone.rate_hz = None
    assert bind(contract(), alone, [np.zeros(2)]).signature.rate_hz == 1


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"sped": {}}, r"signature.inputs.sped: the data have no 'sped'; did you mean 'speed'\? They have camera"),
        ({"xyz": {}}, r"the data have no 'xyz'; They have camera, speed"),
        ({"speed": {"frames": 2}}, r"signature.inputs.speed: frames is not for vector inputs"),
        ({"camera": {"max_tokens": 2, "seconds": 1}}, r"max_tokens, seconds is not for image inputs"),
    ],
)
def test_an_input_that_the_data_do_not_have_or_cannot_be_is_named(drives, inputs, said):
    with pytest.raises(RecipeError, match=said):
        bind(contract(inputs=inputs), drives([3]), [np.zeros(2)])


def test_another_rate_than_that_of_the_data_is_refused(drives):
    assert bind(contract(rate_hz=10.05), drives([3]), [np.zeros(2)]).signature.rate_hz == 10.05
    with pytest.raises(RecipeError, match="signature.rate_hz = 20, but the data have 10 steps a second: leave it out"):
        bind(contract(rate_hz=20), drives([3]), [np.zeros(2)])


# Actions


def test_texts_are_choices_in_alphabetical_order_or_in_that_of_the_recipe(drives, bound):
    source = drives([3, 3], "text")
    assert bound(source).signature.action_space.labels == bound(source).labels == ("left", "right")
    assert bound(source, action={"labels": ["right", "left", "up"]}).labels == ("right", "left", "up")


def test_choices_are_as_many_as_are_done_or_named(drives, bound):
    source = drives([4], "choice")
    assert bound(source).signature.action_space.size == 3
    named = bound(source, action={"labels": ["a", "b", "c", "d"]})
    assert (named.signature.action_space.size, named.labels) == (4, ())


def test_zeros_and_ones_are_switches_only_where_the_recipe_says_so(drives, bound):
    source = drives([4, 4], "switches")
    assert isinstance(bound(source).signature.action_space.space, spaces.Box)
    switches = bound(source, action={"switches": True, "labels": ["lamp", "fan"]}).signature.action_space
    assert (switches.space, switches.labels) == (spaces.MultiBinary(2), ("lamp", "fan"))
    with pytest.raises(RecipeError, match="has other values than 0 and 1: those are no switches"):
        bound(drives([4]), action={"switches": True})


def test_vectors_are_limited_to_what_is_done_or_what_the_recipe_says(drives, bound):
    source = drives([3, 4])
    box = bound(source).signature.action_space
    assert (box.space.low.tolist(), box.space.high.tolist()) == ([0, -1], [3, 0])
    assert (box.labels, box.units) == (("x", "y"), ("m", "m"))
    stated = bound(source, action={"low": [-5, -5], "high": [5, 5], "units": ["mm", "mm"]}, horizon=4).signature
    assert (stated.action_space.space.low.tolist(), stated.action_space.units) == ([-5, -5], ("mm", "mm"))
    assert stated.horizon == 4


@pytest.mark.parametrize(
    ("kind", "action", "said"),
    [
        (
            "vector",
            {"low": [0, 0], "high": [3, 0]},
            r"y is limited to \[0, 0\], but the data go from -1 to 0: widen low",
        ),
        ("vector", {"low": [0]}, "signature.action.low has 1 values, the actions have 2"),
        ("text", {"low": [0]}, "low, high and units are for vectors, not for choices"),
        ("choice", {"units": ["m"]}, "low, high and units are for vectors, not for choices"),
        ("vector", {"feature": "camera"}, "'camera' is image; actions are texts, integers or vectors"),
        ("vector", {"feature": "acton"}, "signature.action: the data have no 'acton'; did you mean 'action'"),
    ],
)
def test_an_action_that_does_not_fit_is_named(drives, kind, action, said):
    source = drives([3, 4], kind)
    done = source.episode(0).tracks["action"].values + source.episode(1).tracks["action"].values
    with pytest.raises(RecipeError, match=said):
        bind(contract(action=action), source, done)


def test_the_safe_action_is_a_label_a_vector_an_input_or_the_devices_own(drives, bound):
    assert bound(drives([3], "text")).signature.safe_action == ActuatorHold()
    assert bound(drives([3], "text"), safe_action="right").signature.safe_action == Constant(1)
    assert bound(drives([3]), safe_action=[1, 0]).signature.safe_action == Constant([1, 0])
    assert bound(drives([3]), safe_action={"hold": "speed"}).signature.safe_action == HoldPosition("speed")
    with pytest.raises(RecipeError, match=r"'rihgt' is none of the actions; name one of left, right"):
        bound(drives([3], "text"), safe_action="rihgt")
    with pytest.raises(SignatureError, match="is not in"):
        bound(drives([3]), safe_action=[9, 9])


# Targets


def test_labels_become_their_numbers_and_vectors_float32(drives, bound):
    texts = as_targets(bound(drives([3], "text")), ["right", "left"], "here")
    assert (texts.tolist(), texts.dtype) == ([1, 0], np.int64)
    assert as_targets(bound(drives([3], "choice")), [2, 0], "here").tolist() == [2, 0]
    plans = as_targets(bound(drives([3])), [np.array([1.0, 2.0])], "here")
    assert (plans.shape, plans.dtype) == ((1, 2), np.float32)


@pytest.mark.parametrize("kind", ["text", "choice", "vector"])
def test_no_actions_are_no_targets(drives, bound, kind):
    assert len(as_targets(bound(drives([3], kind)), [], "here")) == 0


def test_an_action_that_is_none_of_the_choices_is_named(drives, bound):
    with pytest.raises(DataError, match="row 7: 'up' is none of the actions left, right: correct it, or name all"):
        as_targets(bound(drives([3], "text")), ["left", "up"], "row 7")
    for wrong in (-1, 3):
        with pytest.raises(DataError, match="row 7: expected choices from 0 to 2, found "):
            as_targets(bound(drives([3], "choice")), [0, wrong], "row 7")


# Two sources


def test_sources_that_are_alike_may_be_judged_on(drives, bound):
    source = drives([3])
    require_alike(bound(source), source, drives([5, 2]), "other")


@pytest.mark.parametrize(
    ("name", "feature", "said"),
    [
        (
            "camera",
            Feature("image", (9, 8, 3)),
            r"expected camera to be image of shape \(8, 8, 3\), .*\(9, 8, 3\): make",
        ),
        ("task", Feature("choice"), "expected task to be text, .* found choice"),
        ("action", Feature("vector", (3,)), r"expected action to be vector of shape \(2,\)"),
        ("speed", Feature("audio", (2,), stream=True), "found a stream of audio"),
    ],
)
def test_a_source_with_a_feature_of_another_kind_is_refused(drives, bound, name, feature, said):
    source, other = drives([3]), drives([3])
    other.features = other.features | {name: feature}
    with pytest.raises(DataError, match=f"^other: .*{said}|^other: {said}"):
        require_alike(bound(source), source, other, "other")


def test_a_source_that_lacks_a_feature_or_has_another_rate_is_refused(drives, bound):
    source, other = drives([3]), drives([3])
    other.features = {name: one for name, one in other.features.items() if name != "speed"}
    with pytest.raises(RecipeError, match="other: the data have no 'speed'"):
        require_alike(bound(source), source, other, "other")
    with pytest.raises(DataError, match="other: expected 10 steps a second, .*found 20 steps a second"):
        require_alike(bound(source), source, drives([3], rate_hz=20.0), "other")


def test_a_feature_is_found_by_name(drives):
    assert feature_of(drives([1]), "task", "here").kind == "text"
