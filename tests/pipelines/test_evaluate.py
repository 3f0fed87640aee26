import json
from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import BundleError, SpeechError, UsageError, WorldError
from sensorimotor.pipelines.evaluate import Trial, evaluate, quantiles, wilson
from sensorimotor.pipelines.expert import expert_steps
from sensorimotor.pipelines.speech import speaker

SEED = 1_000_000_000
ONE, LOCAL = "BabyAI-GoToObj-v0", "BabyAI-GoToLocal-v0"
KEYS = {
    *("policy", "env", "inputs", "speaker", "swap_mission", "episodes", "seed", "successes", "success_rate", "ci95"),
    *("spl", "first_object_correct", "mean_steps", "decision_ms", "date", "hardware", "versions"),
}


@pytest.fixture
def trial(tiny_bundle):
    return Trial(str(tiny_bundle), LOCAL, None, ("espeak:en-us+f3",))


def outcome(report):
    """What must not depend on how the work was done."""
    return {name: report[name] for name in KEYS - {"decision_ms", "date"}}


def test_the_report_has_exactly_what_is_promised(trial, tiny_bundle):
    told = []
    report = evaluate(trial, range(SEED, SEED + 8), progress=told.append)
    assert set(report) == KEYS
    assert json.loads(json.dumps(report)) == report
    assert (report["policy"], report["env"], report["seed"]) == (str(tiny_bundle), LOCAL, SEED)
    assert report["inputs"] == ["camera", "mic", "instruction"]
    assert report["speaker"] == "espeak:en-us+f3"
    assert (report["episodes"], sum(told)) == (8, 8)
    assert report["success_rate"] == report["successes"] / 8
    assert report["ci95"][0] < report["success_rate"] < report["ci95"][1] or report["successes"] in (0, 8)
    assert set(report["decision_ms"]) == {"p50", "p95", "p99", "max"}
    assert {"python", "sensorimotor", "onnxruntime", "numpy", "minigrid", "espeakng-loader"} <= set(report["versions"])
    assert {"processor", "cores", "memory_gib", "system"} == set(report["hardware"])


def test_the_number_of_workers_changes_nothing(trial):
    one, two = (evaluate(trial, range(SEED + 20, SEED + 26), workers=workers) for workers in (1, 2))
    assert outcome(one) == outcome(two)
    assert len({one["mean_steps"], 64.0}) == 2  # not all of them timed out


def test_it_sums_up_what_was_played(trial):
    trial, seeds = replace(trial, level=ONE), range(SEED + 40, SEED + 48)
    report = evaluate(trial, seeds)
    episodes, expert = trial.run(seeds), expert_steps(ONE, list(seeds))
    assert report["successes"] == sum(episode.success for episode in episodes) > 0
    assert report["mean_steps"] == np.mean([episode.steps for episode in episodes])
    assert report["first_object_correct"] == np.mean([episode.first_object_correct is True for episode in episodes])
    paths = [e.success * expert[e.seed] / max(e.steps, expert[e.seed]) for e in episodes]
    assert report["spl"] == pytest.approx(np.mean(paths))
    assert 0 < report["spl"] <= report["success_rate"]


def test_on_what_is_no_go_to_level_nobody_asks_where_it_looked_first(trial):
    report = evaluate(replace(trial, level="BabyAI-PickupLoc-v0"), range(SEED, SEED + 2))
    assert report["first_object_correct"] is None


def test_a_policy_that_never_turns_to_anything_is_never_right(trial):
    report = evaluate(replace(trial, level=ONE, inputs=("mic", "instruction")), range(SEED, SEED + 2))
    assert (report["mean_steps"], report["successes"], report["first_object_correct"]) == (64.0, 0, 0.0)


def test_a_deaf_policy_has_no_speaker(trial):
    deaf = replace(trial, level=ONE, inputs=("instruction", "camera"), speakers=("espeak:nobody",))
    report = evaluate(deaf, range(SEED, SEED + 2))
    assert (report["inputs"], report["speaker"]) == (["camera", "instruction"], None)


def test_several_speakers_are_all_named(trial):
    voices = ("espeak:en-us", "espeak:en+m3")
    report = evaluate(replace(trial, level=ONE, speakers=voices), range(SEED, SEED + 2))
    assert report["speaker"] == "espeak:en-us, espeak:en+m3"
    assert [type(voice) for voice in replace(trial, speakers=voices).world().speakers] == [type(speaker(voices[0]))] * 2


def test_a_swapped_mission_has_no_shortest_way_to_compare_with(trial):
    report = evaluate(replace(trial, inputs=("camera", "instruction"), swap_mission=True), range(SEED, SEED + 3))
    assert (report["swap_mission"], report["spl"]) == (True, None)
    assert report["first_object_correct"] is not None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inputs": ("camera", "lidar")}, UsageError, "the policy has no input lidar"),
        ({"inputs": ()}, UsageError, "no input is left"),
        ({"level": "BabyAI-GoTo-v1"}, WorldError, "there is no BabyAI level 'BabyAI-GoTo-v1'"),
        ({"policy": "nobody"}, BundleError, "no bundled policy 'nobody'"),
        ({"speakers": ("espeak:en-us+nobody",)}, SpeechError, "no voice 'en-us[+]nobody'"),
        ({"level": ONE, "swap_mission": True}, WorldError, "no other object in the room"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(trial, change, error, message):
    with pytest.raises(error, match=message):
        evaluate(replace(trial, **change), range(SEED, SEED + 2))


def test_what_only_shows_while_playing_is_told_by_a_worker_too(trial):
    with pytest.raises(WorldError, match="no other object in the room"):
        evaluate(replace(trial, level=ONE, swap_mission=True), range(SEED, SEED + 2), workers=2)


@pytest.mark.parametrize(("episodes", "workers", "seed"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_there_is_no_such_number_of_episodes_workers_or_seed(trial, episodes, workers, seed):
    with pytest.raises(UsageError, match="both must be positive, and no seed negative"):
        evaluate(trial, range(seed, seed + episodes), workers=workers)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_rate_is_wilsons(successes, count, low, high):
    assert wilson(successes, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_quantiles_are_of_all_decisions():
    assert quantiles(np.arange(101.0)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
