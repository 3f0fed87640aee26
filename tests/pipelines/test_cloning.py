"""Imitating recorded episodes, from a table to a checkpoint."""

import json

import numpy as np
import pytest
import torch

from sensorimotor.errors import CheckpointError, DataError, RecipeError
from sensorimotor.models.checkpoint import load_checkpoint, save_checkpoint
from sensorimotor.pipelines.cloning import EpisodeLesson
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"text_dim": 8, "state_dim": 16, "dim": 16, "blocks": 0}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twenty episodes of six steps: what is done is what `speed` says, or what `word` says, all in one table."""
    rng, rows = np.random.default_rng(0), []
    for episode in range(20):
        for step in range(6):
            speed, word = rng.uniform(-1, 1, 2), ("go", "stop")[rng.integers(2)]
            row = {"episode": f"e{episode}", "time": step / 10, "speed": speed.tolist(), "word": word}
            row |= {"label": word.upper(), "number": int(word == "go"), "arm": (2 * speed).tolist()}
            rows.append(row | {"lamps": [float(speed[0] > 0), float(word == "go")], "rest": [0.5]})
    path = tmp_path_factory.mktemp("cloning") / "drives.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def recipe(table):
    """`recipe("label", training={…})`, to do what a column says."""

    def make(action, inputs=("speed", "word"), signature=(), training=(), stated=(), **tables):
        said = {
            "name": "own",
            "data": {"kind": "manifest", "path": str(table), "held_out": 0.2},
            "signature": {
                "inputs": {name: {"max_tokens": 4} if name == "word" else {} for name in inputs},
                "action": {"feature": action, **dict(stated)},
                **dict(signature),
            },
            "network": SIZES,
            "training": {"steps": 4, "batch_episodes": 8, "evaluate_every": 2, "warmup_steps": 1, **dict(training)},
        }
        return parse_recipe(said | tables, "here")

    return make


@pytest.fixture
def learn(tmp_path):
    def run(recipe, name="run", **options):
        return train(recipe, tmp_path / name, cache=tmp_path / "cache", **options)

    return run


@pytest.fixture
def lesson(tmp_path):
    """What is taught, before the first step."""

    def make(recipe):
        return EpisodeLesson(recipe, tmp_path, None, {}, torch.device("cpu"), lambda *_: None)

    return make


LONG = {"steps": 150, "learning_rate": 3e-3, "evaluate_every": 150}


def test_choices_are_learnt(recipe, learn):
    done = learn(recipe("label", training=LONG))
    assert done.held_out["speed + word"]["accuracy"] > 0.95
    assert done.held_out["speed"]["accuracy"] < 0.9
    assert done.record["baseline"]["accuracy"] < 0.9
    assert done.calibration["decisions"] == 24  # four episodes of six steps
    network = load_checkpoint(done.checkpoint).network
    assert network.signature.action_space.labels == ("GO", "STOP")
    assert network.core.head.temperature.item() == pytest.approx(done.calibration["temperature"])


def test_vectors_are_learnt_in_their_own_units(recipe, learn):
    done = learn(recipe("arm", training=LONG | {"steps": 250}, signature={"horizon": 2}))
    error, blind = (one["error"]["0"]["mean"] for one in (done.held_out["speed + word"], done.record["baseline"]))
    assert error < 0.5 * blind
    assert done.calibration is None
    assert blind == pytest.approx(1.0, abs=0.25)  # of values spread evenly over [-2, 2]


def test_switches_are_learnt_each_by_itself(recipe, learn):
    done = learn(recipe("lamps", training=LONG, stated={"switches": True, "labels": ["left", "right"]}))
    assert done.held_out["speed + word"]["accuracy"] > 0.8
    assert done.record["actions"].keys() == {"left", "right"}


def test_every_subset_of_inputs_is_judged_at_the_end_and_all_of_them_before(recipe, learn):
    done = learn(recipe("label", inputs=("speed", "word", "arm")))
    lines = [json.loads(line) for line in (done.checkpoint.parent / "log.jsonl").read_text().splitlines()]
    assert [len(line["held_out"]) for line in lines] == [1, 7]
    assert list(done.held_out)[0] == "speed + word + arm"
    assert list(done.held_out)[-1] == "arm"


def test_of_many_inputs_those_of_all_but_one_and_of_one_are_judged(recipe, learn):
    done = learn(recipe("label", inputs=("speed", "word", "arm", "lamps", "rest")))
    assert sorted(name.count("+") for name in done.held_out) == [0] * 5 + [3] * 5 + [4]


def test_the_best_checkpoint_is_kept_and_calibrated(recipe, learn):
    done = learn(recipe("label", training={"steps": 8, "evaluate_every": 2}))
    best = load_checkpoint(done.checkpoint.parent / "best.safetensors")
    lines = [json.loads(line) for line in (done.checkpoint.parent / "log.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["held_out"]["speed + word"]["loss"] for line in lines}
    assert best.step == min(losses, key=losses.get)
    assert best.record["best"]["score"] == losses[best.step]
    assert best.network.core.head.temperature != 1


def test_a_run_that_gets_no_better_stops_early_when_asked(recipe, learn):
    plan = {"steps": 60, "evaluate_every": 1, "learning_rate": 0.3, "warmup_steps": 0, "early_stopping": 3}
    done = learn(recipe("label", training=plan))
    assert done.finished
    assert done.step < 60
    assert done.record["judged_since_best"] == 3


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(recipe, learn):
    said = recipe("label", training={"lost_frames": 0.2, "stale_frames": 0.2}, augment={"state_noise": 0.1})
    whole = load_checkpoint(learn(said, "whole").checkpoint).network.state_dict()
    assert not learn(said, "parts", stop_after=3).finished
    parts = load_checkpoint(learn(said, "parts", resume=True).checkpoint).network.state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_continues_only_with_its_own_recipe(recipe, learn):
    learn(recipe("label"), stop_after=1)
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        learn(recipe("number"), resume=True)


def test_memory_runs_through_an_episode_that_is_cut_for_learning(recipe, lesson):
    """Judged in stretches of two steps, it is the same as judged whole."""
    pieces, whole = (lesson(recipe("label", training={"sequence_steps": steps})) for steps in (2, 64))
    pieces.network.load_state_dict(whole.network.state_dict())
    found = []
    for one in (pieces, whole):
        done = one._held_out_done(("speed", "word"))
        order = np.lexsort((np.arange(len(done.episode)), done.episode))
        found.append((done.parameters[order], done.actions[order]))
    assert torch.equal(found[0][1], found[1][1])
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)


def test_rare_choices_may_count_more(recipe, lesson):
    counts = np.bincount(lesson(recipe("number"))._actions)
    even = lesson(recipe("number"))._weights
    balanced = lesson(recipe("number", training={"class_weights": "balanced"}))._weights
    stated = lesson(recipe("label", training={"class_weights": {"GO": 3.0}}))._weights
    assert even is None
    assert (balanced.numpy() * counts) == pytest.approx(counts.sum() / 2)
    assert stated.tolist() == [3.0, 1.0]
    assert lesson(recipe("arm", training={"class_weights": "balanced"}))._weights is None


@pytest.mark.parametrize(
    ("action", "said"),
    [("label", "names 'gO'; the choices are GO, STOP"), ("arm", "names 'gO'; it weighs choices and switches, not v")],
)
def test_weights_of_what_there_is_none_of_are_refused(recipe, lesson, action, said):
    with pytest.raises(RecipeError, match=f"training.class_weights {said}"):
        lesson(recipe(action, training={"class_weights": {"gO": 5.0}}))


def test_rare_switches_may_count_more(recipe, lesson):
    made = lesson(recipe("lamps", training={"class_weights": "balanced"}, stated={"switches": True}))
    on = made._actions.sum(0)
    assert made._weights.numpy() == pytest.approx((len(made._actions) - on) / on)


def test_steps_of_which_nothing_is_known_teach_nothing(recipe, lesson):
    made = lesson(recipe("label"))
    batch = made._batches.training_batch(0)
    batch.weights.zero_()
    assert made._loss(made._run(batch)[0], batch) == 0


def test_half_precision_is_near(recipe, lesson):
    full, half = (lesson(recipe("label", training={"precision": kind})) for kind in ("float32", "bfloat16"))
    ours, theirs = (one.losses(0)[0].item() for one in (full, half))
    assert ours == pytest.approx(theirs, abs=0.02)


def test_it_says_what_it_learns_from(recipe, learn):
    told = []
    learn(recipe("label"), report=lambda kind, numbers: told.append((kind, numbers)))
    assert told[0][1]["what"].startswith("20 episodes of ")
    assert [numbers["step"] for kind, numbers in told if kind == "held out"] == [2, 4]


# A run that goes on


@pytest.fixture
def moving(table, recipe, learn):
    """A run that was stopped, and whose data a test may change: `moving(rows → rows)` continues it."""
    path = table.with_name("moving.jsonl")

    def go_on(change):
        path.write_text(table.read_text())
        said = recipe("label", data={"kind": "manifest", "path": str(path), "held_out": 0.2})
        checkpoint = learn(said, stop_after=1).checkpoint
        before = checkpoint.read_bytes()
        path.write_text("".join(json.dumps(row) + "\n" for row in change(map(json.loads, path.open()))))
        try:
            return learn(said, resume=True)
        except CheckpointError:
            assert checkpoint.read_bytes() == before
            raise

    return go_on


def test_a_run_goes_on_with_the_data_it_began_with(moving):
    assert moving(list).finished


@pytest.mark.parametrize("broken", [0, 3])
def test_what_was_learnt_before_data_broke_is_kept(recipe, learn, monkeypatch, tmp_path, broken):
    losses = EpisodeLesson.losses

    def until(self, step):
        if step == broken:
            raise DataError("the file is damaged")
        return losses(self, step)

    monkeypatch.setattr(EpisodeLesson, "losses", until)
    with pytest.raises(DataError, match="the file is damaged"):
        learn(recipe("label"))
    path = tmp_path / "run" / "checkpoint.safetensors"
    assert path.exists() == (broken > 0)
    if broken:
        assert load_checkpoint(path).step == broken
        monkeypatch.undo()
        assert learn(recipe("label"), resume=True).finished


def test_a_run_does_not_go_on_with_other_labels(moving):
    renamed = {"GO": "GO", "STOP": "BRAKE"}
    expected = r'with action_space\.labels = \["GO", "STOP"\], but .*moving\.jsonl makes it \["BRAKE", "GO"\]: put'
    with pytest.raises(CheckpointError, match=expected):
        moving(lambda rows: [row | {"label": renamed[row["label"]]} for row in rows])


def test_a_run_does_not_go_on_with_another_width(moving):
    with pytest.raises(CheckpointError, match=r"began with inputs\.speed\.size = 2, but .* makes it 3"):
        moving(lambda rows: [row | {"speed": [*row["speed"], 0.0]} for row in rows])


def test_a_run_does_not_go_on_with_fewer_episodes(moving):
    """Which are held out would be drawn anew: what was learnt from would be judged on."""
    with pytest.raises(CheckpointError, match=r"was changed since the run began: its fingerprint was \w{12}…, now"):
        moving(lambda rows: [row for row in rows if row["episode"] != "e3"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda one: setattr(one, "step", 5), "5 steps are done of 4"),
        (lambda one: one.record.pop("seconds"), "record.seconds: Field required"),
        (lambda one: one.record.update(seconds="long"), "record.seconds: "),
        (lambda one: one.record.update(held_out=[]), "record.held_out: "),
        (lambda one: one.record.update(best={"score": None}), "record.best.step: "),
        (lambda one: one.record.update(judged_since_best="0"), "record.judged_since_best: "),
        (lambda one: one.record.update(calibration=0.1), "record.calibration: "),
        (lambda one: one.record.update(data=5), "record.data: "),
        (lambda one: one.optimizer[0].pop("exp_avg"), "not of its parameter 0"),
        (lambda one: one.optimizer[0].update(exp_avg=torch.zeros(1)), "not of its parameter 0"),
        (lambda one: one.optimizer[1].update(step=torch.tensor(float("nan"))), "not of its parameter 1"),
        (lambda one: one.optimizer.update({999: one.optimizer.pop(0)}), "not of its parameter 999"),
    ],
)
def test_a_damaged_run_does_not_go_on(recipe, learn, damage, said):
    path = learn(recipe("label"), stop_after=2).checkpoint
    checkpoint = load_checkpoint(path)
    damage(checkpoint)
    save_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match=f"{path} does not fit together: .*{said}"):
        learn(recipe("label"), resume=True)
