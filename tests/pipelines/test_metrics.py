import sys

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.clock import ManualClock
from sensorimotor.errors import MissingExtraError
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.metrics import Metrics

DECISION = Decision(
    policy="f00d",
    stream="main",
    step=3,
    selected=1,
    executed=0,
    label="wait",
    probabilities=np.array([0.25, 0.75], np.float32),
    confidence=0.75,
    novelty=None,
    inputs={"camera": InputReport(True, 0.03, 7), "mic": InputReport(False)},
    verdicts=(GuardVerdict("finite", "pass"), GuardVerdict("staleness", "hold", "mic is missing")),
    timings_ms={"encode.camera": 4.0, "core": 0.3},
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return Health(clock, 0.1)


@pytest.fixture
def metrics(health):
    return Metrics(health)


def samples(metrics):
    """Name and labels → value of everything that is shown."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name.removeprefix("sensorimotor_"), *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_decision_is_counted_with_its_ages_stages_and_holds(metrics):
    metrics.decided(DECISION)
    metrics.decided(DECISION)
    shown = samples(metrics)
    assert shown["decisions_total",] == 2
    assert shown["input_age_seconds_count", ("input", "camera")] == 2
    assert shown["input_age_seconds_sum", ("input", "camera")] == pytest.approx(0.06)
    assert shown["input_age_seconds_bucket", ("input", "camera"), ("le", "0.02")] == 0
    assert shown["input_age_seconds_bucket", ("input", "camera"), ("le", "0.035")] == 2
    assert shown["input_absent_total", ("input", "mic")] == 2
    assert shown["stage_seconds_sum", ("stage", "encode.camera")] == pytest.approx(0.008)
    assert shown["stage_seconds_bucket", ("le", "0.0005"), ("stage", "core")] == 2
    assert shown["guard_verdicts_total", ("guard", "staleness"), ("verdict", "hold")] == 2
    assert ("guard_verdicts_total", ("guard", "finite"), ("verdict", "pass")) not in shown
    assert ("input_age_seconds_count", ("input", "mic")) not in shown


def test_what_goes_wrong_is_counted_by_cause(metrics):
    metrics.missed_deadline()
    metrics.missed_deadline(2)
    metrics.dropped("camera", "replaced", 5)
    metrics.dropped("camera", "too old")
    metrics.failed("encode.camera")
    metrics.not_delivered("expired")
    metrics.took("actuate", [0.001, 0.003])
    shown = samples(metrics)
    assert shown["deadline_misses_total",] == 3
    assert shown["drops_total", ("cause", "replaced"), ("input", "camera")] == 5
    assert shown["drops_total", ("cause", "too old"), ("input", "camera")] == 1
    assert shown["errors_total", ("stage", "encode.camera")] == 1
    assert shown["actuator_failures_total", ("cause", "expired")] == 1
    assert shown["stage_seconds_count", ("stage", "actuate")] == 2


def test_exactly_the_state_it_is_in_is_shown_as_one(metrics, health, clock):
    def ones():
        return [key[1][1] for key, value in samples(metrics).items() if key[0] == "state" and value == 1]

    assert ones() == ["holding"]
    health.decided()
    assert ones() == ["running"]
    clock.advance(5)
    assert ones() == ["stalled"]
    assert samples(metrics)["seconds_since_decision",] == 5.0


def test_before_the_first_decision_the_time_since_it_is_no_number(metrics):
    assert np.isnan(samples(metrics)["seconds_since_decision",])


def test_two_policies_in_one_process_do_not_share_their_counts(metrics, health):
    metrics.decided(DECISION)
    assert samples(Metrics(health))["decisions_total",] == 0


def test_without_the_library_it_is_said_how_to_get_it(health, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"serving metrics needs prometheus-client.*sensorimotor\[live\]"):
        Metrics(health)
