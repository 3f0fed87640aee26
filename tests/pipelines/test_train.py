import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sensorimotor.errors import CheckpointError, OutputPathError, RecipeError, UsageError, WorldError
from sensorimotor.models.checkpoint import load_checkpoint, save_checkpoint
from sensorimotor.pipelines.recipe import Recipe
from sensorimotor.pipelines.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
SENSES = {"camera + instruction", "camera + mic", "camera"}


@pytest.fixture(scope="session")
def short(tiny_recipe):
    """The tiny recipe in six steps, with everything that is random switched on."""
    plan = {
        "steps": 6,
        "evaluate_every": 2,
        "alignment_utterances": 3,
        "lost_frames": 0.1,
        "stale_frames": 0.1,
        "unknown_words": 0.1,
    }
    return tiny_recipe.model_copy(update={"training": tiny_recipe.training.model_copy(update=plan)})


@pytest.fixture(scope="session")
def cache(trained, tiny_cache):
    return tiny_cache


@pytest.fixture(scope="session")
def uninterrupted(short, cache, tmp_path_factory, one_thread):
    """A run of six steps: its directory, what `train` gave back, and everything that it reported."""
    out, told = tmp_path_factory.mktemp("runs") / "uninterrupted", []
    done = train(short, out, cache=cache, report=lambda kind, numbers: told.append((kind, numbers)))
    return out, done, told


