import numpy as np
import pytest

from sensorimotor.errors import RecipeError
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.assumed import assumed_source
from sensorimotor.pipelines.contract import bind
from sensorimotor.pipelines.examples import acted, examples
from sensorimotor.pipelines.recipe import parse_recipe


def recipe(kind="lerobot", inputs=None, action=None, encoders=None, data=None, **contract):
    return parse_recipe(
        {
            "name": "absent",
            "data": {"kind": kind, "path": "nowhere", **(data or {})},
            "signature": {"inputs": inputs or {"text": {"max_tokens": 4}}, "action": action or {}, **contract},
            "network": {"encoders": encoders or {}},
            "training": {"steps": 1},
        },
        "here",
    )


def bound(one):
    """The signature on data that were invented, as training would find it, and what was assumed."""
    source, notes = assumed_source(one)
    actions = [value for i in range(len(source)) for value in acted(source.episode(i), one.signature.action.feature)[1]]
    return bind(one.signature, source, actions).signature, notes


INPUTS = {
    "picture": ({"frames": 1}, {}, {}, Image),
    "film": ({"frames": 8}, {}, {}, Image),
    "clip": ({}, {"kind": "open_clip"}, {}, Image),
    "words": ({"max_tokens": 9}, {"kind": "open_clip"}, {}, Text),
    "language": ({}, {"kind": "transformers"}, {}, Text),
    "ear": ({"seconds": 1.0}, {}, {}, Audio),
    "whisper": ({"seconds": 1.0}, {"kind": "whisper"}, {}, Audio),
    "said": ({}, {}, {"kinds": {"said": "text"}}, Text),
    "video": ({"frames": 4}, {}, {"kinds": {"video": "video"}}, Image),
    "joints": ({}, {}, {"vectors": {"joints": ["lift", "turn"]}}, State),
    "speed": ({}, {}, {"kinds": {"speed": "vector"}}, State),
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_of_a_table_is_what_its_options_its_encoder_or_the_table_say(name):
    entry, encoder, data, expected = INPUTS[name]
    encoders = {name: encoder} if encoder else {}
    signature, _ = bound(recipe("manifest", {name: entry}, {"labels": ["a", "b"]}, encoders, data))
    assert type(signature.inputs[name]) is expected


def test_in_a_recording_the_format_names_what_things_are():
    features = {"eye": "observation.images.front", "arm": "observation.state", "told": "task", "ear": "audio.mic"}
    inputs = {name: {"feature": feature} for name, feature in features.items()}
    inputs["ear"]["seconds"] = 0.5
    signature, notes = bound(recipe(inputs=inputs))
    assert [type(one) for one in signature.inputs.values()] == [Image, State, Text, Audio]
    assert signature.rate_hz == 30
    assert notes == [
        "30 steps a second",
        "eye of 480 x 640 x 3",
        "arm with 6 values",
        "ear with one channel",
        "actions of 6 values",
        "limits of the actions near -1 and 1",
    ]


def test_what_is_said_is_not_assumed():
    action = {"low": [-2, 0, 0], "high": [2, 1, 1]}
    held = recipe(inputs={"arm": {}}, action=action, safe_action={"hold": "arm"}, rate_hz=12.5, horizon=3)
    signature, notes = bound(held)
    assert signature.inputs["arm"].size == 3
    assert (signature.rate_hz, signature.horizon) == (12.5, 3)
    assert signature.action_space.space.low.tolist() == [-2, 0, 0]
    assert notes == ["arm with 3 values"]


@pytest.mark.parametrize(
    ("action", "contract", "kind", "size"),
    [
        ({"labels": ["a", "b", "c"]}, {}, "discrete", 3),
        ({}, {"safe_action": "stop"}, "discrete", 2),
        ({"labels": ["a", "b", "c"], "switches": True}, {}, "multi_binary", 3),
        ({"labels": ["a", "b"], "units": ["m", "m"]}, {}, "box", 2),
        ({}, {"safe_action": [0.0, 0.0]}, "box", 2),
        ({}, {"horizon": 4}, "box", 6),
    ],
)
def test_actions_are_what_the_recipe_says_of_them(action, contract, kind, size):
    signature, _ = bound(recipe("manifest", action=action, **contract))
    assert (signature.action_space.to_json()["kind"], signature.action_space.size) == (kind, size)


def test_rows_stand_alone_unless_the_table_has_a_rate():
    alone = assumed_source(recipe("manifest", action={"labels": ["a", "b"]}, rate_hz=5.0))[0]
    steps = assumed_source(recipe("manifest", action={"labels": ["a", "b"]}, data={"rate_hz": 5.0}))[0]
    assert (alone.rate_hz, len(alone.episode(0).times_s)) == (None, 1)
    assert np.diff(steps.episode(0).times_s) == pytest.approx(0.2)


def test_the_same_noise_comes_again():
    one = recipe(inputs={"eye": {"frames": 1}, "ear": {"feature": "audio.mic", "seconds": 0.5}})
    values = []
    for _ in range(2):
        source, _ = assumed_source(one)
        found = examples(source, bind(one.signature, source, [np.zeros(6), np.ones(6)]), [2])[0]
        values.append([found.seen[name].values.read([3])[0] for name in ("eye", "ear")])
    assert all(np.array_equal(a, b) for a, b in zip(*values, strict=True))
    assert values[0][1].shape == (8000, 1)


# Bad input


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (recipe("manifest", {"thing": {}}), r"inputs\.thing: nowhere is not there, .*data\.kinds"),
        (recipe(inputs={"thing": {}}), r"inputs\.thing: nowhere is not there, .* tells what 'thing' is"),
        (recipe("manifest"), r"signature\.action: nowhere is not there, .*'action' is\..* name its labels"),
        (recipe(action={"low": [0], "high": [1, 1]}), r"action: low and high need one value for each of the 1"),
    ],
)  # fmt: skip
def test_what_a_recipe_does_not_tell_must_be_said_or_be_there(one, message):
    with pytest.raises(RecipeError, match=message):
        assumed_source(one)
