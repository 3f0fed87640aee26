"""Decisions as rows of a table: one a step, with what was seen, what is to be done, and how sure the policy is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.decision import Decision
from sensorimotor.libraries import library
from sensorimotor.models.signature import Signature

ROWS_AT_ONCE, BYTES_AT_ONCE = 4096, 8 * 2**20
"""A group of rows has so many, or is so large."""


class Row(NamedTuple):
    """A decision, and the step of an episode that it was made in."""

    id: str
    step: int
    time_s: float
    decision: Decision


def arrow() -> Any:
    """The `pyarrow` module.

    Raises:
        MissingExtraError: It is not installed.
    """
    return library("pyarrow", "pyarrow", "data", "keeping decisions")


class Columns:
    """The columns of a policy's decisions.

    Args:
        signature: Of the policy.
        embeddings: Whether they have the embeddings too.

    Attributes:
        schema: Their names and types, a `pyarrow.Schema`.
    """

    def __init__(self, signature: Signature, embeddings: bool = False):
        pa = arrow()
        self._names, self._embeddings = signature.names, embeddings
        match signature.action_space.space:
            case spaces.Discrete():
                action = pa.int64()
            case spaces.MultiBinary():
                action = pa.list_(pa.int8())
            case space:
                action = pa.list_(pa.from_numpy_dtype(space.dtype))
        numbers = pa.list_(pa.float32())
        self.schema = pa.schema(
            [
                ("id", pa.string()),
                ("step", pa.int64()),
                ("time_s", pa.float64()),
                ("action", action),
                ("executed", action),
                ("label", pa.string()),
                ("held", pa.bool_()),
                ("reason", pa.string()),
                ("confidence", pa.float32()),
                ("probabilities", numbers),
                *((f"{name}_present", pa.bool_()) for name in self._names),
                *((f"{name}_age_s", pa.float32()) for name in self._names),
                *([("embedding", numbers)] if embeddings else []),
            ]
        )

    def table(self, rows: Sequence[Row]) -> Any:
        """Some rows as a `pyarrow.RecordBatch`."""
        decisions = [row.decision for row in rows]
        columns: dict[str, list[Any]] = {
            "id": [row.id for row in rows],
            "step": [row.step for row in rows],
            "time_s": [row.time_s for row in rows],
            "action": [one.selected for one in decisions],
            "executed": [one.executed for one in decisions],
            "label": [one.label for one in decisions],
            "held": [one.held for one in decisions],
            "reason": ["; ".join(verdict.reason for verdict in one.verdicts) or None for one in decisions],
            "confidence": [one.confidence for one in decisions],
            "probabilities": [one.probabilities for one in decisions],
        }
        for name in self._names:
            reports = [one.inputs[name] for one in decisions]
            columns[f"{name}_present"] = [report.present for report in reports]
            columns[f"{name}_age_s"] = [report.age_s for report in reports]
        if self._embeddings:
            columns["embedding"] = [one.embedding for one in decisions]
        pa = arrow()
        arrays = [_array(pa, columns[field.name], field.type) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _array(pa: Any, values: list[Any], kind: Any) -> Any:
    """Values as an Arrow array; vectors through one array of numpy, which is many times as fast as one by one."""
    there = [value for value in values if value is not None]
    if not pa.types.is_list(kind) or not there:
        return pa.array(values, kind)
    lengths = [0 if value is None else np.size(value) for value in values]
    missing = pa.array([value is None for value in values])
    ends = pa.array(np.cumsum([0, *lengths]), pa.int32())
    flat = pa.array(np.concatenate([np.ravel(value) for value in there]), kind.value_type)
    return pa.ListArray.from_arrays(ends, flat, type=kind, mask=missing)


def in_groups(batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Rows that come a few at a time, a `pyarrow.RecordBatch` each, in tables that are worth writing at once."""
    pa = arrow()
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield pa.Table.from_batches(group, schema)
            group, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(group, schema)
