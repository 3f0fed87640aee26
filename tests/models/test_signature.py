import copy
import json

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import assume, given
from hypothesis import strategies as st

from sensorimotor.actions.space import ActionSpace, Box, Discrete, MultiBinary
from sensorimotor.errors import ObservationError, SignatureError
from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text

CAMERA, MIC = Image(height=4, width=6), Audio(sample_rate=8000, seconds=0.5, mode="utterance")
JOINTS, DOOR, ARM = State(size=2, names=("hip", "knee")), Discrete(2, ("wait", "go")), Box([-1, -1], [1, 1])
INPUTS = {"camera": CAMERA, "mic": MIC, "instruction": Text(), "joints": JOINTS}
SIGNATURE = Signature(INPUTS, DOOR, Constant("wait"), 10.0)

FRAME = np.zeros((4, 6, 3), np.uint8)


# Random signatures

common = {"critical": st.booleans(), "max_age_s": st.floats(1e-6, 1e6)}
input_names = st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)
names_of = st.lists(st.text(max_size=5), min_size=3, max_size=3).map(tuple)
rates = st.floats(min_value=0, max_value=10_000, exclude_min=True)


def modalities(side: int, seconds: float) -> st.SearchStrategy:
    """Inputs up to a size; Gymnasium keeps two limits for every single value, so its spaces must stay small."""
    sides = st.integers(1, side)
    images = st.builds(
        Image, height=sides, width=sides, channels=st.sampled_from([1, 3, 4]), frames=st.integers(1, 8), **common
    )
    sounds = st.builds(
        Audio,
        sample_rate=st.integers(4000, 192_000),
        channels=st.integers(1, 4),
        seconds=st.floats(0.01, seconds),
        mode=st.sampled_from(["window", "utterance"]),
        **common,
    )
    texts = st.builds(Text, max_tokens=st.integers(1, 4096), **common)
    states = st.builds(State, size=st.integers(1, 4096), **common)
    named = st.builds(State, size=st.just(3), names=names_of, units=names_of, **common)
    return images | sounds | texts | states | named


@st.composite
def signatures(draw, side: int = 16384, seconds: float = 60.0) -> Signature:
    senses = draw(st.dictionaries(input_names, modalities(side, seconds), min_size=1, max_size=5))
    size = draw(st.integers(1, 4))
    numbers = st.floats(-10, 10, width=32)
    match draw(st.sampled_from(["choice", "switches", "vector", "hold", "device"])):
        case "choice":
            return Signature(senses, Discrete(size), Constant(draw(st.integers(0, size - 1))), draw(rates))
        case "switches":
            safe = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
            return Signature(senses, MultiBinary(size), Constant(safe), draw(rates))
        case "vector":
            safe = draw(st.lists(numbers, min_size=size, max_size=size))
            return Signature(senses, Box([-10] * size, [np.inf] * size), Constant(safe), draw(rates))
        case "hold":
            senses["held"] = State(size=size)
            return Signature(senses, Box([-10] * size, [10] * size), HoldPosition("held"), draw(rates))
    return Signature(senses, Discrete(size), ActuatorHold(), draw(rates))


def as_json(signature: Signature):
    return json.loads(json.dumps(signature.to_json(), allow_nan=False))


@given(signatures())
def test_any_signature_comes_back_from_its_json_form_with_its_inputs_in_order(signature):
    again = Signature.from_json(as_json(signature))
    assert again == signature
    assert again.names == signature.names
    assert as_json(again) == as_json(signature)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
any_json = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


@given(any_json)
def test_json_that_is_no_signature_is_refused_and_nothing_worse(form):
    with pytest.raises(SignatureError):
        Signature.from_json(form)


