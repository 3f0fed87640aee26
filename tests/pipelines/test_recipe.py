import copy
import re
import tomllib
from pathlib import Path

import pytest

from sensorimotor.errors import RecipeError
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.recipe import load_recipe, parse_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture
def content(tiny_recipe_file):
    """The tiny recipe as nested dicts, to be spoilt."""
    return tomllib.loads(tiny_recipe_file.read_text())


def spoilt(content, key, value):
    """The content with one dotted key set, or taken away where the value is None."""
    *path, last = key.split(".")
    table = content
    for part in path:
        table = table[int(part)] if part.isdecimal() else table.setdefault(part, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return content


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_recipes_are_valid_and_named_after_their_files(path):
    assert load_recipe(path).name == path.stem


def test_there_are_shipped_recipes():
    assert {"default.toml", "ear.toml", "eyes.toml", "quick.toml"} <= {path.name for path in SHIPPED}


def test_what_is_not_said_has_a_default(content):
    del content["speech"], content["network"]
    content["training"]["senses"] = [{"inputs": ["camera", "instruction"], "weight": 1}]
    recipe = parse_recipe(content, "here")
    assert recipe.speech is None
    assert recipe.network.dim == 128
    assert recipe.data.held_out_seed == 900_000_000
    assert (recipe.start, recipe.data.novel) == ({}, ())
    assert recipe.training.precision == "float32"


def test_a_recipe_survives_being_kept_as_json(tiny_recipe):
    assert parse_recipe(tiny_recipe.model_dump(mode="json"), "checkpoint") == tiny_recipe


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", None, "name: Field required"),
        ("name", "No Spaces", r"name: .*\(got 'No Spaces'\)"),
        ("data", None, "data: Field required"),
        ("data.levels", [], r"data\.levels: .*at least 1"),
        ("data.levels.0.id", None, r"data\.levels\.0\.id: Field required"),
        ("data.levels.0.episodes", 0, r"data\.levels\.0\.episodes: .*greater than 0 \(got 0\)"),
        ("data.levels.0.episode", 5, r"data\.levels\.0\.episode: Extra inputs are not permitted \(got 5\)"),
        ("data.expert", "me", r"data\.expert: .*'bot' or 'considerate' \(got 'me'\)"),
        ("training.step", 5, r"training\.step: Extra inputs are not permitted"),
        ("training.steps", "many", r"training\.steps: .*integer.*\(got 'many'\)"),
        ("training.steps", 0, r"training\.steps: .*greater than 0"),
        ("training.learning_rate", float("nan"), r"training\.learning_rate"),
        ("training.learning_rate", 1e300, r"training\.learning_rate: .*less than or equal to 1000"),
        ("training.batch_episodes", 10**9, r"training\.batch_episodes: .*less than or equal to 65536"),
        ("training.learning_rate", float("inf"), r"training\.learning_rate: .*finite"),
        ("training.senses.0.weight", float("inf"), r"training\.senses\.0\.weight: .*finite"),
        ("training.senses.0.weight", 0, r"training\.senses\.0\.weight: .*greater than 0"),
        ("training.senses.0.inputs", [], r"training\.senses\.0\.inputs: .*at least 1"),
        ("training.lost_frames", 1.0, r"training\.lost_frames: .*less than 1"),
        ("training.senses", None, r"training\.senses: Field required"),
        ("network.dim", 7, r"network\.dim: "),
        ("network.depth", 7, r"network\.depth: Extra inputs"),
        ("speech.speakers", [], r"speech\.speakers: .*at least 1"),
        ("speech.rates", [200, 100], r"speech: .*rates must be \[low, high\], not \[200, 100\]"),
        ("speech.takes", 1, r"speech\.takes: Extra inputs are not permitted"),
        ("speech.utterances", 0, r"speech\.utterances: .*greater than 0"),
        ("speech.held_out_utterances", 0, r"speech\.held_out_utterances: .*greater than 0"),
        ("speech.shares", {"espeak": 0.0}, "speech: .*shares must be positive"),
        ("speech.shares", {"flite": "much"}, r"speech\.shares\.flite: .*number"),
        ("training.batch_episodes", -1, r"training\.batch_episodes: .*greater than or equal to 0"),
        ("training.pointing", -0.1, r"training\.pointing: .*greater than or equal to 0"),
        ("training.unknown_words", 1.0, r"training\.unknown_words: .*less than 1"),
        ("training.precision", "float16", r"training\.precision: .*'float32' or 'bfloat16' \(got 'float16'\)"),
        ("start", {"network": 5}, r"start\.network: .*string"),
        ("trainnig", {}, "trainnig: Extra inputs are not permitted"),
    ],
)
def test_a_key_that_is_missing_unknown_or_wrong_is_named(content, key, value, message):
    with pytest.raises(RecipeError, match=f"^tiny.toml is not a valid recipe:\n(.*\n)*  {message}"):
        parse_recipe(spoilt(content, key, value), "tiny.toml")


