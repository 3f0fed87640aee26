"""What the columns of decisions are."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sensorimotor.actions.space import Box, MultiBinary
from sensorimotor.models.backend import CoreOutput
from sensorimotor.models.signature import ActuatorHold, Constant
from sensorimotor.pipelines.batch_rows import Columns, Row, in_groups


def table(policy, observations, **options):
    decisions = [policy.act(one, ages_s={"joints": 0.5} if "joints" in one else {}) for one in observations]
    rows = [Row(f"r{at}", at, at / 10, decision) for at, decision in enumerate(decisions)]
    made = Columns(policy.signature, **options).table(rows)
    made.validate(full=True)
    return made.to_pylist(), decisions


def test_a_row_says_what_was_decided_how_surely_and_on_what(fake, seen):
    (row, held), (decision, _) = table(fake(), [seen, {"instruction": "go"}])
    assert (row["id"], row["step"], row["time_s"]) == ("r0", 0, 0.0)
    assert (row["action"], row["executed"], row["label"]) == (decision.selected, decision.executed, decision.label)
    assert (row["held"], row["reason"]) == (False, None)
    assert row["confidence"] == pytest.approx(decision.confidence)
    assert row["probabilities"] == pytest.approx(decision.probabilities.tolist())
    assert (row["joints_present"], row["joints_age_s"]) == (True, 0.5)
    assert "embedding" not in row
    assert (held["held"], held["executed"], held["label"], held["reason"]) == (True, 0, "wait", "camera is missing")
    assert (held["camera_present"], held["camera_age_s"]) == (False, None)


def test_embeddings_are_kept_on_request(fake, seen):
    (row,), (decision,) = table(fake(), [seen], embeddings=True)
    assert row["embedding"] == decision.embedding.tolist()


def test_vectors_are_lists_and_have_no_probabilities(fake, seen):
    signature = replace(
        fake().signature,
        action_space=Box([-1, -1], [1, 1], ("x", "y"), ("m", "m")),
        safe_action=ActuatorHold(),
        horizon=2,
    )

    def plan(output):
        return CoreOutput(np.tile(output.memory[:, None], (1, 2, 1)), output.embedding, output.memory)

    (row, held), (decision, _) = table(fake(signature, spoil=plan), [seen, {"instruction": "go"}])
    assert row["action"] == pytest.approx(decision.selected.tolist())
    assert (row["probabilities"], row["confidence"]) == (None, None)
    assert (held["executed"], held["label"]) == (None, "hold")
    assert held["action"] is not None


def test_switches_are_lists_of_zeros_and_ones(fake, seen):
    switches = MultiBinary(3, ("lamp", "fan", "door"))
    signature = replace(fake().signature, action_space=switches, safe_action=Constant([0, 0, 1]))
    (row, held), _ = table(fake(signature), [seen, {"instruction": "go"}])
    assert set(row["action"]) <= {0, 1}
    assert len(row["probabilities"]) == 3
    assert held["executed"] == [0, 0, 1]


def test_no_rows_are_a_table_too(fake):
    columns = Columns(fake().signature, embeddings=True)
    assert len(columns.table([])) == 0


def test_rows_that_come_a_few_at_a_time_are_grouped(fake):
    schema = pa.schema([("n", pa.int64())])
    batches = [pa.RecordBatch.from_pydict({"n": list(range(1000))}, schema) for _ in range(10)]
    groups = list(in_groups(iter(batches), schema))
    assert [len(group) for group in groups] == [5000, 5000]
    assert list(in_groups(iter([]), schema)) == []
