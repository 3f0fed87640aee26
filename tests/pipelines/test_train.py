import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sensorimotor.errors import CheckpointError, OutputPathError, RecipeError, UsageError, WorldError
from sensorimotor.files import holding
from sensorimotor.models.checkpoint import load_checkpoint, save_checkpoint
from sensorimotor.pipelines.mission_recipe import MissionRecipe
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
    """Every tensor of a checkpoint: network, tutor, optimiser."""
    checkpoint = load_checkpoint(out)
    found = checkpoint.network.state_dict() | {f"tutor.{name}": value for name, value in checkpoint.tutor.items()}
    return found | {
        f"optimizer.{index}.{name}": value
        for index, state in checkpoint.optimizer.items()
        for name, value in state.items()
    }


def files(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def same_run(out, expected):
    """Whether two runs ended alike, but for what depends on the clock."""
    ours, theirs = tensors(out), tensors(expected)
    assert list(ours) == list(theirs)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert log(out) == log(expected)
    return True


def changed(recipe, table, **values):
    return recipe.model_copy(update={table: getattr(recipe, table).model_copy(update=values)})


# A whole run


def test_a_run_ends_judged_and_calibrated(uninterrupted, short):
    out, done, _ = uninterrupted
    assert (done.step, done.steps, done.checkpoint) == (6, 6, out / "checkpoint.safetensors")
    assert set(done.held_out) == SENSES
    assert all(0 <= judged["accuracy"] <= 1 and judged["loss"] > 0 for judged in done.held_out.values())
    assert set(done.calibration["error"]) == {"camera + instruction", "camera + mic"}
    checkpoint = load_checkpoint(out)
    assert checkpoint.network.core.head.temperature.item() == pytest.approx(done.calibration["temperature"])
    assert MissionRecipe.model_validate(checkpoint.recipe) == short
    assert checkpoint.record["machine"]["cores"] > 0
    assert {"torch", "numpy", "minigrid", "python"} <= set(checkpoint.record["versions"])
    assert json.loads(json.dumps(done.to_json())) == done.to_json()
    assert done.to_json()["finished"] is True


def test_its_log_has_a_line_for_every_time_it_was_judged(uninterrupted):
    lines = log(uninterrupted[0])
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(set(line["held_out"]) == SENSES for line in lines)
    assert {"imitation", "pointing", "alignment", "accuracy", "learning_rate"} <= set(lines[0])
    assert all(0 <= line["understood"] <= 1 for line in lines)


def test_tensorboard_can_show_it(uninterrupted):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (uninterrupted[0] / "tensorboard").iterdir()
    board = EventAccumulator(str(file)).Reload()
    assert [event.step for event in board.Scalars("train/imitation")] == [1, 2, 3, 4, 5, 6]
    for name in ("held-out accuracy/camera + mic", "held-out loss/camera", "held-out utterances understood"):
        assert [event.step for event in board.Scalars(name)] == [2, 4, 6]


def test_it_says_what_it_is_doing(uninterrupted, short):
    told = uninterrupted[2]
    assert [numbers["step"] for kind, numbers in told if kind == "step"] == [1, 2, 3, 4, 5, 6]
    assert [numbers["step"] for kind, numbers in told if kind == "held out"] == [2, 4, 6]
    assert [numbers["step"] for kind, numbers in told if kind == "checkpoint"] == [6]
    said = [numbers["what"] for kind, numbers in told if kind == "data"]
    assert said[0] == "40 demonstrations of BabyAI-GoToObj-v0"
    judged = [numbers for kind, numbers in told if kind == "held out"]
    assert all(set(numbers["held_out"]) == SENSES and "understood" in numbers for numbers in judged)
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
    assert same_run(tmp_path, out)
    assert (done.held_out, done.calibration) == (expected.held_out, expected.calibration)


def test_a_run_that_was_killed_goes_back_to_its_last_checkpoint(short, cache, tmp_path, uninterrupted):
    train(short, tmp_path, cache=cache, stop_after=2)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    train(short, tmp_path, cache=cache, resume=True, stop_after=4)
    (tmp_path / "checkpoint.safetensors").write_bytes(before)  # the log is ahead of it
    train(short, tmp_path, cache=cache, resume=True)
    assert same_run(tmp_path, uninterrupted[0])


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
        judged = next((line for line in running.stderr if "held out: " in line), "it ended by itself")
        running.send_signal(stop)
        out, err = running.communicate()
    assert "step" in judged
    assert running.returncode == 130, err
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["finished"], told["steps"]) == (False, 1_000_000)
    assert load_checkpoint(tmp_path / "run").step == told["step"] >= 2


# Beginning with what others have learnt


def beginning(recipe, **start):
    return recipe.model_copy(update={"start": start})


def weights(out, part=""):
    return {name: value for name, value in load_checkpoint(out).network.state_dict().items() if part in name}


def alike(ours, theirs):
    assert ours.keys() == theirs.keys() != set()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture
def beside(tmp_path, uninterrupted):
    """Puts the run of six steps beside the one that is to begin: it is called `before`."""
    shutil.copytree(uninterrupted[0], tmp_path / "before")
    return tmp_path


