import json

import numpy as np
import pytest

from sensorimotor.errors import UsageError
from sensorimotor.models.execution import Execution
from sensorimotor.pipelines import ceilings, cold_start, operators
from sensorimotor.pipelines import profile as module
from sensorimotor.pipelines.profile import budget, profile
from sensorimotor.pipelines.stage_timing import Span, StageTimes

KEYS = {
    *("schema", "policy", "shown", "execution", "stages", "histograms", "timeline", "everything_new", "first_call_ms"),
    *("after_idle", "cold_start", "resident_mb", "budget", "throughput", "graphs", "ceilings", "compare", "date"),
    *("hardware", "versions"),
}
STAGES = ["prepare", "encode.camera", "encode.mic", "encode.instruction", "core", "decide", "guards", "total"]


@pytest.fixture(scope="module")
def brief():
    """Measure as little as possible."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "IDLES", 1)
        monkeypatch.setattr(ceilings, "SIDES", {"CPUExecutionProvider": 64})
        monkeypatch.setattr(ceilings, "LONGEST_S", 0.01)
        monkeypatch.setattr(operators, "LONGEST_S", 0.1)
        monkeypatch.setattr(cold_start, "STARTS", 1)
        yield


@pytest.fixture(scope="module")
def report(tiny_bundle, brief):
    slept = []
    made = profile(str(tiny_bundle), execution=Execution(), batches=(1, 3), decisions=50, sleep=slept.append)
    assert slept == [1.0]
    return made


def test_a_report_is_plain_json_with_the_same_keys_for_ever(report):
    assert set(report) == KEYS
    assert report["schema"] == 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert list(report["stages"]) == STAGES
    assert set(report["stages"]["total"]) == {"n", "p50", "p90", "p95", "p99", "max", "p50_ci95"}
    assert set(report["graphs"][0]["nodes"][0]) == {"name", "operator", "provider", "ms", "flops", "bytes"}
    assert [one["rows"] for one in report["throughput"]["batches"]] == [1, 3]
    assert report["compare"] is None


def test_what_it_says_fits_together(report):
    stages = report["stages"]
    assert stages["total"]["n"] == stages["core"]["n"] == stages["guards"]["n"] == 50
    assert 0 < stages["encode.mic"]["n"] < 50
    assert sum(report["histograms"]["counts"]["total"]) == 50
    typical = report["timeline"]["typical"]
    assert sum(span["ms"] for span in typical) == pytest.approx(stages["total"]["p50"], rel=0.5)
    assert [one["stage"] for one in report["graphs"]] == ["encode.camera", "encode.mic", "encode.instruction", "core"]
    assert report["budget"]["rate_hz"] == 10.0, "that of its signature"
    assert report["cold_start"]["n"] == report["after_idle"]["n"] == 1


def times(*of):
    """Decisions of (encoder, core) milliseconds."""
    spans = (tuple(filter(None, (a and Span("encode.eye", 0.0, a), Span("core", a, b)))) for a, b in of)
    return StageTimes(("encode.eye", "core"), tuple(spans))


def test_a_rate_is_held_where_the_slowest_hundredth_is_within_its_period():
    told = budget(times(*[(1.0, 2.0)] * 199, (30.0, 2.0)), 100.0)
    assert (told["holds"], told["period_ms"], told["late"]) == (True, 10.0, 0.005)
    assert told["head_room"] == pytest.approx(10 / 3)


def test_where_it_is_not_the_stage_is_named_that_the_slowest_ones_spend_their_time_in():
    told = budget(times(*[(0.0, 5.0)] * 90, *[(30.0, 5.0)] * 10), 100.0)
    assert not told["holds"]
    assert (told["stage"], told["late"]) == ("encode.eye", 0.1)
    assert told["share"] == pytest.approx(30 / 35)
    assert told["head_room"] < 1


def test_nodes_that_would_run_elsewhere_are_an_error_that_names_them(tiny_bundle, brief):
    """The provider is in the build of ONNX Runtime for CPUs, and runs none of these operators."""
    available = module.Execution(("AzureExecutionProvider",))
    with pytest.raises(UsageError) as told:
        profile(str(tiny_bundle), execution=available)
    assert "AzureExecutionProvider does not run" in str(told.value)
    assert "nodes of encoder.camera.onnx (Add, Cast, Conv, " in str(told.value)
    assert "--allow-fallback" in str(told.value)


def test_unless_that_is_allowed(tiny_bundle, brief, monkeypatch):
    monkeypatch.setattr(module, "measure_ceilings", lambda execution, sizes: MACHINE)
    execution = Execution(("AzureExecutionProvider",), fallback=True)
    made = profile(str(tiny_bundle), execution=execution, decisions=5, sleep=lambda s: None)
    assert made["graphs"][0]["providers"].keys() == {"CPUExecutionProvider"}


MACHINE = ceilings.Ceilings(1e11, 64, 1e10, {})


def test_a_provider_that_is_not_there_is_refused(tiny_bundle):
    with pytest.raises(
        UsageError, match="NpuExecutionProvider is not available here; there are .*CPUExecutionProvider"
    ):
        profile(str(tiny_bundle), execution=Execution(("NpuExecutionProvider",)))


def test_threads_are_tried_where_none_are_stated(tiny_bundle, brief, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 3)
    made = profile(str(tiny_bundle), execution=Execution(), threads=None, decisions=5, sleep=lambda s: None)
    tried = made["execution"]["threads_tried_ms"]
    assert list(tried) == ["1", "2", "3"]
    assert made["execution"]["threads"] == int(min(tried, key=tried.get))


def test_the_first_decision_after_a_rest_has_everything_to_encode(tiny_bundle, tiny_policy):
    shown = module.golden_shown(module.Bundle.load(tiny_bundle))
    new = module._all_new(shown)
    assert all(new.starts)
    assert {len(step.observation) for step in new.steps} == {3}
    found = module.measure(tiny_policy, new, 4)
    assert len(found.ms("encode.mic")) == len(found.ms("encode.instruction")) == 4
    assert np.isfinite(found.ms("total")).all()
