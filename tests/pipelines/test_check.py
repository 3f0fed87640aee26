import json
import sys
import tempfile
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from sensorimotor.actions.space import Box
from sensorimotor.errors import DataError, EncoderError, RecipeError, SignatureError, UnreachableError, UsageError
from sensorimotor.models.signature import ActuatorHold, Signature
from sensorimotor.perception.hub import hub_or_cache
from sensorimotor.perception.modality import Image
from sensorimotor.pipelines import check as module
from sensorimotor.pipelines import provisional
from sensorimotor.pipelines.check import check, count_flops
from sensorimotor.pipelines.check_table import check_table
from sensorimotor.pipelines.cli import main
from sensorimotor.pipelines.provisional import provisional_lesson
from sensorimotor.pipelines.recipe import load_recipe, parse_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPES = Path(__file__).parents[2] / "recipes"
YOURS = ("robot", "events", "video")
TINY = {
    "open_clip": {
        "model_cfg": {
            "embed_dim": 24,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
            "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"size": 32},
    },
    "whisper": {
        "n_mels": 80, "n_audio_ctx": 100, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2,
        "n_vocab": 51865, "n_text_ctx": 4, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1,
    },
    "transformers": {
        "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "vocab_size": 200, "max_position_embeddings": 40,
    },
}  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The hub does not answer."""
    monkeypatch.setattr("sensorimotor.perception.hub._answers", lambda _: False)
    monkeypatch.setattr("whisper._download", lambda *_: (_ for _ in ()).throw(OSError("no route to host")))


@pytest.fixture
def small(monkeypatch):
    """All architectures that are known are small ones."""
    monkeypatch.setattr(provisional, "known_architecture", lambda spec: TINY[spec.kind])


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def content(tmp_path):
    """A recipe on a table of eight pictures, sentences and numbers, as nested dicts."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["camera,words,near,far,action"]
    for row in range(8):
        cv2.imwrite(str(folder / f"{row}.png"), np.full((16, 24, 3), 30 * row, np.uint8))
        lines.append(f"{row}.png,go to the {('red', 'blue')[row % 2]} one,{row},{-row},{('left', 'right')[row % 2]}")
    (folder / "table.csv").write_text("\n".join(lines))
    return {
        "name": "colours",
        "data": {"kind": "manifest", "path": str(folder / "table.csv")},
        "signature": {
            "inputs": {"camera": {}, "words": {"max_tokens": 8}},
            "action": {"labels": ["left", "right"]},
        },
        "network": {"dim": 16, "image_dim": 8, "text_dim": 8, "state_dim": 8},
        "training": {"steps": 1},
    }


def looked_at(recipe, folder):
    """Everything but the export: the parts, the batch and what was stood in."""
    with hub_or_cache():
        lesson, stood_in = provisional_lesson(recipe, folder, CPU)
    batch = module._one_batch(lesson, CPU)
    return {part["part"]: part for part in module._parts(lesson.network.eval())}, batch, stood_in


@pytest.fixture
def told():
    """A report as `check` gives it."""
    part = {"kind": "small", "training": "trained", "parameters": 9, "learning": 9, "flops": 2_500, "once": False}
    signature = Signature(
        {"camera": Image(height=16, width=24)}, Box([0, 0], [1, 2], ("x", "y")), ActuatorHold(), 8.0, 4
    )
    return {
        "recipe": "reach",
        "signature": signature.to_json(),
        "memory_size": 16,
        "parts": [
            {**part, "part": "camera", "tokens": 6, "dim": 8},
            {**part, "part": "head", "tokens": None, "dim": None},
        ],
        **{
            "parameters": 18,
            "learning": 18,
            "flops": 5_000,
            "seconds": 1.5,
            "stood_in": ["data: [nowhere] is not there"],
        },
        "batch": {"decisions": 8, "loss": 0.25, "seconds": 0.5},
        "bundle": {"bytes": 2_000_000, "files": {"core.onnx": 2_000_000}},
        "parity": {"rows": 2, "max_error": 1e-7, "tolerance": 1e-4},
    }


def test_a_report_is_a_table_to_people(told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    check_table(told)
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "camera │ small │ trained │ 9 │ 9 │ 6 x 8 │ 2.5 k",
        "actions box: x 0 to 1, y 0 to 2",
        "plan 4 actions, 0.5 s",
        "parameters 18, of which 18 learn",
        "a decision 5 kFLOP, if everything is new",
        "bundle 2.0 MB",
        "one batch 8 decisions in 0.5 s, loss 0.25",
        "not as it will be data: [nowhere] is not there",
    ):
        assert words in shown


# A recipe whose data are there


def test_what_a_recipe_would_make_is_told_and_nothing_is_kept(content, scratch, tmp_path, capsys):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    report = check(parse_recipe(content, "here"))
    assert report["stood_in"] == []
    assert list(report["signature"]["inputs"]) == ["camera", "words"]
    assert report["signature"]["inputs"]["camera"]["height"] == 16
    assert [part["part"] for part in report["parts"]] == ["camera", "words", "fusion", "head"]
    assert report["parameters"] == report["learning"] == sum(part["parameters"] for part in report["parts"])
    fresh = [part["flops"] for part in report["parts"] if part["part"] != "words"]  # an instruction is read once
    assert report["flops"] == sum(fresh)
    assert min(fresh) > 0
    assert report["batch"]["decisions"] == 2
    assert {"core.onnx", "encoder.camera.onnx", "model.safetensors", "tokenizer.json"} <= set(report["bundle"]["files"])
    assert report["bundle"]["bytes"] == sum(report["bundle"]["files"].values()) > 4 * 2 * report["parameters"]
    assert report["parity"]["max_error"] <= report["parity"]["tolerance"]
    assert json.loads(json.dumps(report)) == report
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.[cp][sn][vg]")} == before
    assert list(scratch.glob("sensorimotor-*")) == []
    check_table(report)
    shown = capsys.readouterr().out
    assert f"{report['parameters']:,}, of which {report['parameters']:,} learn" in shown
    assert "if all but words is new" in shown
    assert "not as it will be" not in shown


def test_numbers_are_an_input_too(content, tmp_path):
    content["data"]["vectors"] = {"where": ["near", "far"]}
    content["signature"]["inputs"]["where"] = {}
    parts, batch, _ = looked_at(parse_recipe(content, "here"), tmp_path)
    assert (parts["where"]["tokens"], batch["decisions"]) == (1, 2)


def test_of_many_episodes_only_the_first_ones_are_looked_at(content, tmp_path, monkeypatch):
    monkeypatch.setattr(provisional, "EPISODES", 3)
    recipe = parse_recipe(content, "here")
    _, _, stood_in = looked_at(recipe, tmp_path)
    assert stood_in == ["data: limits, statistics and words are those of 3 of 7 episodes"]


# On the command line


@pytest.fixture
def called(monkeypatch, capsys, told):
    """Run the command with `check` replaced by what it once gave: exit status and both outputs."""
    asked = []

    def once(recipe, device):
        asked.append((recipe.name, device))
        return told

    monkeypatch.setattr(module, "check", once)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sensorimotor", "train", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr(), asked

    return call


def test_train_check_prints_the_report_and_needs_no_directory(called, told):
    status, out, err, asked = called(RECIPES / "quick.toml", "--check", "--json")
    assert (status, json.loads(out), asked) == (0, told, [("quick", "cpu")])
    assert "Traceback" not in err


def test_train_check_shows_it_to_people(called):
    status, out, _, _ = called(RECIPES / "quick.toml", "--check")
    assert status == 0
    assert "nothing was kept" in out
    assert "not as it will be" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--check", "--resume"), "--check looks at a recipe and --resume continues a run"),
        ((), "Missing option '--out'"),
    ],
)
def test_what_does_not_go_together_is_refused(called, words, message):
    status, out, err, asked = called(RECIPES / "quick.toml", *words)
    assert (status, out, asked) == (2, "", [])
    assert message in err