def test_a_run_begins_with_all_that_another_has_learnt(short, cache, beside):
    before = load_checkpoint(beside / "before")
    begun = train(beginning(short, network="before"), beside / "run", cache=cache, stop_after=0)
    now = load_checkpoint(beside / "run")
    before.network.core.set_temperature(1.0)  # not taken over: the run is calibrated at its own end
    assert alike(now.network.state_dict(), before.network.state_dict())
    assert alike(now.tutor, before.tutor)
    assert begun.step == 0
    assert begun.seconds == pytest.approx(before.record["seconds"])
    assert now.record["begun_with"] == {"before": {"steps": 6, "seconds": before.record["seconds"]}}


def test_a_run_begins_with_one_ear_of_another_and_the_rest_new(short, cache, beside):
    fresh, begun = beside / "fresh", beside / "begun"
    train(short, fresh, cache=cache, stop_after=0)
    train(beginning(short, mic="before"), begun, cache=cache, stop_after=0)
    for part in ("encoders.mic.", "senses.mic."):
        assert alike(weights(begun, part), weights(beside / "before", part))
        assert not alike(weights(begun, part), weights(fresh, part))
    for part in ("encoders.camera.", "encoders.instruction.", "senses.camera.", "core.fusion.gru", "core.head."):
        if weights(fresh, part):
            assert alike(weights(begun, part), weights(fresh, part))
    tutors = {out.name: load_checkpoint(out).tutor for out in (begun, fresh, beside / "before")}
    for name in tutors["begun"]:
        source = "before" if name.startswith("speller.") else "fresh"
        assert torch.equal(tutors["begun"][name], tutors[source][name])


def test_a_run_that_began_with_another_continues_without_it(short, cache, beside):
    recipe = beginning(short, network="before")
    train(recipe, beside / "whole", cache=cache)
    train(recipe, beside / "parts", cache=cache, stop_after=3)
    shutil.rmtree(beside / "before")
    train(recipe, beside / "parts", cache=cache, resume=True)
    assert same_run(beside / "parts", beside / "whole")


def test_eyes_and_an_ear_of_another_size_are_joined(short, cache, beside):
    """The deaf run knows nothing of the size of ears, and must not be asked for it."""
    deaf = changed(short.model_copy(update={"speech": None}), "network", audio_dim=32)
    deaf = changed(deaf, "training", senses=tuple(s for s in short.training.senses if "mic" not in s.inputs))
    train(deaf, beside / "eyes", cache=cache, stop_after=1)
    train(beginning(short, network="eyes", mic="before"), beside / "run", cache=cache, stop_after=0)
    ours = weights(beside / "run")
    eyes, ear = weights(beside / "eyes"), weights(beside / "before")
    assert all(torch.equal(value, ours[name]) for name, value in eyes.items())
    assert all(torch.equal(ear[name], ours[name]) for name in ours.keys() - eyes.keys())
    assert set(load_checkpoint(beside / "run").record["begun_with"]) == {"eyes", "before"}


@pytest.mark.parametrize("part", ["lidar", "cam", "head"])
def test_a_part_that_does_not_exist_cannot_be_begun_with(short, cache, beside, part):
    with pytest.raises(RecipeError, match=rf"start\.{part} = 'before': that run has no such part"):
        train(beginning(short, **{part: "before"}), beside / "run", cache=cache, stop_after=0)


def test_an_ear_is_of_no_use_to_the_deaf(short, cache, beside):
    deaf = changed(
        short.model_copy(update={"speech": None}), "training",
        senses=tuple(s for s in short.training.senses if "mic" not in s.inputs),
    )  # fmt: skip
    with pytest.raises(RecipeError, match=r"start\.mic = 'before'"):
        train(beginning(deaf, mic="before"), beside / "run", cache=cache, stop_after=0)


@pytest.mark.parametrize("part", ["network", "mic"])
def test_a_run_of_other_sizes_cannot_be_begun_with(short, cache, beside, part):
    wider = changed(short, "network", audio_dim=32)
    with pytest.raises(RecipeError, match=rf"start\.{part} = 'before': that run's network has other sizes"):
        train(beginning(wider, **{part: "before"}), beside / "run", cache=cache, stop_after=0)


def test_a_run_that_learnt_other_words_cannot_be_begun_with(short, cache, beside):
    other = changed(short, "data", novel=("red",))
    with pytest.raises(RecipeError, match=r"start\.network = 'before': that run .*learnt other words"):
        train(beginning(other, network="before"), beside / "run", cache=cache, stop_after=0)


def test_a_run_that_is_not_there_cannot_be_begun_with(short, cache, tmp_path):
    with pytest.raises(CheckpointError, match=f"there is no checkpoint {tmp_path}/nobody"):
        train(beginning(short, network="nobody"), tmp_path / "run", cache=cache)


# Only listening, and half precision


