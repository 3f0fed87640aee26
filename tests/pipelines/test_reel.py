"""Recordings in simulated time."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import SensorError
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import State
from sensorimotor.perception.sensor import Losses, Sample, StreamBroken, StreamEnded
from sensorimotor.pipelines.reel import Reel, observed_now, turns_ns


class Recording:
    """Gives samples at `times_s`, and raises `end` after them."""

    def __init__(self, times_s, end):
        self.losses, self._left, self._end = Losses(), list(enumerate(times_s)), end

    def read(self, timeout_s):
        if not self._left:
            raise self._end
        number, time_s = self._left.pop(0)
        return Sample(number, 99, number, time_s)


@given(times=st.lists(st.integers(0, 30), max_size=20), turns=st.integers(1, 12))
def test_every_sample_comes_once_when_its_time_has_come(times, turns):
    reel, came = Reel(Recording([tick / 10 for tick in times], StreamEnded("over"))), []
    rising = np.maximum.accumulate([0, *times])[1:]  # time does not go back
    for turn in range(turns):
        came += [sample.value for sample in reel.until(turn * 10**8)]
        assert came == [number for number, tick in enumerate(rising) if tick <= turn]
    assert reel.ended == (len(came) == len(times))


def test_the_end_of_a_recording_and_damage_are_told_apart():
    for end, broken in ((StreamEnded("over"), False), (SensorError("closed"), False), (StreamBroken("damaged"), True)):
        reel = Reel(Recording([0.0], end))
        assert not reel.ended
        assert [sample.value for sample in reel.until(0)] == [0]
        assert reel.ended
        assert (reel.broken is end) == broken
        assert reel.told() == [str(end)]


def test_turns_are_not_late_even_after_days():
    assert next(islice(turns_ns(30.0), 30 * 86_400, None)) == 86_400 * 10**9


def test_what_is_too_old_is_left_out_unless_it_is_critical():
    inputs = {"a": State(size=1, max_age_s=0.5), "b": State(size=1, max_age_s=0.5, critical=True)}
    buffers = Buffers(inputs)
    for name in inputs:
        buffers.feed(name, np.zeros(1), 0.0)
    assert set(observed_now(buffers, inputs, 0.5).observation) == {"a", "b"}
    late = observed_now(buffers, inputs, 1.0)
    assert (late.ages_s, late.sequences) == ({"b": 1.0}, {"b": 0})
