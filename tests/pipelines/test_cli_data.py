"""The verbs that make and look into data, and the one that makes a policy out of words, as they are typed."""

import copy
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.cli import main
from sensorimotor.pipelines.lerobot import LeRobotSource

REACH = "sensorimotor/Reach-v0"


@pytest.fixture
def called(monkeypatch, capsys):
    """Run the command in this process: its exit status and both its outputs."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sensorimotor", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return subprocess.CompletedProcess(sys.argv, status, *capsys.readouterr())

    return call


def only_json(done):
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def refused(done, status):
    """What a person is told: one sentence, nothing on standard output."""
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "drives.csv"
    path.write_text(
        "episode,time,speed,action\na,0,0.5,go\na,0.1,2,go\na,0.2,3,stop\nb,0,2,stop\nb,0.1,,go\nb,0.2,4,go\n"
    )
    return path


# record


def test_record_prints_what_was_recorded(called, tmp_path):
    done = called(
        "record", REACH, "--episodes", 2, "--out", tmp_path / "demos", "--option", "control_noise=0.1", "--json"
    )
    report = only_json(done)
    assert (report["path"], report["episodes"], report["kept"]) == (str(tmp_path / "demos"), 2, 2)
    assert report["steps"] == sum(len(LeRobotSource(tmp_path / "demos").episode(i).times_s) for i in range(2))
    shown = called("record", REACH, "--episodes", 1, "--out", tmp_path / "demos")
    assert shown.returncode == 0
    assert "added" in shown.stdout
    assert "3 episodes" in shown.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["Nothing-v0", "--out", "OUT"], 2, "the environment 'Nothing-v0' cannot be made"),
        ([REACH, "--out", "OUT", "--option", "noise"], 2, "--option 'noise': expected KEY=VALUE"),
        ([REACH, "--out", "OUT", "--option", "=3"], 2, "--option '=3': expected KEY=VALUE"),
        ([REACH, "--out", "OUT", "--option", "gravity=3"], 2, "gravity"),
        ([REACH, "--out", "OUT", "--option", "control_noise=-1"], 2, "control_noise is a speed"),
        ([REACH, "--out", "/proc/nothing"], 1, "/proc/nothing"),
    ],
)
def test_record_says_what_it_cannot_do(called, tmp_path, words, status, said):
    out = tmp_path / "demos"
    assert said in refused(called("record", *[out if word == "OUT" else word for word in words]), status)
    assert not out.exists()


# data inspect


def test_data_inspect_prints_what_is_in_a_table(called, table, tmp_path):
    report = only_json(called("data", "inspect", table, "--json"))
    assert report["episodes"] == 2
    assert set(report["features"]) == {"speed", "action"}
    shown = called("data", "inspect", table)
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("speed", "action"))
    assert list(tmp_path.glob("*.png")) == []


def test_data_inspect_draws_sheets_where_it_is_told_to(called, tmp_path):
    called("record", REACH, "--episodes", 1, "--out", tmp_path / "demos")
    report = only_json(called("data", "inspect", tmp_path / "demos", "--out", tmp_path / "sheets", "--json"))
    assert report["sheets"] == [str(tmp_path / "sheets" / "contact_sheet.png")]
    assert (tmp_path / "sheets" / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("verb", ["inspect", "convert"])
@pytest.mark.parametrize("name", ["nothing.csv", "nothing", "nothing.txt"])
def test_data_that_are_not_there_are_named(called, tmp_path, verb, name):
    more = [tmp_path / "out"] if verb == "convert" else []
    assert name in refused(called("data", verb, tmp_path / name, *more), 1)
    assert not (tmp_path / "out").exists()


# data convert


def test_data_convert_makes_a_recording(called, table, tmp_path):
    report = only_json(called("data", "convert", table, tmp_path / "out", "--json"))
    assert (report["converted"], report["episodes"]) == (2, 2)
    assert report["features"]["speed"] == "observation.speed"
    source = LeRobotSource(tmp_path / "out")
    track = source.episode(0).track("observation.speed")
    assert np.array_equal(track.read(range(3)), [[0.5], [2], [3]])
    shown = called("data", "convert", table, tmp_path / "out")
    assert "there already" in shown.stdout


def test_data_convert_does_not_write_into_what_is_no_recording(called, table, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("mine")
    assert "mine" in refused(called("data", "convert", table, tmp_path / "mine"), 1)
    assert (tmp_path / "mine" / "work.txt").read_text() == "mine"


# prompt


@pytest.fixture(scope="module")
def clip(tmp_path_factory, one_thread):
    """A small model in the format of open_clip."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    }
    torch.manual_seed(0)
    made = open_clip.CLIP(**copy.deepcopy(model))
    with torch.no_grad():
        made.logit_scale.fill_(math.log(100))
    stated = {"model_cfg": model, "preprocess_cfg": {"interpolation": "bilinear"}}
    (folder / "open_clip_config.json").write_text(json.dumps(stated))
    save_file(made.state_dict(), folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"


def test_prompt_makes_a_policy_out_of_words(called, clip, tmp_path):
    words = ["--action", "wave=a person waving", "--action", "none=an empty room", "--safe", "none"]
    size = ["--height", 32, "--width", 48]
    done = called("prompt", "--image", clip, *words, *size, "--out", tmp_path / "wave", "--json")
    assert only_json(done)["parity"]["max_error"] < 1e-4
    decision = Policy.load(tmp_path / "wave").act({"camera": np.zeros((32, 48, 3), np.uint8)})
    assert decision.label in ("wave", "none")
    assert called("inspect", tmp_path / "wave").returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--action", "wave=a person waving"], 2, "two"),
        (["--action", "wave", "--action", "none=a room"], 2, "wave"),
        (["--action", "a=b", "--action", "c=d", "--safe", "e"], 1, "'e'"),
        (["--action", "a=b", "--action", "c=d", "--template", "no place"], 2, "no place"),
    ],
)
def test_prompt_says_what_is_wrong_with_the_words(called, clip, tmp_path, words, status, said):
    done = called("prompt", "--image", clip, *words, "--out", tmp_path / "out")
    assert said in refused(done, status)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("image", ["ViT-B-32", "open_clip:local-dir:/nowhere", "open_clip:ViT-B-23:laion"])
def test_prompt_says_what_is_wrong_with_the_model(called, tmp_path, image):
    done = called("prompt", "--image", image, "--action", "a=b", "--action", "c=d", "--out", tmp_path / "out")
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert image.split(":")[-2 if image.count(":") == 2 and "local" not in image else -1] in done.stderr


# Help


@pytest.mark.parametrize("verb", ["record", "prompt", "data inspect", "data convert"])
def test_the_help_of_every_verb_has_an_example_that_could_be_typed(called, verb):
    done = called(*verb.split(), "--help")
    assert done.returncode == 0
    assert f"Example: sensorimotor {verb} " in " ".join(done.stdout.split())
    assert "--json" in done.stdout
