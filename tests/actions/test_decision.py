import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from sensorimotor.actions.decision import Alternative, Decision, GuardVerdict, InputReport

DECISION = Decision(
    policy="f00d",
    stream="main",
    step=3,
    selected=2,
    executed=0,
    label="wait",
    probabilities=np.array([0.25, 0.15, 0.6], np.float32),
    confidence=0.6000001,
    novelty=None,
    inputs={"camera": InputReport(True, 0.125, 7, cached=True), "mic": InputReport(False)},
    verdicts=(GuardVerdict("critical", "hold", "mic missing"),),
    timings_ms={"core": 0.123456, "total": 1.0},
    labels=("wait", "left", "right"),
)


def test_a_decision_is_a_record_that_json_can_hold():
    record = DECISION.to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["policy"] == "f00d"
    assert (record["stream"], record["step"]) == ("main", 3)
    assert (record["selected"], record["executed"], record["label"]) == (2, 0, "wait")
    assert record["inputs"] == {
        "camera": {"present": True, "age_s": 0.125, "sequence": 7, "cached": True},
        "mic": {"present": False, "age_s": None, "sequence": None, "cached": False},
    }
    assert record["verdicts"] == [{"guard": "critical", "verdict": "hold", "reason": "mic missing"}]
    assert record["timings_ms"] == {"core": 0.1235, "total": 1.0}
    assert record["confidence"] == 0.6
    assert record["novelty"] is None


def test_the_record_holds_the_best_alternatives_in_order():
    best = DECISION.to_json()["alternatives"]
    assert [(a["action"], a["label"]) for a in best] == [(2, "right"), (0, "wait"), (1, "left")]
    assert [a["probability"] for a in best] == pytest.approx([0.6, 0.25, 0.15])


@pytest.mark.parametrize("action", [np.int64(2), np.array([0.5, 1.0], np.float32), np.array(1), [1.0], None])
def test_actions_of_any_kind_are_recorded_as_plain_json(action):
    record = replace(DECISION, selected=action, executed=action).to_json()
    plain = action.tolist() if hasattr(action, "tolist") else action
    assert json.loads(json.dumps(record))["selected"] == plain
    assert json.loads(json.dumps(record))["executed"] == plain


def test_a_decision_without_probabilities_has_no_alternatives_and_no_confidence():
    decision = replace(DECISION, probabilities=None, confidence=None)
    assert decision.alternatives() == []
    assert decision.to_json()["alternatives"] == []
    assert decision.to_json()["confidence"] is None


@pytest.mark.parametrize(("k", "count"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_as_many_alternatives_as_asked_for_and_no_more_than_there_are(k, count):
    assert len(DECISION.alternatives(k)) == count


def test_equal_alternatives_keep_the_order_of_the_choices():
    decision = replace(DECISION, probabilities=np.full(3, 1 / 3, np.float32), labels=())
    assert [a.action for a in decision.alternatives()] == [0, 1, 2]
    assert decision.alternatives(1) == [Alternative(0, "0", float(np.float32(1 / 3)))]


@pytest.mark.parametrize(
    ("verdicts", "held"),
    [
        ((), False),
        (("pass",), False),
        (("pass", "clip"), False),
        (("confirm",), False),
        (("hold",), True),
        (("pass", "deny"), True),
        (("stop", "pass"), True),
    ],
)
def test_a_decision_is_held_when_any_guard_put_the_safe_action_in_its_place(verdicts, held):
    decision = replace(DECISION, verdicts=tuple(GuardVerdict("guard", verdict) for verdict in verdicts))
    assert decision.held is held


def test_a_decision_cannot_be_changed_afterwards():
    with pytest.raises(FrozenInstanceError):
        DECISION.executed = 1