def log(out):
    """The lines of a run's log without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "samples_per_s")} for line in lines]


def tensors(out):
    """Every tensor of a checkpoint: network, lexicon, optimiser."""
    checkpoint = load_checkpoint(out)
    found = {**checkpoint.network.state_dict(), **checkpoint.lexicon.state_dict(prefix="lexicon.")}
    return found | {
        f"optimizer.{index}.{name}": value
        for index, state in checkpoint.optimizer.items()
        for name, value in state.items()
    }


def files(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


# A whole run


def test_a_run_ends_judged_and_calibrated(uninterrupted, short):
    out, done, _ = uninterrupted
    assert (done.step, done.steps, done.checkpoint) == (6, 6, out / "checkpoint.safetensors")
    assert set(done.held_out) == SENSES
    assert all(0 <= judged["accuracy"] <= 1 and judged["loss"] > 0 for judged in done.held_out.values())
    assert set(done.calibration["error"]) == {"camera + instruction", "camera + mic"}
    checkpoint = load_checkpoint(out)
    assert checkpoint.network.core.head.temperature.item() == pytest.approx(done.calibration["temperature"])
    assert Recipe.model_validate(checkpoint.recipe) == short
    assert checkpoint.record["machine"]["cores"] > 0
    assert {"torch", "numpy", "minigrid", "python"} <= set(checkpoint.record["versions"])
    assert json.loads(json.dumps(done.to_json())) == done.to_json()
    assert done.to_json()["finished"] is True


def test_its_log_has_a_line_for_every_time_it_was_judged(uninterrupted):
    lines = log(uninterrupted[0])
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(set(line["held_out"]) == SENSES for line in lines)
    assert {"loss", "accuracy", "alignment", "learning_rate"} <= set(lines[0])


def test_tensorboard_can_show_it(uninterrupted):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (uninterrupted[0] / "tensorboard").iterdir()
    board = EventAccumulator(str(file)).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in board.Scalars("held out, camera + mic/accuracy")] == [2, 4, 6]


def test_it_says_what_it_is_doing(uninterrupted, short):
    told = uninterrupted[2]
    assert [numbers["step"] for kind, numbers in told if kind == "step"] == [1, 2, 3, 4, 5, 6]
    assert [numbers["step"] for kind, numbers in told if kind == "held out"] == [2, 4, 6]
    assert [numbers["step"] for kind, numbers in told if kind == "checkpoint"] == [6]
    said = [numbers["what"] for kind, numbers in told if kind == "data"]
    assert said[0] == "40 demonstrations of BabyAI-GoToObj-v0"
    assert said[1] == "8 held-out demonstrations of BabyAI-GoToObj-v0"
    rates = [numbers["learning_rate"] for kind, numbers in told if kind == "step"]
    top = short.training.learning_rate
    assert rates[:3] == pytest.approx([top / 2, top, top])  # two steps of warming up
    assert rates[2] > rates[3] > rates[4] > rates[5] > 0


# Interruption


@pytest.mark.parametrize("stops", [(3,), (2, 4), (0, 5)], ids=str)
def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(short, cache, tmp_path, uninterrupted, stops):
    for number, stop in enumerate(stops):
        part = train(short, tmp_path, cache=cache, resume=number > 0, stop_after=stop)
        assert (part.step, part.to_json()["finished"], part.calibration) == (stop, False, None)
    done = train(short, tmp_path, cache=cache, resume=True)
    out, expected, _ = uninterrupted
    ours, theirs = tensors(tmp_path), tensors(out)
    assert list(ours) == list(theirs)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert log(tmp_path) == log(out)
    assert (done.held_out, done.calibration) == (expected.held_out, expected.calibration)


def test_a_run_that_was_killed_goes_back_to_its_last_checkpoint(short, cache, tmp_path, uninterrupted):
    train(short, tmp_path, cache=cache, stop_after=2)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    train(short, tmp_path, cache=cache, resume=True, stop_after=4)
    (tmp_path / "checkpoint.safetensors").write_bytes(before)  # the log is ahead of it
    train(short, tmp_path, cache=cache, resume=True)
    assert log(tmp_path) == log(uninterrupted[0])
    ours, theirs = tensors(tmp_path), tensors(uninterrupted[0])
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_finished_run_has_nothing_left_to_do(short, cache, tmp_path):
    first = train(short, tmp_path, cache=cache)
    kept = tensors(tmp_path), log(tmp_path)
    told = []
    again = train(short, tmp_path, cache=cache, resume=True, report=lambda kind, _: told.append(kind))
    assert again == first
    assert "step" not in told
    assert all(torch.equal(value, kept[0][name]) for name, value in tensors(tmp_path).items())
    assert log(tmp_path) == kept[1]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_being_stopped_leaves_a_checkpoint_to_continue_from(tiny_recipe_file, cache, person, tmp_path, stop):
    endless = tmp_path / "endless.toml"
    text = tiny_recipe_file.read_text()
    assert "steps = 120" in text
    endless.write_text(
        text.replace("steps = 120", "steps = 1000000").replace("evaluate_every = 60", "evaluate_every = 2")
    )
    call = [Path(sys.executable).with_name("sensorimotor"), "train", endless, "--out", tmp_path / "run", "--json"]
    with subprocess.Popen(
        [*call, "--cache", cache, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=person,
    ) as running:
        judged = next((line for line in running.stderr if "held-out accuracy" in line), "it ended by itself")
        running.send_signal(stop)
        out, err = running.communicate()
    assert "step" in judged
    assert running.returncode == 130, err
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["finished"], told["steps"]) == (False, 1_000_000)
    assert load_checkpoint(tmp_path / "run").step == told["step"] >= 2


# What is refused


def test_a_directory_that_holds_a_run_is_not_overwritten(short, cache, uninterrupted):
    out, _, _ = uninterrupted
    before = files(out)
    with pytest.raises(CheckpointError, match="holds a run already: continue it with --resume, or choose another"):
        train(short, out, cache=cache)
    assert files(out) == before


def test_a_run_continues_only_with_its_own_recipe(short, cache, uninterrupted):
    out, _, _ = uninterrupted
    before = files(out)
    other = short.model_copy(update={"seed": short.seed + 1})
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        train(other, out, cache=cache, resume=True)
    assert files(out) == before


def test_a_run_that_began_before_a_key_existed_continues_with_the_keys_default(short, cache, tmp_path):
    train(short, tmp_path, cache=cache, stop_after=1)
    checkpoint = load_checkpoint(tmp_path)
    del checkpoint.recipe["data"]["max_tokens"], checkpoint.recipe["speech"]["utterance_s"]
    save_checkpoint(tmp_path / "checkpoint.safetensors", checkpoint)
    assert train(short, tmp_path, cache=cache, resume=True, stop_after=2).step == 2


def test_there_must_be_something_to_continue(short, cache, tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        train(short, tmp_path, cache=cache, resume=True)


@pytest.mark.parametrize("place", ["/proc/nowhere", "file/run"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(short, tmp_path, place):
    (tmp_path / "file").touch()
    out = tmp_path / place
    with pytest.raises(OutputPathError, match=f"cannot write {out}"):
        train(short, out, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_here_is_refused_before_any_work(short, tmp_path, device):
    with pytest.raises(UsageError, match=f"cannot train on device '{device}'"):
        train(short, tmp_path / "run", cache=tmp_path / "cache", device=device)
    assert not (tmp_path / "cache").exists()


def test_a_level_that_does_not_exist_is_refused(short, tmp_path):
    level = short.data.levels[0].model_copy(update={"id": "BabyAI-GoToObjj-v0"})
    wrong = short.model_copy(update={"data": short.data.model_copy(update={"levels": (level,)})})
    with pytest.raises(WorldError, match="did you mean BabyAI-GoToObj-v0"):
        train(wrong, tmp_path / "run", cache=tmp_path / "cache")


def test_missions_that_do_not_fit_are_refused(short, cache, tmp_path):
    wrong = short.model_copy(update={"data": short.data.model_copy(update={"max_tokens": 4})})
    with pytest.raises(RecipeError, match=r"data\.max_tokens = 4 cuts missions short: 'go to"):
        train(wrong, tmp_path, cache=cache)


def test_a_checkpoint_that_cannot_be_written_is_an_error_and_leaves_the_one_before(short, cache, tmp_path, monkeypatch):
    train(short, tmp_path, cache=cache, stop_after=2)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="was not written, the one before is unchanged: .*No space left"):
        train(short, tmp_path, cache=cache, resume=True, stop_after=3)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
