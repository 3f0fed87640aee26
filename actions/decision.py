"""One decision as a record: what was done, how sure the policy was, on what data, and how long it took."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

Verdict = Literal["pass", "clip", "hold", "deny", "confirm", "stop"]


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """What one guard said of the selected action, and why where it did not let it pass."""

    guard: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InputReport:
    """What a decision saw of one input.

    Attributes:
        present: Whether there was a value.
        age_s: The age of its newest sample (s); None where absent.
        sequence: The number its sensor gave it; None where the caller gave none.
        cached: Whether its tokens were still known, so that no encoder ran.
    """

    present: bool
    age_s: float | None = None
    sequence: int | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Alternative:
    """One choice and its calibrated probability."""

    action: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One action with its reasons.

    Attributes:
        policy: Fingerprint of the bundle that decided.
        stream: The stream it decided for; each has its own memory.
        step: The how-manieth decision since that stream's last reset, from 0.
        selected: The action the network chose.
        executed: The action to carry out: `selected`, or the safe action where a guard held.
        label: The name of the executed action; where a guard held, that of the safe action.
        probabilities: Calibrated, `(choices,)` float32; None where the action space has none.
        confidence: Probability of the selected action, whether or not it was executed; None where not defined.
        novelty: How foreign the observation is; None where the policy cannot tell.
        inputs: What it saw of each input.
        verdicts: What the guards said.
        timings_ms: Duration of each stage, `encode.NAME`, `core` and `total` (ms). A row of a batch carries the
            time of its whole batch.
        labels: Names of the choices.
        parameters: What the head gave, float32: logits, or a plan `(horizon, size)`.
        plan_age_s: Age of the oldest plan that `selected` comes from (s); None where nothing is planned.
        embedding: What all that was seen came to, float32 `(dim,)`; None where nothing was.
    """

    policy: str
    stream: str
    step: int
    selected: Any
    executed: Any
    label: str
    probabilities: np.ndarray | None
    confidence: float | None
    novelty: float | None
    inputs: dict[str, InputReport]
    verdicts: tuple[GuardVerdict, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    parameters: np.ndarray | None = None
    plan_age_s: float | None = None
    embedding: np.ndarray | None = None

    @property
    def held(self) -> bool:
        """Whether a guard put the safe action in place of the selected one."""
        return any(verdict.verdict in ("hold", "deny", "stop") for verdict in self.verdicts)

    def alternatives(self, k: int = 3) -> list[Alternative]:
        """The `k` most probable choices or switches, best first."""
        if self.probabilities is None:
            return []
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        names = self.labels or tuple(str(i) for i in range(len(self.probabilities)))
        return [Alternative(int(i), names[i], float(self.probabilities[i])) for i in best]

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON types."""
        return {
            "policy": self.policy,
            "stream": self.stream,
            "step": self.step,
            "selected": _plain(self.selected),
            "executed": _plain(self.executed),
            "label": self.label,
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "novelty": self.novelty,
            "plan_age_s": self.plan_age_s,
            "alternatives": [
                {"action": a.action, "label": a.label, "probability": round(a.probability, 6)}
                for a in self.alternatives()
            ],
            "inputs": {name: asdict(report) for name, report in self.inputs.items()},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "timings_ms": {stage: round(ms, 4) for stage, ms in self.timings_ms.items()},
        }


def _plain(action: Any) -> Any:
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action
