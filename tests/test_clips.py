"""Labels for clips, end to end by the real commands: a table of media in, a policy that puts two inputs together out.

What the picture or the caption says (which side) tells nothing without what the sound or the gauges say (whether the
way is free), and the other way round. So every set of inputs has a known answer: right, or one half.
"""

import importlib.util
import json
import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
WHICH, WHETHER = {"camera", "caption"}, {"mic", "gauges"}
TRAINED, HELD_OUT = 1000, 300


@pytest.fixture(scope="module")
def clips():
    """`benchmarks/clips.py`, which makes the clips."""
    spec = importlib.util.spec_from_file_location("clips", BENCHMARKS / "clips.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    """Media, tables, and the recipe beside them."""
    folder = tmp_path_factory.mktemp("clips")
    clips.write_clips(folder / "clips", "train", TRAINED, seed=1)
    clips.write_clips(folder / "clips", "held_out", HELD_OUT, seed=2)
    recipe = (BENCHMARKS / "clips.toml").read_text()
    (folder / "clips.toml").write_text(recipe)
    return folder


@pytest.fixture(scope="module")
def finished(sensorimotor, folder):
    """`sensorimotor train`, in the folder whose paths the recipe has."""
    done = sensorimotor("train", "clips.toml", "--out", "run", "--cache", "cache", "--workers", 1, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def judged(clips, sensorimotor, folder, finished):
    """What the exported policy makes of the held-out clips, with every set of inputs."""
    from sensorimotor.models.policy import Policy

    done = sensorimotor("export", "run", "--out", "bundle", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return clips.judge(Policy.load(folder / "bundle"), *clips.read_clips(folder / "clips" / "held_out.csv"))


def enough(inputs):
    """Whether both of what must be put together are among some inputs."""
    return bool(WHICH & set(inputs.split(" + "))) and bool(WHETHER & set(inputs.split(" + ")))


def by_chance(accuracy):
    """Whether so many of the held-out clips are right for who guesses, within four standard deviations."""
    return abs(accuracy - 0.5) < 4 * 0.5 / math.sqrt(HELD_OUT)


def test_with_all_inputs_nearly_every_clip_is_labelled_right(judged):
    assert judged["camera + mic + caption + gauges"]["accuracy"] >= 0.98


def test_two_inputs_that_must_be_put_together_are(judged):
    pairs = [inputs for inputs in judged if inputs.count("+") == 1 and enough(inputs)]
    assert sorted(pairs) == ["camera + gauges", "camera + mic", "caption + gauges", "mic + caption"]
    assert {inputs: judged[inputs]["accuracy"] for inputs in pairs if judged[inputs]["accuracy"] < 0.98} == {}


def test_either_alone_is_a_guess(judged):
    alone = [inputs for inputs in judged if not enough(inputs)]
    assert sorted(alone) == ["camera", "camera + caption", "caption", "gauges", "mic", "mic + gauges"]
    guesses = {inputs: judged[inputs]["accuracy"] for inputs in alone}
    assert {inputs: accuracy for inputs, accuracy in guesses.items() if not by_chance(accuracy)} == {}


def test_training_prints_what_the_exported_policy_does_for_every_set_of_inputs(finished, judged):
    printed = json.loads(finished.stdout)["held_out"]
    assert len(printed) == 2**4 - 1
    assert list(printed) == list(judged)
    for inputs, row in judged.items():
        assert printed[inputs]["accuracy"] == pytest.approx(row["accuracy"], abs=1 / HELD_OUT)


def test_without_looking_the_more_frequent_label_is_the_best_guess(clips, folder, finished):
    _, labels = clips.read_clips(folder / "clips" / "held_out.csv")
    _, shown = clips.read_clips(folder / "clips" / "train.csv")
    frequent = max(clips.SIDES, key=shown.count)
    assert json.loads(finished.stdout)["baseline"]["accuracy"] == labels.count(frequent) / len(labels)


def test_labels_keep_the_names_that_the_table_has(folder, judged):
    config = json.loads((folder / "bundle" / "config.json").read_text())
    assert config["signature"]["action_space"] == {"kind": "discrete", "n": 2, "labels": ["left", "right"]}
    assert config["signature"]["safe_action"] == {"kind": "constant", "action": 1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_no_matter_of_luck(clips, tmp_path, one_thread, seed):
    clips.write_clips(tmp_path, "train", TRAINED, seed=10 * seed)
    clips.write_clips(tmp_path, "held_out", HELD_OUT, seed=10 * seed + 1)
    rows = clips.run(seed, tmp_path)["rows"]
    assert min(row["accuracy"] for inputs, row in rows.items() if enough(inputs)) >= 0.98
    assert all(by_chance(row["accuracy"]) for inputs, row in rows.items() if not enough(inputs))
