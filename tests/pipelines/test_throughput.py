import numpy as np
import pytest

from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines import throughput as module
from sensorimotor.pipelines.shown import Shown
from sensorimotor.pipelines.throughput import Batch, knee, throughput


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_S", 0.0)


def shown(seen, steps=4):
    return Shown(
        "a test", [Sensed(seen, {}, dict.fromkeys(seen, i)) for i in range(steps)], [True] + [False] * (steps - 1)
    )


def test_each_size_is_tried_the_smallest_first(fake, seen):
    done = []
    found = throughput(fake(), shown(seen), (4, 1, 2, 4), done.append)
    assert [one.rows for one in found] == [1, 2, 4]
    assert done == [1, 1, 1]
    assert all(len(one.ms) == module.LEAST and one.rows_s > 0 and one.resident_mb > 1 for one in found)


def test_there_may_be_more_rows_than_steps(fake, seen):
    policy = fake()
    throughput(policy, shown(seen), (9,))
    assert ("camera", 9) in policy.backend.encoded


def test_a_row_that_begins_an_episode_forgets_only_its_own_stream(fake, seen):
    policy = fake()
    throughput(policy, shown(seen), (4,))
    assert {rows for _, rows in policy.backend.encoded} == {4}, "numbers tell every step of every row to be new"


def batches(**rows_s):
    return [Batch(int(rows[1:]), np.array([int(rows[1:]) * 1e3 / speed]), 1.0) for rows, speed in rows_s.items()]


def test_rows_a_second_count_every_batch_the_slow_ones_too():
    assert Batch(10, np.array([10.0, 10.0, 80.0]), 1.0).rows_s == pytest.approx(300)


def test_the_knee_is_the_smallest_batch_that_is_nearly_as_good_as_any():
    assert knee(batches(_1=100, _2=150, _4=190, _8=200, _16=205)) == 4
    assert knee(batches(_1=200, _2=100)) == 1


def test_of_one_size_there_is_no_knee():
    assert knee(batches(_8=100)) is None
    assert knee([]) is None