def test_everything_that_is_wrong_is_told_at_once(content):
    for key, value in (("name", None), ("training.step", 5), ("data.expert", "me"), ("network.dim", 7)):
        content = spoilt(content, key, value)
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content, "tiny.toml")
    wrong = re.findall(r"\n  ([\w.]+):", str(caught.value))
    assert sorted(wrong) == ["data.expert", "name", "network.dim", "training.step"]


@pytest.mark.parametrize("content", [None, [], "name", 7])
def test_what_is_no_table_is_no_recipe(content):
    with pytest.raises(RecipeError, match="is not a valid recipe:\n  recipe: "):
        parse_recipe(content, "checkpoint")


# Seeds, voices and senses stay apart


@pytest.mark.parametrize(
    ("first", "episodes", "held_out", "held_out_episodes", "message"),
    [
        (0, 101, 100, 8, "the training seeds of BabyAI-GoToObj-v0 reach held_out_seed = 100"),
        (95, 6, 100, 8, "the training seeds of .* reach held_out_seed"),
        (200, 1, 100, 8, "the training seeds of .* reach held_out_seed"),
        (999_999_990, 20, 900_000_000, 8, "the training seeds of .* reach held_out_seed"),
        (0, 10, 999_999_993, 8, "held_out_seed reaches 1000000000, where evaluation begins"),
        (0, 10, 1_000_000_000, 8, "held_out_seed reaches 1000000000"),
    ],
)
def test_seeds_of_training_validation_and_evaluation_stay_apart(
    content, first, episodes, held_out, held_out_episodes, message
):
    content["data"] |= {"first_seed": first, "held_out_seed": held_out, "held_out_episodes": held_out_episodes}
    content["data"]["levels"][0]["episodes"] = episodes
    with pytest.raises(RecipeError, match=message):
        parse_recipe(content, "tiny.toml")


@pytest.mark.parametrize(("first", "episodes", "held_out"), [(0, 100, 100), (0, 10, 999_999_992)])
def test_seeds_may_touch(content, first, episodes, held_out):
    content["data"] |= {"first_seed": first, "held_out_seed": held_out}
    content["data"]["levels"][0]["episodes"] = episodes
    assert isinstance(parse_recipe(content, "tiny.toml"), MissionRecipe)


def test_pretrained_encoders_are_not_silently_left_out(content):
    content["network"] = {"encoders": {"camera": {"kind": "open_clip"}}}
    with pytest.raises(RecipeError, match=r"network\.encoders: BabyAI's demonstrations are learnt with small encoders"):
        parse_recipe(content, "tiny.toml")


def test_a_mission_is_novel_if_one_of_its_objects_is(content):
    content["data"]["novel"] = ["red ball", "blue key"]
    data = parse_recipe(content, "tiny.toml").data
    for mission, novel in (
        ("go to the red ball", True),
        ("put the green box next to a blue key", True),
        ("go to the blue ball", False),
        ("go to the red key", False),
    ):
        assert data.is_novel(mission) == novel
    del content["data"]["novel"]
    assert not parse_recipe(content, "tiny.toml").data.is_novel("go to the red ball")


def test_a_voice_is_not_trained_on_and_held_out(content):
    content["speech"]["held_out_speakers"] = ["espeak:en-us+f3", "espeak:en+m3"]
    with pytest.raises(RecipeError, match=r"speech: .*espeak:en\+m3 cannot be trained on and held out"):
        parse_recipe(content, "tiny.toml")


