import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sensorimotor.files import replacing_directory
from sensorimotor.models.bundle import GOLDEN, seal
from sensorimotor.pipelines import espeak
from sensorimotor.pipelines.cli import main

VERBS = ("demo", "train", "export", "evaluate", "inspect")


@pytest.fixture
def called(monkeypatch, capsys):
    """Run the command in this process: `called("inspect", "default")` gives its exit status and both its outputs."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sensorimotor", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, status, out, err)

    return call


def plain(done, status):
    """What a command that failed told a person: one sentence, nothing on standard output."""
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def only_json(done):
    """The one JSON object that a command printed."""
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


# The real commands


def test_train_prints_where_the_run_stands(trained):
    told = only_json(trained.done)
    assert (told["step"], told["steps"], told["finished"]) == (120, 120, True)
    assert told["checkpoint"] == str(trained.path / "checkpoint.safetensors")
    assert {path.name for path in trained.path.iterdir()} == {"checkpoint.safetensors", "log.jsonl", "tensorboard"}
    assert "step 60, held out: camera + instruction" in trained.done.stderr
    assert "of utterances understood" in trained.done.stderr


def test_export_prints_the_parity_report(exported):
    told = only_json(exported.done)
    assert told["bundle"] == str(exported.path)
    assert told["parity"]["closed_loop_steps"] >= 1000
    assert "torchvision" not in exported.done.stderr


def test_who_names_a_cache_keeps_demonstrations_and_speech_there_and_nowhere_else(trained, tiny_cache, person):
    assert {path.name for path in tiny_cache.iterdir()} == {"demonstrations", "speech"}
    assert not (Path(person["HOME"]) / ".cache" / "sensorimotor").exists()


def test_demo_prints_its_summary(sensorimotor, tiny_bundle, tmp_path):
    words = ("--out", tmp_path / "out", "--episodes", 1, "--no-film", "--speaker", "espeak:en-us", "--json")
    told = only_json(sensorimotor("demo", tiny_bundle, *words))
    assert told == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (told["speakers"], [row["played"] for row in told["levels"]]) == (["espeak:en-us"], [1] * 5)


def test_evaluate_prints_its_report(sensorimotor, tiny_bundle):
    words = ("--env", "BabyAI-GoToObj-v0", "--episodes", 2, "--inputs", "camera, instruction", "--json")
    told = only_json(sensorimotor("evaluate", tiny_bundle, *words))
    assert (told["episodes"], told["seed"], told["inputs"]) == (2, 1_000_000_000, ["camera", "instruction"])


def test_inspect_prints_its_report(sensorimotor, tiny_bundle):
    told = only_json(sensorimotor("inspect", tiny_bundle, "--verify", "--json"))
    assert (told["name"], told["golden"]["ok"]) == ("tiny", True)


def test_a_failed_job_ends_with_1_and_a_wrong_use_with_2(sensorimotor, tiny_bundle, bundle_copy):
    (bundle_copy / "core.onnx").write_bytes(b"")
    assert plain(sensorimotor("inspect", bundle_copy, "--json"), 1) == (
        f"error: {bundle_copy}/core.onnx is damaged or was changed: its fingerprint does not fit\n"
    )
    assert "did you mean" in plain(sensorimotor("evaluate", tiny_bundle, "--env", "BabyAI-GoTo-v9"), 2)
    assert "such option: --spede" in plain(sensorimotor("demo", "--spede"), 2).lower()


def test_the_version_is_the_installed_one(sensorimotor):
    done = sensorimotor("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sensorimotor {version('sensorimotor')}\n", "")


def test_nothing_that_runs_a_policy_imports_torch():
    program = (
        "import sys; from sensorimotor.pipelines import babyai, cli, console, demo, evaluate, expert, film, inspect;"
        "print(*({'torch', 'onnx', 'tensorboard', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_command_line_itself_is_light():
    program = "import sys; from sensorimotor.pipelines import cli; print(*({'numpy', 'gymnasium'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# Help


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example_that_could_be_typed(called, verb):
    done = called(verb, "--help")
    assert done.returncode == 0
    assert f"Example: sensorimotor {verb} " in " ".join(done.stdout.split())
    assert "--json" in done.stdout


def test_without_a_verb_all_of_them_are_shown(called):
    done = called("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert all(verb in (called().stdout + called().stderr) for verb in VERBS)


# For people, without --json


@pytest.mark.parametrize(
    "words",
    [("inspect", "--verify"), ("evaluate", "--episodes", "1"), ("run", "--input", "instruction=go", "--to", "none")],
)
def test_the_same_words_put_a_policy_on_a_gpu_or_say_why_it_cannot_be(called, words):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA")
    verb, *options = words
    done = called(verb, "default", *options, "--device", "cuda", "--json")
    assert done.returncode == 2
    assert "CUDAExecutionProvider is not available here" in done.stderr
    assert not done.stdout
    done = called(verb, "default", *options, "--precision", "fp16", "--json")
    assert done.returncode == 2
    assert "has no encoder in half precision" in done.stderr


def test_inspect_shows_a_table(called, tiny_bundle):
    done = called("inspect", tiny_bundle)
    assert done.returncode == 0
    assert "left, right, forward" in done.stdout
    assert done.stderr == ""


def test_evaluate_shows_a_table_and_its_progress_elsewhere(called, tiny_bundle):
    done = called(
        "evaluate", tiny_bundle, "--env", "BabyAI-GoToObj-v0", "--episodes", 2, "--inputs", "camera,instruction"
    )
    assert done.returncode == 0
    assert "2 from seed 1000000000" in done.stdout
    assert "2/2" in done.stderr
    assert "2/2" not in done.stdout


def test_demo_shows_a_table_and_what_happens_elsewhere(called, tiny_bundle, tmp_path):
    done = called("demo", tiny_bundle, "--out", tmp_path, "--episodes", 1, "--no-film", "--seed", 1_000_000_000)
    assert done.returncode == 0
    assert str(tmp_path / "summary.json") in done.stdout
    assert "hears" in done.stderr
    assert "hears" not in done.stdout


# What goes wrong


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fly",), "No such command 'fly'"),
        (("inspect",), "Missing argument"),
        (("train", "{recipe}"), "Missing option '--out'"),
        (("demo", "--episodes", "0"), "Invalid value for '--episodes'"),
        (("evaluate", "{bundle}", "--seed", "-1"), "Invalid value for '--seed'"),
        (("evaluate", "{bundle}", "--workers", "two"), "Invalid value for '--workers'"),
        (("evaluate", "{bundle}", "--env", "BabyAI-GoToLocl-v0"), "did you mean BabyAI-GoToLocal-v0"),
        (("evaluate", "{bundle}", "--env", "[/]"), "the environment '[/]' cannot be made"),
        (("evaluate", "{bundle}", "--inputs", "camera,lidar"), "the policy has no input lidar; it has camera, mic"),
        (("evaluate", "{bundle}", "--inputs", ","), "no input is left"),
        (("evaluate", "{bundle}", "--env", "BabyAI-PutNextLocal-v0", "--swap-mission"), "missions can be swapped"),
        (("train", "{tmp}/no.toml", "--out", "{tmp}/run"), "cannot read the recipe {tmp}/no.toml"),
        (("train", "{tmp}/bad.toml", "--out", "{tmp}/run"), "  data: Field required"),
        (("train", "{recipe}", "--out", "{tmp}/run", "--device", "abacus"), "cannot train on device 'abacus'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_ends_with_2_and_names_what_is_wrong(called, tiny_bundle, tiny_recipe_file, tmp_path, words, message):
    (tmp_path / "bad.toml").write_text('name = "bad"\n')
    places = {"bundle": tiny_bundle, "recipe": tiny_recipe_file, "tmp": tmp_path}
    assert message.format(**places) in plain(called(*(word.format(**places) for word in words)), 2)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("inspect", "nobody"), "no bundled policy 'nobody'"),
        (("inspect", "{tmp}"), "{tmp} is no bundle"),
        (("inspect", "{bundle}/core.onnx"), "core.onnx is a file"),
        (("demo", "{bundle}", "--out", "/proc/nowhere"), "cannot write /proc/nowhere"),
        (("demo", "{bundle}", "--out", "{tmp}/out", "--speaker", "espeak:nobody"), "no voice 'nobody'"),
        (("evaluate", "{bundle}", "--speaker", "radio:4"), "speaker 'radio:4' is none"),
        (("train", "{recipe}", "--out", "/proc/nowhere"), "cannot write /proc/nowhere"),
        (("train", "{recipe}", "--out", "{run}"), "{run} holds a run already: continue it with --resume"),
        (("train", "{recipe}", "--out", "{tmp}/run", "--resume"), "there is no checkpoint"),
        (("export", "{tmp}", "--out", "{tmp}/out"), "there is no checkpoint {tmp}/checkpoint.safetensors"),
        (("export", "{run}", "--out", "{run}"), "something else than a bundle"),
        (("export", "{bundle}/model.safetensors", "--out", "{tmp}/out"), "is no checkpoint of sensorimotor"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_failed_job_ends_with_1_and_one_sentence(
    called, tiny_bundle, tiny_recipe_file, trained, tmp_path, words, message
):
    places = {"bundle": tiny_bundle, "recipe": tiny_recipe_file, "tmp": tmp_path, "run": trained.path}
    told = plain(called(*(word.format(**places) for word in words)), 1)
    *progress, sentence = told.splitlines()
    assert sentence.startswith("error: ")
    assert message.format(**places) in sentence
    assert not any("error" in line for line in progress)


def test_a_golden_set_that_is_not_met_is_shown_and_is_a_failure(called, bundle_copy):
    import numpy as np

    with np.load(bundle_copy / GOLDEN) as stored:
        arrays = dict(stored)
    arrays["parameters"] = arrays["parameters"] + np.float32(0.5)
    np.savez(bundle_copy / GOLDEN, **arrays)
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    done = called("inspect", bundle_copy, "--verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["golden"]["ok"] is False
    assert done.stderr == f"error: {bundle_copy} does not give on this machine what its golden set says\n"


@pytest.mark.parametrize(
    ("verb", "package"),
    [
        *(("train", package) for package in ("torch", "safetensors", "tensorboard")),
        *(("export", package) for package in ("torch", "safetensors", "onnx", "onnxscript")),
    ],
)
def test_without_a_package_of_training_the_extra_that_brings_it_is_named(
    called, monkeypatch, trained, tiny_recipe_file, tmp_path, verb, package
):
    monkeypatch.setitem(sys.modules, package, None)
    what = tiny_recipe_file if verb == "train" else trained.path
    told = plain(called(verb, what, "--out", tmp_path / "out"), 1)
    assert f"needs {package}, which is not installed: pip install 'sensorimotor[train]'" in told


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("onnxruntime", ("evaluate", "{bundle}"), "cpu"),
        ("minigrid", ("evaluate", "{bundle}"), "sim"),
        ("espeakng_loader", ("demo", "{bundle}", "--out", "{tmp}"), "sim"),
        ("av", ("demo", "{bundle}", "--out", "{tmp}"), "sim"),
        ("cv2", ("demo", "{bundle}", "--out", "{tmp}"), "sim"),
    ],
)
def test_without_an_optional_package_the_extra_that_brings_it_is_named(
    called, monkeypatch, tiny_bundle, tmp_path, module, words, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "espeakng_loader":  # as if it had not been found before either
        monkeypatch.setattr(espeak, "_espeak", espeak._espeak.__wrapped__)
    told = plain(called(*(word.format(bundle=tiny_bundle, tmp=tmp_path) for word in words)), 1)
    assert f"pip install 'sensorimotor[{extra}]'" in told


def test_a_value_of_lists_in_lists_is_wrong_use(called, tmp_path):
    done = called("record", "sensorimotor/Reach-v0", "--out", tmp_path / "out", "--option", "x=" + "[" * 100_000)
    assert "--option x: expected a value, got lists in lists 100000 characters long" in plain(done, 2)


def test_a_cache_in_the_home_of_nobody_is_wrong_use(called, tmp_path, tiny_recipe_file):
    done = called("train", tiny_recipe_file, "--out", tmp_path / "out", "--cache", "~nobody-here/x")
    assert "there is no home directory of ~nobody-here" in plain(done, 2)


def test_an_export_that_is_killed_leaves_nothing(called, tmp_path, monkeypatch):
    def killed(_checkpoint, out, **_):
        with replacing_directory(out) as aside:
            (aside / "core.onnx").write_bytes(b"half")
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("sensorimotor.pipelines.export.export_checkpoint", killed)
    before = signal.getsignal(signal.SIGTERM)
    assert called("export", tmp_path / "run", "--out", tmp_path / "bundle").returncode == 143
    assert not any(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_where_standard_output_is_full_it_is_told():
    program = "from sensorimotor.pipelines.cli import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, "inspect", "default", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"
