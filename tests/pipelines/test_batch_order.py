"""Rows of recordings side by side come out one recording after the other."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.pipelines import batch_order
from sensorimotor.pipelines.batch_order import InOrder


def batch(key, start, count):
    return pa.RecordBatch.from_pydict({"key": [key] * count, "step": list(range(start, start + count))})


def rows_of(batches):
    return [(row["key"], row["step"]) for one in batches for row in one.to_pylist()]


@given(lengths=st.lists(st.integers(0, 5), max_size=6), draws=st.randoms(use_true_random=False), spill=st.booleans())
def test_whatever_the_turns_rows_come_out_in_order(tmp_path_factory, lengths, draws, spill):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_order, "IN_MEMORY_BYTES", 0 if spill else 2**20)
        order = InOrder(iter(range(len(lengths))), tmp_path_factory.getbasetemp())
        left, out = dict(enumerate(lengths)), []
        while left:
            key = draws.choice(sorted(left))
            start = lengths[key] - left[key]
            count = min(2, left[key])
            left[key] -= count
            ended = left[key] == 0
            if ended:
                del left[key]
            out += order.add(key, batch(key, start, count), ended)
        assert rows_of(out) == [(key, step) for key, length in enumerate(lengths) for step in range(length)]


def test_the_first_recording_never_waits(tmp_path):
    order = InOrder(iter("ab"), tmp_path)
    assert rows_of(order.add("a", batch("a", 0, 2), False)) == [("a", 0), ("a", 1)]
    assert rows_of(order.add("b", batch("b", 0, 1), True)) == []
    assert rows_of(order.add("a", batch("a", 2, 1), True)) == [("a", 2), ("b", 0)]


def test_rows_that_are_too_many_wait_on_the_disk_where_nobody_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_order, "IN_MEMORY_BYTES", 100)
    order = InOrder(iter("ab"), tmp_path)
    list(order.add("a", batch("a", 0, 1), False))
    for start in range(0, 1000, 10):
        list(order.add("b", batch("b", start, 10), start == 990))
    assert order._waiting["b"]._memory == []
    assert list(tmp_path.iterdir()) == []
    assert rows_of(order.add("a", batch("a", 1, 1), True)) == [("a", 1), *(("b", step) for step in range(1000))]
