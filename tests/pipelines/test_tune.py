"""`sensorimotor tune`, with costs that are made up where it matters which settings win."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sensorimotor.errors import BundleError, OutputPathError, UsageError, WorldError
from sensorimotor.models.bundle import GOLDEN, Bundle, seal
from sensorimotor.models.execution import ONE_THREAD
from sensorimotor.pipelines import tune as module
from sensorimotor.pipelines.decision_cost import Turn
from sensorimotor.pipelines.machine_profile import tuned
from sensorimotor.pipelines.tune import tune

LEAST = {"seconds": 0.05}


@pytest.fixture
def quick(monkeypatch):
    """Makes up what decisions cost with an execution: `quick(cost)`, in ms; no time passes by it."""

    def make_up(cost):
        made = {}
        load = module.Policy.load

        def loaded(bundle, execution):
            policy = load(bundle, execution=execution)
            made[id(policy)] = policy, execution
            return policy

        class Course:
            def take(self, policy, turn):
                ms = cost(made[id(policy)][1])
                return Turn(ms, [ms], ms)

        monkeypatch.setattr("sensorimotor.pipelines.tuning_search.SPUN_S", 0.0)
        monkeypatch.setattr(module.Policy, "load", loaded)
        monkeypatch.setattr(module, "course", lambda *_, **__: Course())

    return make_up


@pytest.fixture
def lopsided(tmp_path):
    """The bundled policy, computed with some hidden units ten thousand times larger, which weigh so much less.

    In floating point that is the same; of what shares a scale of 8 bits with it, nothing is left.
    """
    path = Path(shutil.copytree(Bundle.load("default").path, tmp_path / "lopsided"))
    graph = onnx.load(path / "core.onnx")
    weights = {one.name: one for one in graph.graph.initializer}
    makes = {node.output[0]: node for node in graph.graph.node}
    uses = Counter(name for node in graph.graph.node for name in node.input)

    some = slice(None, None, 8)

    def scale(name, where, factor):
        array = numpy_helper.to_array(weights[name]).copy()
        array[where] *= np.float32(factor)
        weights[name].CopyFrom(numpy_helper.from_array(array, name))

    for after in graph.graph.node:
        relu = makes.get(after.input[0]) if after.op_type == "Gemm" else None
        before = makes.get(relu.input[0]) if relu and relu.op_type == "Relu" else None
        if (
            not before
            or before.op_type not in ("Gemm", "LayerNormalization")
            or np.prod(weights[after.input[1]].dims) < 2**14
        ):
            continue
        if all(uses[name] == 1 for name in (*before.output, *before.input[1:], *relu.output, after.input[1])):
            scale(before.input[1], some, 1e4)
            scale(before.input[2], some, 1e4)
            scale(after.input[1], (slice(None), some), 1e-4)
    onnx.save(graph, path / "core.onnx")
    seal(path, json.loads((path / "config.json").read_text()))
    return path


def picked_up(source, cache, objective="latency"):
    return tuned(Bundle.load(source), objective, lambda _: None, cache)


def test_int8_that_is_faster_and_agrees_is_kept_and_picked_up(quick, tmp_path):
    quick(lambda execution: 10 - 2 * len(execution.graphs))
    report = tune("default", cache=tmp_path, seconds=1.0)
    assert report["chosen"]["name"] == "1 thread, int8 mic and core"
    assert report["gain"]["over_default"]["ratio"] == pytest.approx(10 / 6)
    execution = picked_up("default", tmp_path)
    assert set(execution.graphs) == {"encoder.mic.onnx", "core.onnx"}
    assert {path.name for path in Path(report["profile"]).parent.iterdir()} == {
        *("latency.json", "encoder.mic.int8.onnx", "core.int8.onnx"),
    }
    chosen = next(one for one in report["candidates"] if one["name"] == report["chosen"]["name"])
    assert chosen["agrees"]
    assert 0 < chosen["max_difference"] < 1


def test_int8_that_decides_otherwise_is_rejected_however_fast(quick, lopsided, tmp_path):
    quick(lambda execution: 1 if "core.onnx" in execution.graphs else 10)
    report = tune(str(lopsided), cache=tmp_path / "cache", seconds=1.0)
    int8 = next(one for one in report["candidates"] if one["name"] == "1 thread, int8 core")
    assert not int8["agrees"]
    assert int8["same"] < int8["steps"] == 100
    assert "of 100 decisions differ, outputs by up to" in int8["rejected"]
    assert int8["ms"] is None
    assert picked_up(lopsided, tmp_path / "cache") == ONE_THREAD
    assert not list(tmp_path.rglob("*.int8.onnx"))


def test_settings_that_are_no_faster_leave_it_at_the_default(quick, tmp_path):
    quick(lambda execution: 10)
    report = tune("default", cache=tmp_path, seconds=1.0)
    assert report["chosen"]["name"] == "1 thread"
    assert report["gain"]["over_onnxruntime"]["ratio"] == 1
    assert picked_up("default", tmp_path) == ONE_THREAD


def test_for_throughput_int8_is_left_out_with_a_word_since_rows_would_share_a_scale(quick, tmp_path):
    quick(lambda execution: 10 / (execution.threads or 1))
    report = tune("default", objective="throughput", cache=tmp_path, seconds=1.0)
    assert "rows of a batch would share a scale" in report["notes"][0]
    assert not any("int8" in one["name"] for one in report["candidates"])
    assert picked_up("default", tmp_path) == ONE_THREAD
    assert picked_up("default", tmp_path, "throughput").threads == max(1, module.usable_cores())


def test_without_onnx_int8_is_left_out_with_a_word(quick, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    quick(lambda execution: 10)
    report = tune("default", cache=tmp_path, **LEAST)
    assert "int8 is left out: quantising needs onnx" in report["notes"][0]


def test_success_in_an_environment_is_compared_on_the_same_seeds(quick, tiny_bundle, tmp_path):
    quick(lambda execution: 10 if execution.optimisation == "all" else 5)
    report = tune(str(tiny_bundle), env="BabyAI-GoToObj-v0", episodes=3, cache=tmp_path, seconds=1.0)
    played = [one["success"] for one in report["candidates"] if one["success"]]
    assert played
    assert all((one["episodes"], one["lost"], one["won"]) == (3, 0, 0) for one in played)


# What it is asked in vain


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"objective": "comfort"}, UsageError, "tuned for 'comfort': there are latency, throughput"),
        ({"seconds": 0}, UsageError, "nothing to be measured in 0 s"),
        ({"seconds": -1}, UsageError, "nothing to be measured in -1 s"),
        ({"seconds": float("nan")}, UsageError, "nothing to be measured in nan s"),
        ({"seconds": float("inf")}, UsageError, "must be positive, and finite"),
        ({"batch": 0}, UsageError, "batches of 0 rows"),
        ({"batch": 10**9}, UsageError, "batches of 1000000000 rows are not measured: expected 1 to 4096"),
        ({"episodes": 0}, UsageError, "0 episodes"),
        ({"env": "BabyAI-GoToNowhere-v0"}, WorldError, "BabyAI-GoToNowhere-v0"),
        ({"env": "sensorimotor/Reach-v0"}, UsageError, "Reach"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(tmp_path, asked, error, said):
    with pytest.raises(error, match=said):
        tune("default", cache=tmp_path, **{**LEAST, **asked})
    assert not list(tmp_path.rglob("*.json"))


def test_a_cache_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "machines").write_text("a file")
    with pytest.raises(OutputPathError, match="cannot write"):
        tune("default", cache=tmp_path, **LEAST)


def test_a_bundle_without_a_golden_set_cannot_be_tuned(bundle_copy, tmp_path):
    (bundle_copy / GOLDEN).unlink()
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(BundleError, match="has no golden set"):
        tune(str(bundle_copy), cache=tmp_path, **LEAST)


def test_a_bundle_that_does_not_keep_its_promise_here_is_not_tuned(bundle_copy, tmp_path):
    def change(arrays):
        arrays["parameters"] = -arrays["parameters"]

    golden(bundle_copy, change)
    with pytest.raises(BundleError, match="does not decide on this machine as its golden set says.*inspect --verify"):
        tune(str(bundle_copy), cache=tmp_path, **LEAST)


# The real command


def test_the_command_tunes_and_run_picks_it_up(sensorimotor, person, tmp_path):
    home = {**person, "HOME": str(tmp_path)}
    done = sensorimotor("tune", "default", "--seconds", "2", "--json", env=home)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = [one["name"] for one in report["candidates"]]
    assert names[0] == "1 thread"
    assert "ONNX Runtime's defaults" in names
    for tried in ("int8 core", "extended optimisation", "basic optimisation", "no arena"):
        assert any(tried in name for name in names)
    assert report["gain"]["over_onnxruntime"]["pairs"] >= 6
    assert Path(report["profile"]).is_relative_to(tmp_path)
    words = ("--env", "BabyAI-GoToObj-v0", "--rate", "50", "--duration", "1")
    run = sensorimotor("run", "default", *words, "--json", env=home)
    assert run.returncode == 0, run.stderr
    assert f"tuned on this machine on {report['date']}: {report['chosen']['name']}" in run.stderr
    told = report["chosen"] | {"name": None}
    assert json.loads(run.stdout)["execution"] | {"name": None} == told
    plain = sensorimotor("run", "default", *words, "--threads", "1", env=home)
    assert "tuned" not in plain.stderr


def test_the_command_shows_a_table(sensorimotor, person, tmp_path):
    words = ("tune", "default", "--seconds", "0.1", "--for", "throughput", "--batch", "4")
    done = sensorimotor(*words, env={**person, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    for said in ("a batch of 4 (ms)", "100 of 100 as in fp32", "chosen", "note", "throughput.json", "picked up by"):
        assert said in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "comfort"), "there are latency, throughput"),
        (("--seconds", "0"), "nothing to be measured in 0 s"),
        (("--env", "BabyAI-GoTo-v9"), "did you mean"),
        (("--batch", "0"), "--batch"),
    ],
)
def test_wrong_use_ends_with_2(sensorimotor, person, tmp_path, words, said):
    done = sensorimotor("tune", "default", *words, env={**person, "HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_in_int8_is_replayed_in_int8(sensorimotor, person, quick, tmp_path):
    quick(lambda execution: 10 - 2 * len(execution.graphs))
    tune("default", cache=tmp_path / ".cache" / "sensorimotor", seconds=1.0)
    home = {**person, "HOME": str(tmp_path)}
    files = ("--trace", tmp_path / "run.jsonl", "--record", tmp_path / "recording")
    done = sensorimotor(
        "run", "default", "--env", "BabyAI-GoToObj-v0", "--rate", "50", "--duration", "2", *files, env=home
    )
    assert done.returncode == 0, done.stderr
    header = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[0])
    assert set(header["execution"]["graphs"]) == {"encoder.mic.onnx", "core.onnx"}
    replay = ("run", "default", "--replay", tmp_path / "run.jsonl", tmp_path / "recording", "--json")
    done = sensorimotor(*replay, env=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agree"] > 0
    for graph in tmp_path.rglob("*.int8.onnx"):
        graph.unlink()
    done = sensorimotor(*replay, env=home)
    assert done.returncode == 1
    assert "int8.onnx is missing or was changed" in done.stderr


def test_tuning_never_imports_torch_and_onnx_only_to_quantise():
    program = "import sys; from sensorimotor.pipelines import tune; print(*({'torch', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def golden(bundle_copy, change):
    """The bundle with another golden set."""
    with np.load(bundle_copy / GOLDEN, allow_pickle=False) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez_compressed(bundle_copy / GOLDEN, allow_pickle=False, **arrays)
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
