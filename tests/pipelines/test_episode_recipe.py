from datetime import date

import pytest

from sensorimotor.errors import RecipeError
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe, ManifestData, RecordedData
from sensorimotor.pipelines.recipe import parse_recipe


def content(**tables):
    """A recipe that says no more than it must."""
    return {
        "name": "own",
        "data": {"kind": "lerobot", "path": "demos"},
        "signature": {"inputs": {"camera": {}, "state": {}}},
        "training": {"steps": 10},
    } | tables


def test_what_is_not_said_has_a_default():
    recipe = parse_recipe(content(), "here")
    assert isinstance(recipe, EpisodeRecipe)
    assert isinstance(recipe.data, RecordedData)
    assert (recipe.data.held_out, recipe.signature.safe_action, recipe.signature.horizon) == (0.1, "actuator", 1)
    assert (recipe.augment.views, recipe.augment.shift, recipe.augment.noise_db) == (1, 0, None)
    assert (recipe.training.class_weights, recipe.training.early_stopping, recipe.training.senses) == ("even", 0, ())


def test_a_recipe_survives_being_kept_as_json():
    said = content(
        data={"kind": "manifest", "path": "t.csv", "vectors": {"state": ["a", "b"]}, "kinds": {"a": "vector"}},
        signature={"inputs": {"camera": {"frames": 4}, "state": {}}, "safe_action": {"hold": "state"}, "horizon": 8},
        augment={"noise_db": -40.0},
        training={"steps": 5, "class_weights": {"go": 2.0}, "senses": [{"inputs": ["camera"], "weight": 1}]},
    )
    recipe = parse_recipe(said, "here")
    assert isinstance(recipe.data, ManifestData)
    assert parse_recipe(recipe.model_dump(mode="json"), "kept") == recipe


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"data": {"kind": "lerobto", "path": "x"}}, "data: Input tag 'lerobto' .*'lerobot', 'manifest'"),
        ({"data": {"kind": "lerobot"}}, "data.lerobot.path: Field required"),
        ({"data": {"kind": "lerobot", "path": "x", "vectors": {}}}, "data.lerobot.vectors: Extra inputs"),
        ({"data": {"kind": "lerobot", "path": "x", "held_out": 1.0}}, r"held_out: .*less than 1 \(got 1.0\)"),
        (
            {"data": {"kind": "manifest", "path": "x", "kinds": {"a": "smell"}}},
            "kinds.a: Input should be 'image', 'aud",
        ),
        ({"signature": {"inputs": {}}}, "signature.inputs: .*at least 1 item"),
        ({"signature": {"inputs": {"camera": {"frames": 0}}}}, "signature.inputs.camera.frames: .*greater than 0"),
        ({"signature": {"inputs": {"camera": {"size": 3}}}}, "signature.inputs.camera.size: Extra inputs"),
        ({"signature": {"inputs": {"mic": {"mode": "stream"}}}}, "mode: Input should be 'window' or 'utterance'"),
        ({"augment": {"shift": 0.6}}, "augment.shift"),
        ({"augment": {"noise_db": 3}}, "augment.noise_db"),
        ({"training": {"steps": 5, "class_weights": {"go": 0}}}, "class_weights"),
        ({"training": {"steps": True}}, r"training.steps: Input should be a valid integer \(got True\)"),
        ({"training": {"steps": "2"}}, r"training.steps: Input should be a valid integer \(got '2'\)"),
        ({"training": {"steps": 2, "lost_frames": "0.1"}}, "training.lost_frames: Input should be a valid number"),
        ({"training": {"steps": 2, "batch_episodes": 10**18}}, "batch_episodes: .*less than or equal to 65536"),
        ({"data": {"kind": "manifest", "path": "a\0b.csv"}}, "data.manifest.path: .*no path has a zero character"),
        ({"seed": 1.0}, "seed: Input should be a valid integer"),
        ({"name": date(2026, 1, 1)}, "name: Input should be a valid string"),
        ({"training": {"steps": 5, "learning_rate": float("nan")}}, "learning_rate: .*finite"),
        ({"training": {"steps": 5, "alignment": 0.1}}, "training.alignment: Extra inputs"),
    ],
)
def test_a_key_that_is_missing_unknown_or_wrong_is_named(tables, said):
    with pytest.raises(RecipeError, match=f"here is not a valid recipe:\n.*{said}"):
        parse_recipe(content(**tables), "here")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            {"training": {"steps": 1, "senses": [{"inputs": ["camera", "mic"], "weight": 1}]}},
            "training.senses names mic; the inputs are camera, state",
        ),
        (
            {"network": {"encoders": {"camra": {"kind": "open_clip"}}}},
            "network.encoders names camra; the inputs are camera, state",
        ),
        ({"signature": {"inputs": {"camera": {}, "action": {}}}}, "signature.inputs.action is 'action', which is what"),
        (
            {"signature": {"inputs": {"state": {"feature": "pull"}}, "action": {"feature": "pull"}}},
            "signature.inputs.state is 'pull', which is what is to be done",
        ),
    ],
)
def test_inputs_that_there_are_none_of_or_that_tell_the_answer_are_refused(tables, said):
    with pytest.raises(RecipeError, match=said):
        parse_recipe(content(**tables), "here")
