import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.clock import ManualClock
from sensorimotor.errors import UsageError
from sensorimotor.perception.mailbox import Mailbox, every, fifo, latest
from sensorimotor.perception.sensor import Sample


def sample(number: int, captured_s: float = 0.0) -> Sample:
    return Sample(number, round(captured_s * 1e9), number)


@given(st.lists(st.booleans(), max_size=40))
def test_latest_gives_the_newest_and_every_sample_is_given_or_counted(steps):
    box, put, taken = latest(), 0, []
    for is_put in steps:
        if is_put:
            box.put(sample(put))
            put += 1
        elif (got := box.take()) is not None:
            assert got.sequence == put - 1
            taken.append(got)
    left = len(box.take_all())
    assert len(taken) + left + box.losses.totals().get("replaced", 0) == put
    assert left <= 1


def test_every_sample_comes_in_order_and_a_fast_sensor_waits():
    box, numbers = every(limit=2), []
    filler = threading.Thread(target=lambda: [box.put(sample(number)) for number in range(50)])
    filler.start()
    while len(numbers) < 50:
        got = box.take(timeout_s=5)
        assert got is not None
        numbers.append(got.sequence)
    filler.join()
    assert numbers == list(range(50))
    assert box.losses.totals() == {}


def test_a_fifo_keeps_the_order_and_forgets_what_is_too_old():
    clock = ManualClock()
    box = fifo(0.5, clock)
    for number in range(4):
        box.put(sample(number, number * 0.2))
        clock.advance(0.2)
    assert [one.sequence for one in box.take_all()] == [2, 3]  # at 0.8 s, captured at 0.4 and 0.6 s
    assert box.losses.totals() == {"too old": 2}


def test_a_fifo_that_nobody_reads_does_not_grow():
    box = fifo(1e9, ManualClock(), limit=3)
    for number in range(10):
        box.put(sample(number))
    assert [one.sequence for one in box.take_all()] == [7, 8, 9]
    assert box.losses.totals() == {"replaced": 7}


def test_who_waits_is_woken_by_a_sample_and_by_the_end():
    box = latest()
    threading.Timer(0.01, box.put, [sample(7)]).start()
    assert box.wait(5)
    assert box.take(5).sequence == 7
    threading.Timer(0.01, box.close).start()
    assert box.take(5) is None
    assert not box.put(sample(8))


def test_a_sensor_that_waits_for_room_is_let_go_at_the_end():
    box = every(limit=1)
    box.put(sample(0))
    taken_in = []
    waiting = threading.Thread(target=lambda: taken_in.append(box.put(sample(1))))
    waiting.start()
    box.close()
    waiting.join(5)
    assert taken_in == [False]
    assert box.take().sequence == 0  # what was there is not lost


def test_a_mailbox_without_a_slot_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        Mailbox("latest", limit=0)
