"""What a running policy shows to Prometheus: ages, durations, decisions, drops, holds, and its state."""

from collections.abc import Iterable
from typing import Any

from sensorimotor.actions.decision import Decision
from sensorimotor.errors import MissingExtraError
from sensorimotor.pipelines.health import Health, State

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of ages and durations: fine where a frame (1/30 s) and a period (1/10 s) lie."""

FINE_BUCKETS_S = (0.0001, 0.00025, 0.0005, *BUCKETS_S)
"""Of stages, of which some take less than a thousandth of a second."""


class Metrics:
    """Counters and histograms of one running policy, in a registry of its own.

    Args:
        health: Whose state is shown.

    Raises:
        MissingExtraError: prometheus-client is not installed.
    """

    def __init__(self, health: Health):
        prometheus = _library()
        self._health, self._render = health, prometheus.generate_latest
        self.content_type: str = prometheus.CONTENT_TYPE_LATEST
        self._registry = registry = prometheus.CollectorRegistry()

        def counter(name: str, says: str, *labels: str) -> Any:
            return prometheus.Counter(f"sensorimotor_{name}", says, labels, registry=registry)

        def histogram(name: str, says: str, label: str, buckets: Iterable[float]) -> Any:
            return prometheus.Histogram(f"sensorimotor_{name}", says, [label], registry=registry, buckets=buckets)

        def gauge(name: str, says: str, *labels: str) -> Any:
            return prometheus.Gauge(f"sensorimotor_{name}", says, labels, registry=registry)

        self._age = histogram("input_age_seconds", "Age of an input when it was decided on", "input", BUCKETS_S)
        self._stage = histogram("stage_seconds", "Duration of a stage", "stage", FINE_BUCKETS_S)
        self._decisions = counter("decisions", "Decisions made, held ones included")
        self._absent = counter("input_absent", "Decisions made without an input", "input")
        self._verdicts = counter("guard_verdicts", "Decisions that a guard did not let pass", "guard", "verdict")
        self._missed = counter("deadline_misses", "Decisions that came after their deadline")
        self._dropped = counter("drops", "Samples that were not used", "input", "cause")
        self._errors = counter("errors", "Stages that failed", "stage")
        self._actuator = counter("actuator_failures", "Actions that were not delivered", "cause")
        self._state = gauge("state", "1 for the state it is in", "state")
        since = gauge("seconds_since_decision", "Time since the last decision; NaN before the first")
        since.set_function(self._since_decision_s)

    def decided(self, decision: Decision) -> None:
        """Count a decision, as it went to the actuator: with the verdicts of all guards."""
        self._decisions.inc()
        for name, report in decision.inputs.items():
            if report.present and report.age_s is not None:
                self._age.labels(name).observe(report.age_s)
            elif not report.present:
                self._absent.labels(name).inc()
        for stage, ms in decision.timings_ms.items():
            self._stage.labels(stage).observe(ms / 1e3)
        for verdict in decision.verdicts:
            if verdict.verdict != "pass":
                self._verdicts.labels(verdict.guard, verdict.verdict).inc()

    def took(self, stage: str, durations_s: Iterable[float]) -> None:
        """Note how long a stage took that decisions do not tell of, such as `actuate` (s)."""
        for duration_s in durations_s:
            self._stage.labels(stage).observe(duration_s)

    def missed_deadline(self, count: int = 1) -> None:
        """Count decisions that came too late."""
        self._missed.inc(count)

    def dropped(self, name: str, cause: str, count: int = 1) -> None:
        """Count samples of an input that were not used."""
        self._dropped.labels(name, cause).inc(count)

    def failed(self, stage: str) -> None:
        """Count a stage that raised."""
        self._errors.labels(stage).inc()

    def not_delivered(self, cause: str, count: int = 1) -> None:
        """Count actions that did not reach the actuator: `failed`, `expired`, `replaced` or `waited`."""
        self._actuator.labels(cause).inc(count)

    def render(self) -> bytes:
        """All of it in the text form of Prometheus, as of now."""
        now = self._health.report().state
        for state in State:
            self._state.labels(str(state)).set(state is now)
        return self._render(self._registry)

    def _since_decision_s(self) -> float:
        since_s = self._health.report().since_decision_s
        return float("nan") if since_s is None else since_s


def _library() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise MissingExtraError("prometheus-client", "live", "serving metrics") from error
    return prometheus_client