def test_who_only_listens_learns_nothing_but_words(short, cache, tmp_path):
    listening = changed(short, "training", batch_episodes=0, alignment_utterances=4)
    train(listening, tmp_path / "new", cache=cache, stop_after=0)
    told = []
    done = train(listening, tmp_path / "run", cache=cache, report=lambda kind, numbers: told.append((kind, numbers)))
    assert (done.step, done.held_out, done.calibration) == (6, {}, None)
    new, learnt = weights(tmp_path / "new"), weights(tmp_path / "run")
    moved = {name for name in new if not torch.equal(new[name], learnt[name])}
    assert {name.partition("mic")[0] for name in moved if "mic" in name} == {"encoders.", "core.fusion.senses."}
    assert any(name.startswith("encoders.instruction.") for name in moved)
    assert not any("camera" in name or "core.head" in name for name in moved)
    lines = log(tmp_path / "run")
    assert all("alignment" in line and "imitation" not in line and "accuracy" not in line for line in lines)
    assert all(0 <= line["understood"] <= 1 for line in lines)
    assert all(math.isfinite(value) for kind, numbers in told if kind == "step" for value in numbers.values())


def test_who_only_listens_continues_exactly_too(short, cache, tmp_path):
    listening = changed(short, "training", batch_episodes=0, alignment_utterances=4)
    train(listening, tmp_path / "whole", cache=cache)
    train(listening, tmp_path / "parts", cache=cache, stop_after=3)
    train(listening, tmp_path / "parts", cache=cache, resume=True)
    assert same_run(tmp_path / "parts", tmp_path / "whole")


def test_half_precision_is_near_and_leaves_the_weights_in_full(short, cache, tmp_path, uninterrupted):
    half = changed(short, "training", precision="bfloat16")
    train(half, tmp_path, cache=cache)
    assert {value.dtype for value in tensors(tmp_path).values()} <= {torch.float32, torch.int64}
    for ours, exact in zip(log(tmp_path), log(uninterrupted[0]), strict=True):
        assert ours["imitation"] == pytest.approx(exact["imitation"], rel=0.1)
    assert log(tmp_path) != log(uninterrupted[0])


def test_a_run_in_half_precision_continues_exactly_too(short, cache, tmp_path):
    half = changed(short, "training", precision="bfloat16")
    train(half, tmp_path / "whole", cache=cache)
    train(half, tmp_path / "parts", cache=cache, stop_after=3)
    train(half, tmp_path / "parts", cache=cache, resume=True)
    assert same_run(tmp_path / "parts", tmp_path / "whole")


def test_losses_that_count_for_nothing_are_not_computed(short, cache, tmp_path):
    bare = changed(short, "training", pointing=0.0, alignment=0.0)
    train(bare, tmp_path, cache=cache, stop_after=2)
    (line,) = log(tmp_path)
    assert "imitation" in line
    assert not {"pointing", "alignment", "understood"} & set(line)


def test_a_run_learns_from_the_material_it_is_given(short, material, tmp_path):
    train(short, tmp_path / "run", cache=tmp_path / "cache", material=material, stop_after=1)
    assert load_checkpoint(tmp_path / "run").step == 1
    assert not (tmp_path / "cache").exists()


# What is refused


def test_a_directory_that_holds_a_run_is_not_overwritten(short, cache, uninterrupted):
    out, _, _ = uninterrupted
    before = files(out)
    with pytest.raises(CheckpointError, match="holds a run already: continue it with --resume, or choose another"):
        train(short, out, cache=cache)
    assert files(out) == before


def test_two_processes_do_not_train_in_one_directory(short, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with holding(out), pytest.raises(OutputPathError, match=f"another process is writing to {out}"):
        train(short, out, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    assert not any(out.iterdir())


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


def test_a_run_whose_tutor_is_damaged_is_not_continued(short, cache, tmp_path):
    train(short, tmp_path, cache=cache, stop_after=1)
    checkpoint = load_checkpoint(tmp_path)
    del checkpoint.tutor["speller.bias"]
    save_checkpoint(tmp_path / "checkpoint.safetensors", checkpoint)
    with pytest.raises(CheckpointError, match="does not fit together"):
        train(short, tmp_path, cache=cache, resume=True)


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


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cpu:x", "hpu", "meta"])
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


@pytest.mark.parametrize("damage", ['{"step": 1', "[]", "{}", "\0"])
def test_a_damaged_log_does_not_break_a_run_with_a_riddle(short, cache, tmp_path, damage):
    train(short, tmp_path, cache=cache, stop_after=2)
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + damage)
    with pytest.raises(CheckpointError, match=r"log\.jsonl is damaged .*: remove it, and the run continues"):
        train(short, tmp_path, cache=cache, resume=True)
    path.unlink()
    assert train(short, tmp_path, cache=cache, resume=True).step == short.training.steps


def test_a_loss_that_is_no_number_ends_the_run_with_advice(short, cache, tmp_path):
    with pytest.raises(RecipeError, match=r"try a lower training\.learning_rate"):
        train(changed(short, "training", learning_rate=1e30, warmup_steps=0), tmp_path, cache=cache)


def test_a_recipe_whose_missions_are_all_novel_is_refused(short, cache, tmp_path):
    with pytest.raises(RecipeError, match="leaves no episode"):
        train(changed(short, "data", novel=("go",)), tmp_path, cache=cache)