# What is stood in for


@pytest.mark.parametrize("name", YOURS)
def test_the_recipes_for_your_own_data_can_be_looked_at_without_data_or_weights(name, small, tmp_path):
    recipe = load_recipe(RECIPES / f"{name}.toml")
    parts, batch, stood_in = looked_at(recipe, tmp_path)
    assert list(parts) == [*recipe.signature.inputs, "fusion", "head"]
    for input_, spec in recipe.network.encoders.items():
        assert (parts[input_]["training"], parts[input_]["learning"]) == ("frozen", 0)
        assert f"{input_}: random weights; those of {spec.kind} {spec.model}" in " ".join(stood_in)
    assert np.isfinite(batch["loss"])
    assert f"data: {recipe.data.path} is not there: noise; assumed: " in stood_in[-1]
    assert any("a stand-in tokenizer with 200 ids" in said for said in stood_in) == (name == "robot")


def test_adapters_learn_and_are_part_of_their_encoder(small, tmp_path):
    content = tomllib.loads((RECIPES / "robot.toml").read_text())
    whole = looked_at(parse_recipe(content, "here"), tmp_path)[0]["camera"]["parameters"]
    content["network"]["encoders"]["camera"]["training"] = "lora"
    camera = looked_at(parse_recipe(content, "here"), tmp_path)[0]["camera"]
    assert camera["training"] == "lora"
    assert 0 < camera["learning"] == camera["parameters"] - whole


