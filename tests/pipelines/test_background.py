"""Work for another thread: in order, bounded, and nobody waits who hands it over."""

import threading

import pytest

from sensorimotor.pipelines.background import Background

WAIT_S = 20.0


@pytest.fixture
def busy():
    """A worker that is busy until `go_on` is set."""
    worker = Background("test", 1000)
    worker.go_on = threading.Event()
    worker.offer(0, lambda: worker.go_on.wait(WAIT_S))
    yield worker
    worker.go_on.set()
    worker.close(WAIT_S)


def test_work_is_done_in_order_and_before_it_ends(busy):
    done = []
    for number in range(5):
        assert busy.offer(1, lambda number=number: done.append(number))
    busy.first(lambda: done.append("first"))
    busy.go_on.set()
    assert busy.close(WAIT_S)
    assert done == ["first", 0, 1, 2, 3, 4]
    assert busy.waiting_bytes == 0


def test_what_waits_is_bounded_and_what_weighs_nothing_is_always_taken(busy):
    taken = [busy.offer(300, lambda: None) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert busy.offer(300, lambda: None, limit_bytes=2000)
    assert busy.waiting_bytes == 1200
    assert busy.offer(0, lambda: None)


def test_what_is_done_makes_room(busy):
    assert busy.offer(1000, lambda: None)
    assert not busy.offer(1000, lambda: None)
    done = threading.Event()
    busy.first(lambda: None)
    busy.offer(0, done.set)
    busy.go_on.set()
    assert done.wait(WAIT_S)
    assert busy.offer(1000, lambda: None)


def test_work_that_does_not_end_is_left_behind(busy):
    assert not busy.close(0.01)
