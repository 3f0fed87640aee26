"""Rows of recordings side by side come out one recording after the other."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.pipelines import batch_order
from sensorimotor.pipelines.batch_order import InOrder


def table(rows):
    keys, steps = zip(*rows, strict=True)
    return pa.RecordBatch.from_pydict({"key": list(keys), "step": list(steps)})


def rows_of(key, start, count):
    return [(key, step) for step in range(start, start + count)]


def out_of(tables):
    return [(row["key"], row["step"]) for one in tables for row in one.to_pylist()]


@given(
    lengths=st.lists(st.integers(0, 9), max_size=6),
    draws=st.randoms(use_true_random=False),
    at_once=st.sampled_from([1, 3, 100]),
    spill=st.booleans(),
)
def test_whatever_the_turns_rows_come_out_in_order(tmp_path_factory, lengths, draws, at_once, spill):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_order, "AT_ONCE", at_once)
        patch.setattr(batch_order, "IN_MEMORY_BYTES", 0 if spill else 2**20)
        order = InOrder(iter(range(len(lengths))), table, tmp_path_factory.getbasetemp())
        left, tables = dict(enumerate(lengths)), []
        while left:
            key = draws.choice(sorted(left))
            count, start = min(2, left[key]), lengths[key] - left[key]
            left[key] -= count
            tables += order.add(key, rows_of(key, start, count), left[key] == 0)
            if left[key] == 0:
                del left[key]
        tables += order.rest()
        assert out_of(tables) == [(key, step) for key, length in enumerate(lengths) for step in range(length)]


def test_what_is_a_table_does_not_depend_on_whose_turn_it_was_while_all_is_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_order, "AT_ONCE", 4)
    order = InOrder(iter("ab"), table, tmp_path)
    sizes = [len(one) for start in range(0, 9, 3) for one in order.add("a", rows_of("a", start, 3), start == 6)]
    assert sizes == [6]
    assert [len(one) for one in order.rest()] == [3]


def test_rows_that_are_too_many_wait_on_the_disk_where_nobody_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_order, "AT_ONCE", 10)
    monkeypatch.setattr(batch_order, "IN_MEMORY_BYTES", 100)
    order = InOrder(iter("ab"), table, tmp_path)
    for start in range(0, 1005, 5):
        assert list(order.add("b", rows_of("b", start, 5), start == 1000)) == []
    waiting = order._waiting["b"]
    assert (waiting._memory, len(waiting.rows), waiting.tables) == ([], 5, 100)
    assert list(tmp_path.iterdir()) == []
    tables = [*order.add("a", rows_of("a", 0, 1), True), *order.rest()]
    assert out_of(tables) == [("a", 0), *rows_of("b", 0, 1005)]
