"""`sensorimotor run --replay`: a policy sees again what a trace says each decision saw, and must do the same again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.actions.decision import Decision
from sensorimotor.actions.guard_rules import GuardRules
from sensorimotor.actions.guards import Guarded, Guards
from sensorimotor.actions.plan import parse_following
from sensorimotor.errors import DataError, TraceError
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.recorded_run import RecordedRun, open_recording
from sensorimotor.pipelines.trace import TraceLine, read_trace

TOLERANCE = 1e-5
"""Vectors that differ by no more, relative to what was done where that is above 1, are the same: another processor adds
in another order. On the machine that wrote the trace they do not differ at all."""


@dataclass
class Retraced:
    """What became of the decisions of a trace.

    Attributes:
        decisions: How many there are.
        agree: Those whose actions were selected and executed again.
        differ: Those where one of them was another.
        not_recorded: Those that saw something that was not recorded, and all later ones of their episodes.
        largest_difference: Between two values of vectors.
        first_difference: `line`, `turn`, and what was `selected` and `executed` in the `trace` and `now`; None: there
            is none.
    """

    decisions: int = 0
    agree: int = 0
    differ: int = 0
    not_recorded: int = 0
    largest_difference: float = 0.0
    first_difference: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return asdict(self)


def retrace(policy: Policy, trace: Path, directory: Path) -> Retraced:
    """Replay the runs of a trace whose episodes were recorded.

    Nothing is sent anywhere. What cannot be had again is taken from the trace: that a stage failed, that the error
    budget was spent, that the stop was pressed.

    Args:
        policy: The one that ran; its memory is lost.
        trace: What it wrote.
        directory: Where it recorded to.

    Raises:
        TraceError: The trace is damaged, of another policy, or says too little.
        DataError: The recording is damaged, of other features or of another run, or has none of the decisions.
    """
    episodes = _episodes(trace)
    result, run = Retraced(), -1
    again: _Run | None = None
    for line in read_trace(trace):
        try:
            if line.kind == "header":
                run += 1
                again = _Run(policy, line.record, directory, episodes.get(run, {}))
            elif again and line.kind == "decision":
                _count(result, line, again.decide(line.record))
            elif again and line.record.get("what") == "episode":
                again.begin(int(line.record["stream"]))
            elif again and line.record.get("what") == "carried on":
                again.carried_on(line.record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceError(
                f"{trace}, line {line.number}: {type(error).__name__} {error}: it does not say what a replay needs; "
                "write the trace again with this version"
            ) from error
        except TraceError as error:
            raise TraceError(f"{trace}, line {line.number}: {error}") from error
    if not result.agree + result.differ:
        raise DataError(
            f"none of the {result.decisions} decisions of {trace} can be replayed: nothing was recorded, or the run "
            "was cut off before its episode was kept; name a trace and a recording of the same run"
        )
    return result


def _episodes(trace: Path) -> dict[int, dict[int, int]]:
    """Of each run of a trace: stream → number of the episode that it was recorded as."""
    found: dict[int, dict[int, int]] = {}
    run = -1
    for line in read_trace(trace):
        run += line.kind == "header"
        if line.record.get("what") == "recorded":
            stream, episode = line.record.get("stream"), line.record.get("episode")
            if not isinstance(stream, int) or not isinstance(episode, int):
                raise TraceError(f"{trace}, line {line.number}: it does not say which episode was recorded")
            found.setdefault(run, {})[stream] = episode
    return found


class _Run:
    """One run of a trace, done again."""

    def __init__(self, policy: Policy, header: Mapping[str, Any], directory: Path, episodes: Mapping[int, int]):
        if header["policy"] != policy.fingerprint:
            raise TraceError(
                f"this run is of another policy ({str(header['policy'])[:12]}…) than the one that is to do it again "
                f"({policy.fingerprint[:12]}…)"
            )
        self._policy, self._episodes = policy.follow(parse_following(header.get("follow", "1"))), episodes
        signature = policy.signature
        self._guards = Guards(
            GuardRules.model_validate(header["guards"]).model_copy(update={"stop_file": None}),
            signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in signature.inputs.items()},
            period_s=1 / float(header["rate_hz"]),
            where="the guards of the trace",
        )
        self._source: LeRobotSource | None = None
        if episodes:
            self._source = open_recording(directory, signature, list(header["sensors"]))
        self.begin(0)

    def begin(self, stream: int) -> None:
        """A new episode."""
        self._policy.reset()
        self._guards.reset()
        self._recorded: RecordedRun | None = None
        if self._source is not None and stream in self._episodes:
            self._recorded = RecordedRun(self._source, self._episodes[stream], self._policy.signature)

    def carried_on(self, record: Mapping[str, Any]) -> None:
        """What was executed when no decision came in time."""
        executed = record["executed"]
        self._guards.remember(np.array(executed, np.float32) if isinstance(executed, list) else None, record["at_ns"])

    def decide(self, record: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """What is selected and executed now; None: what was seen then is not known."""
        seen = {name: report for name, report in record["inputs"].items() if report["present"]}
        sequences = {name: int(report["sequence"]) for name, report in seen.items()}
        ages_s = {name: float(report["age_s"]) for name, report in seen.items()}
        values = None
        if self._recorded:
            values = self._recorded.observation(int(record["turn"]), int(record["at_ns"]), sequences)
        if values is None:
            self._recorded = None  # without it, the memory of all later ones is another
            return None
        if record["selected"] is None:  # it failed, or saw nothing
            return None, self._held(record, values).executed
        decision = self._policy.act(values, ages_s=ages_s, sequences=sequences)
        return decision.selected, self._guarded(record, decision, values, ages_s).executed

    def _guarded(
        self, record: Mapping[str, Any], decision: Decision, values: Mapping[str, Any], ages_s: Mapping[str, float]
    ) -> Guarded:
        if any(verdict["guard"] == "errors" for verdict in record["verdicts"]):
            return self._held(record, values)
        self._press(record)
        return self._guards.check(
            decision.selected,
            decision.label,
            decision.confidence,
            values,
            ages_s,
            int(record["at_ns"]),
            decision.verdicts,
        )

    def _held(self, record: Mapping[str, Any], values: Mapping[str, Any]) -> Guarded:
        self._press(record)
        first = record["verdicts"][0]
        return self._guards.hold(first["guard"], first["reason"], values, int(record["at_ns"]))

    def _press(self, record: Mapping[str, Any]) -> None:
        """Have the stop as it was."""
        stopped = [one["reason"] for one in record["verdicts"] if one["guard"] == "stop" and one["verdict"] == "stop"]
        self._guards.stop.reset()
        if stopped:
            self._guards.stop.trip(stopped[0])


def _count(result: Retraced, line: TraceLine, now: tuple[Any, Any] | None) -> None:
    """Compare what was selected and executed then and now."""
    result.decisions += 1
    if now is None:
        result.not_recorded += 1
        return
    then = line.record["selected"], line.record["executed"]
    differences = [_difference(one, other) for one, other in zip(then, now, strict=True)]
    if np.isfinite(differences).all():
        result.largest_difference = max(result.largest_difference, *differences)
    if max(differences) <= TOLERANCE:
        result.agree += 1
        return
    result.differ += 1
    if result.first_difference is None:
        result.first_difference = {
            "line": line.number,
            "turn": line.record["turn"],
            "trace": {"selected": then[0], "executed": then[1]},
            "now": {"selected": _plain(now[0]), "executed": _plain(now[1])},
        }


def _difference(then: Any, now: Any) -> float:
    """How far two actions are apart; 0: they are the same, infinity: they cannot be compared.

    >>> _difference([0.5, "nan"], np.array([0.5, np.nan])), _difference(1, 2), _difference(None, None)
    (0.0, inf, 0.0)
    """
    now = _plain(now)
    if not isinstance(then, list) or not isinstance(now, list):
        return 0.0 if then == now else np.inf
    before, after = np.array(then, np.float64), np.array(now, np.float64)
    if before.shape != after.shape:
        return np.inf
    if np.array_equal(before, after, equal_nan=True):
        return 0.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(before - after) / np.maximum(1.0, np.abs(before))
    apart = np.where((before == after) | (np.isnan(before) & np.isnan(after)), 0.0, apart)
    return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max())


def _plain(action: Any) -> Any:
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action