def places(form, path=()):
    """Every path into a JSON form."""
    for key, value in form.items() if isinstance(form, dict) else enumerate(form) if isinstance(form, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


@given(signature=signatures(), data=st.data())
def test_a_damaged_signature_is_refused_or_is_still_a_signature_but_never_worse(signature, data):
    form = as_json(signature)
    *path, key = data.draw(st.sampled_from(sorted(places(form), key=repr)))
    parent = form
    for step in path:
        parent = parent[step]
    if data.draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = data.draw(any_json)
    try:
        read = Signature.from_json(form)
    except SignatureError:
        return
    assert Signature.from_json(as_json(read)) == read


@given(signatures(side=9, seconds=0.02))
def test_a_signature_becomes_gymnasium_spaces_in_order(signature):
    observation_space = signature.observation_space()
    assert tuple(observation_space.spaces) == signature.names
    for name, modality in signature.inputs.items():
        assert observation_space[name] == modality.to_space()


@given(signatures(side=9, seconds=0.02))
def test_a_signature_is_found_again_from_its_gymnasium_spaces_and_what_they_cannot_say(signature):
    again = Signature.from_spaces(
        signature.observation_space(),
        signature.action_space,
        safe_action=signature.safe_action,
        rate_hz=signature.rate_hz,
        declared=signature.inputs,
    )
    assert again == signature


def test_an_environment_needs_only_its_sound_declared():
    environment = spaces.Dict(
        {
            "camera": CAMERA.to_space(),
            "ear": MIC.to_space(),
            "joints": State(size=2).to_space(),
            "words": spaces.Text(80),
        }
    )
    signature = Signature.from_spaces(
        environment, spaces.Discrete(2), safe_action=Constant(0), rate_hz=5, declared={"ear": MIC}
    )
    assert signature.inputs == {"camera": CAMERA, "ear": MIC, "joints": State(size=2), "words": Text()}
    assert signature.action_space == Discrete(2)


def test_an_environment_with_undeclared_sound_is_refused_by_the_name_of_the_input():
    with pytest.raises(SignatureError, match="input 'ear'.*audio must be declared"):
        Signature.from_spaces(
            spaces.Dict({"ear": MIC.to_space()}), spaces.Discrete(2), safe_action=Constant(0), rate_hz=5
        )


# Equality


def test_signatures_with_their_inputs_in_another_order_are_different():
    swapped = Signature(dict(reversed(INPUTS.items())), DOOR, Constant(0), 10.0)
    assert swapped != SIGNATURE
    assert Signature(dict(INPUTS), DOOR, Constant(0), 10.0) == SIGNATURE


@pytest.mark.parametrize(("safe", "equal"), [([0, 0], True), ([0.0, 0.5], False), ([0.5, 0.5], False)])
def test_signatures_with_vectors_for_safe_actions_can_be_compared(safe, equal):
    signature = Signature({"joints": JOINTS}, ARM, Constant([0.0, 0.0]), 10.0)
    assert (Signature({"joints": JOINTS}, ARM, Constant(safe), 10.0) == signature) is equal


@pytest.mark.parametrize("other", [Constant(1), ActuatorHold()])
def test_signatures_with_other_safe_actions_are_different(other):
    assert Signature(INPUTS, DOOR, other, 10.0) != SIGNATURE


def test_a_signature_does_not_change_with_the_dictionary_it_was_made_from():
    senses = dict(INPUTS)
    signature = Signature(senses, DOOR, Constant(0), 10.0)
    del senses["camera"]
    assert signature == SIGNATURE


# What cannot be a signature


def test_a_policy_without_inputs_is_refused():
    with pytest.raises(SignatureError, match="at least one input"):
        Signature({}, DOOR, Constant(0), 10.0)


@pytest.mark.parametrize(
    "name", ["", "Camera", "2nd", "_x", "front camera", "a.b", "a/b", "../x", "é", "a" * 33, "x\n", 3]
)
def test_names_that_cannot_go_into_file_names_and_graphs_are_refused(name):
    with pytest.raises(SignatureError, match="cannot name an input"):
        Signature({name: CAMERA}, DOOR, Constant(0), 10.0)


@pytest.mark.parametrize("rate_hz", [0, -1, 10_001, float("nan"), float("inf")])
def test_a_rate_that_no_policy_can_have_is_refused(rate_hz):
    with pytest.raises(SignatureError, match="rate_hz must lie between 0 and 10000"):
        Signature(INPUTS, DOOR, Constant(0), rate_hz)


@pytest.mark.parametrize("rate_hz", [1e-3, 1, 10_000])
def test_rates_from_very_slow_to_the_highest_are_taken(rate_hz):
    assert Signature(INPUTS, DOOR, Constant(0), rate_hz).rate_hz == rate_hz


@pytest.mark.parametrize("action", [2, -1, "stop", None, [0], float("nan")])
def test_a_safe_action_that_is_not_in_the_space_is_refused(action):
    with pytest.raises(SignatureError, match=r"safe_action .* is not in Discrete\(2\) \(wait, go\)"):
        Signature(INPUTS, DOOR, Constant(action), 10.0)


@pytest.mark.parametrize("action", [[2, 0], [0], [np.nan, 0], [np.inf, 0]])
def test_a_safe_vector_that_is_not_in_the_box_is_refused(action):
    with pytest.raises(SignatureError, match="safe_action .* is not in Box"):
        Signature(INPUTS, ARM, Constant(action), 10.0)


def test_a_safe_action_may_be_given_by_its_label():
    assert Signature(INPUTS, DOOR, Constant("go"), 10.0).safe_action == Constant(1)


@pytest.mark.parametrize("name", ["camera", "instruction", "mic", "nowhere"])
def test_only_a_state_input_can_be_held(name):
    with pytest.raises(SignatureError, match=f"holds '{name}', which is no state input of a Box action space"):
        Signature(INPUTS, ARM, HoldPosition(name), 10.0)


def test_a_choice_cannot_hold_a_position():
    with pytest.raises(SignatureError, match="no state input of a Box action space"):
        Signature(INPUTS, DOOR, HoldPosition("joints"), 10.0)


def test_a_position_of_another_size_cannot_be_held():
    with pytest.raises(SignatureError, match="'joints' with 2 values, but actions have 1"):
        Signature(INPUTS, Box([0], [1]), HoldPosition("joints"), 10.0)


def damaged(**changes):
    form = copy.deepcopy(as_json(SIGNATURE))
    for path, value in changes.items():
        *parents, key = path.split("__")
        target = form
        for parent in parents:
            target = target[parent]
        if value is KeyError:
            del target[key]
        else:
            target[key] = value
    return form


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        (damaged(inputs=KeyError), "'inputs' is missing"),
        (damaged(action_space=KeyError), "'action_space' is missing"),
        (damaged(safe_action=KeyError), "'safe_action' is missing"),
        (damaged(safe_action__kind=KeyError), "'kind' is missing"),
        (damaged(safe_action__action=KeyError), "'action' is missing"),
        (damaged(rate_hz=KeyError), "'rate_hz' is missing"),
        (damaged(inputs__camera__height=KeyError), "height: Field required"),
        (damaged(inputs__camera__zoom=2), "zoom: Extra inputs are not permitted"),
        (damaged(inputs__camera__kind="lidar"), "'lidar'"),
        (damaged(inputs__camera__kind=KeyError), "inputs: "),
        (damaged(inputs={}), "at least one input"),
        (damaged(inputs=[1]), "this is no signature"),
        (damaged(action_space__kind="tape"), "no kind of action space is called 'tape'"),
        (damaged(action_space__n=KeyError), "this is no action space"),
        (damaged(safe_action__kind="pray"), "no kind of safe action is called 'pray'"),
        (damaged(safe_action__action=9), "safe_action 9 is not in"),
        (damaged(rate_hz="fast"), "this is no signature"),
        (damaged(rate_hz=0), "rate_hz must lie between"),
        (None, "this is no signature"),
        ([], "this is no signature"),
    ],
)
def test_a_json_form_with_a_key_missing_unknown_or_wrong_is_refused_naming_it(form, complaint):
    with pytest.raises(SignatureError, match=complaint):
        Signature.from_json(form)