@pytest.mark.slow
@pytest.mark.parametrize("name", YOURS)
def test_they_can_be_looked_at_in_the_size_of_their_models(name):
    report = check(load_recipe(RECIPES / f"{name}.toml"))
    (camera,) = (part for part in report["parts"] if "ViT-B-32" in part["kind"] and not part["once"])
    assert camera["parameters"] > 87e6
    assert report["flops"] > 12e9
    assert report["bundle"]["bytes"] > 700e6
    assert report["parity"]["max_error"] <= report["parity"]["tolerance"]


def test_missions_are_looked_at_with_a_few_demonstrations_and_noise_for_speech(tiny_recipe, tmp_path):
    begun = tiny_recipe.model_copy(update={"start": {"mic": "ear"}})
    parts, batch, stood_in = looked_at(begun, tmp_path)
    assert list(parts) == ["camera", "mic", "instruction", "fusion", "head"]
    assert batch["decisions"] > 0
    assert [said.partition(":")[0] for said in stood_in] == ["data", "start", "speech"]
    assert "4 demonstrations" in stood_in[0]


# FLOPs


def test_a_multiply_add_is_two_operations():
    assert count_flops(nn.Linear(30, 50), torch.zeros(7, 30)) == 2 * 7 * 30 * 50


def test_attention_is_counted_in_evaluation_mode_too_and_torch_is_left_as_it_was():
    layer = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.zeros(1, 5, 16)
    assert count_flops(layer, x, x, x) == 2 * (5 * 16 * 48 + 5 * 16 * 16) + 2 * 2 * (5 * 5 * 16)
    assert torch.backends.mha.get_fastpath_enabled()


# Bad input


def spoilt(content, key, value):
    *path, last = key.split(".")
    table = content
    for part in path:
        table = table.setdefault(part, {})
    table[last] = value
    return parse_recipe(content, "here")


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("signature.inputs.camra", {}, RecipeError, r"inputs\.camra: the data have no 'camra'; did you mean 'camera'"),
        ("signature.action.labels", ["left"], DataError, r"action: 'right' is none of the actions left"),
        ("signature.inputs.words.max_tokens", 2, DataError, r"has 6 tokens, but signature\.inputs\.words\.max_tok"),
        ("network.encoders.camera", {"kind": "whisper"}, SignatureError, r"'camera': an encoder of whisper is none"),
        ("network.encoders.camera", {"kind": "open_clip", "model": "ViT-B-23"}, EncoderError, r"no model 'ViT-B-23'"),
        (
            "network.encoders.camera",
            {"kind": "open_clip", "model": "hf-hub:nobody/nothing"},
            UnreachableError,
            r"^input 'camera': .*hf-hub:nobody/nothing cannot be downloaded.*local-dir:FOLDER",
        ),
        (
            "network.encoders.words",
            {"kind": "transformers", "model": "nobody/nothing"},
            UnreachableError,
            r"^input 'words': .*'nobody/nothing' cannot be had.*model\.safetensors, tokenizer\.json\) into a folder",
        ),
        ("data.held_out_path", "nowhere.csv", DataError, r"nowhere\.csv cannot be read"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_followed_is_refused(content, key, value, error, message, scratch):
    with pytest.raises(error, match=message):
        check(spoilt(content, key, value))
    assert list(scratch.glob("sensorimotor-*")) == []


def test_data_that_are_damaged_are_not_taken_for_absent(content):
    Path(content["data"]["path"]).write_text("")
    with pytest.raises(DataError, match=r"table\.csv"):
        check(parse_recipe(content, "here"))


def test_data_that_are_not_there_and_of_which_nothing_is_told_are_refused(content):
    content["data"]["path"] = "nowhere.csv"
    with pytest.raises(RecipeError, match=r"inputs\.camera: nowhere\.csv is not there, and nothing .* frames"):
        check(parse_recipe(content, "here"))


def test_a_loss_that_is_no_number_ends_the_check(content, tmp_path):
    lesson, _ = provisional_lesson(parse_recipe(content, "here"), tmp_path, CPU)
    with torch.no_grad():
        lesson.network.core.head.layers[-1].bias += float("nan")
    with pytest.raises(RecipeError, match="the loss of the first batch is no number"):
        module._one_batch(lesson, CPU)


def test_a_device_that_is_not_there_is_refused(content):
    with pytest.raises(UsageError, match="device 'abacus'"):
        check(parse_recipe(content, "here"), device="abacus")