def test_without_speech_there_is_no_microphone(content):
    del content["speech"]
    with pytest.raises(
        RecipeError, match=r"training\.senses names mic; the inputs are camera, instruction \(mic needs"
    ):
        parse_recipe(content, "tiny.toml")


def test_a_sense_that_does_not_exist_is_named(content):
    content["training"]["senses"][0]["inputs"] = ["camera", "lidar"]
    with pytest.raises(RecipeError, match=r"training\.senses names lidar; the inputs are camera, instruction, mic"):
        parse_recipe(content, "tiny.toml")


def test_who_does_nothing_but_listen_needs_something_to_listen_to(content):
    content["training"] |= {"batch_episodes": 0, "alignment_utterances": 8, "alignment": 1.0}
    assert parse_recipe(content, "tiny.toml").training.batch_episodes == 0
    for key, value in (("training.alignment_utterances", 0), ("training.alignment", 0.0), ("speech", None)):
        deaf = spoilt(copy.deepcopy(content), key, value)
        deaf["training"]["senses"] = [{"inputs": ["instruction"], "weight": 1}]
        with pytest.raises(RecipeError, match=r"batch_episodes = 0"):
            parse_recipe(deaf, "tiny.toml")


# Files


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeError, match=f"cannot read the recipe {tmp_path}/no.toml: No such file"):
        load_recipe(tmp_path / "no.toml")
    with pytest.raises(RecipeError, match="cannot read the recipe .*: Is a directory"):
        load_recipe(tmp_path)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b'{"name": "json"}', b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml is not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_a_byte_order_mark_is_read_over(tmp_path, tiny_recipe_file, tiny_recipe):
    path = tmp_path / "tiny.toml"
    path.write_bytes(b"\xef\xbb\xbf" + tiny_recipe_file.read_bytes())
    assert load_recipe(path) == load_recipe(tiny_recipe_file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a = " + "[" * 100_000, "lie too deep in each other"),
        ("a = " + "[" * 250 + "]" * 250, r"Invalid JSON: recursion limit .{,300}$"),
        ("a" + ".a" * 20_000 + " = 1", "a key has 50 dots or more: a.a.a"),
        ("[" + ' . "a-b"' * 20_000 + "]", "a key has 50 dots or more"),
        ("a = 1 # " + "a" * 300_000, "is longer than 262144 bytes"),
        ("a = '" + "a.a " * 10_000 + "'", "name: Field required"),
    ],
    ids=["deep", "less deep", "dots", "quoted dots", "long", "a long text"],
)
def test_a_file_that_is_out_of_all_proportion_is_refused_at_once(tmp_path, content, said):
    path = tmp_path / "odd.toml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=said):
        load_recipe(path)


def test_an_architecture_is_never_written_by_hand(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        """
        name = "own"
        data = { kind = "manifest", path = "t.csv" }
        signature.inputs.mic = { seconds = 1.0 }
        network.encoders.mic = { kind = "whisper", architecture = { a = 1 } }
        training.steps = 1
        """
    )
    with pytest.raises(RecipeError, match=r"network\.encoders\.mic\.architecture is never written by hand"):
        load_recipe(path)


def test_a_wrong_recipe_is_wrong_use():
    assert RecipeError.exit_status == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"speech": {"shares": {"flit": 3.0}}}, "shares names flit; the speakers are of"),
        ({"speech": {"held_out_speakers": ["espeak: en-us?rate=150"]}}, "cannot be trained on and held out"),
        ({"data": {"novel": [""]}}, "novel"),
        ({"start": {"network": "../../elsewhere"}}, "start.network"),
    ],
)
def test_what_would_be_ignored_or_lead_astray_is_refused(change, said):
    content = {
        "name": "tiny",
        "data": {"levels": [{"id": "BabyAI-GoToObj-v0", "episodes": 10}]},
        "speech": {"speakers": ["espeak:en-us"], "held_out_speakers": ["espeak:en"]},
        "training": {"steps": 9, "senses": [{"inputs": ["camera", "mic"], "weight": 1}]},
    }
    parse_recipe(content, "before")
    for table, values in change.items():
        content[table] = {**content.get(table, {}), **values}
    with pytest.raises(RecipeError, match=said):
        parse_recipe(content, "after")