# Observations


def test_what_is_there_is_checked_and_what_is_missing_or_none_is_left_out():
    checked = SIGNATURE.check({"joints": [1, 2], "camera": FRAME, "mic": None})
    assert list(checked) == ["camera", "joints"], "the order is that of the signature"
    assert checked["camera"] is FRAME
    assert checked["joints"].dtype == np.float32


@pytest.mark.parametrize("observation", [{}, {"camera": None}, dict.fromkeys(INPUTS)])
def test_an_empty_observation_is_refused_naming_what_could_be_there(observation):
    with pytest.raises(ObservationError, match="at least one of camera, mic, instruction, joints, got an empty"):
        SIGNATURE.check(observation)


@pytest.mark.parametrize("name", ["lidar", "Camera", ""])
def test_an_unknown_input_is_named_together_with_the_known_ones(name):
    with pytest.raises(ObservationError) as caught:
        SIGNATURE.check({"camera": FRAME, name: 3})
    assert f"input '{name}'" in str(caught.value)
    assert "an unknown name" in str(caught.value)
    assert "camera (an image, uint8 (4, 6, 3))" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("camera", FRAME.astype(np.float32)),
        ("mic", np.zeros(8000, np.float32)),
        ("mic", np.zeros(80, np.int16)),
        ("instruction", "\ud800"),
        ("instruction", "a" * 10_001),
        ("joints", [0.0, np.nan]),
    ],
)
def test_a_wrong_value_is_refused_naming_its_input(name, value):
    with pytest.raises(ObservationError, match=f"^input '{name}': expected"):
        SIGNATURE.check({"camera": FRAME, name: value})


@given(st.data())
def test_every_sample_of_the_observation_space_passes_the_check(data):
    signature = Signature({**INPUTS, "joints": State(size=2)}, DOOR, Constant(0), 10.0)
    observation_space = signature.observation_space()
    observation_space.seed(data.draw(st.integers(0, 2**31)))
    observation = observation_space.sample()
    assume(len(observation["instruction"]) <= 10_000)
    assert list(signature.check(observation)) == list(INPUTS)


def test_an_action_space_without_names_is_taken_from_gymnasium_as_it_is():
    signature = Signature.from_spaces(
        spaces.Dict({"joints": JOINTS.to_space()}),
        spaces.Box(-1, 1, (2,)),
        safe_action=HoldPosition("joints"),
        rate_hz=9,
    )
    assert signature.action_space == ActionSpace(spaces.Box(-1, 1, (2,)))


def test_a_plan_belongs_to_the_contract_and_an_older_form_has_plans_of_one():
    box = Box([-1], [1])
    signature = Signature({"joints": State(size=1)}, box, Constant([0.0]), 10.0, horizon=8)
    form = signature.to_json()
    assert Signature.from_json(form) == signature
    del form["horizon"]
    assert Signature.from_json(form).horizon == 1


@pytest.mark.parametrize("horizon", [0, -1, 1001])
def test_a_horizon_that_no_plan_has_is_refused(horizon):
    with pytest.raises(SignatureError, match=f"between 1 and 1000 actions, not {horizon}"):
        Signature({"joints": State(size=1)}, Box([-1], [1]), Constant([0.0]), 10.0, horizon)


def test_choices_cannot_be_planned():
    with pytest.raises(SignatureError, match="plans of 2 actions are for Box"):
        Signature({"joints": State(size=1)}, Discrete(2), Constant(0), 10.0, 2)
