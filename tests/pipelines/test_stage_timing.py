from itertools import count

import numpy as np
import pytest

from sensorimotor.actions.guard_rules import parse_guard_rules
from sensorimotor.errors import GuardError
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.shown import Shown
from sensorimotor.pipelines.stage_timing import TOTAL, Span, StageTimes, measure

MS = 1_000_000


@pytest.fixture
def ticks():
    """A clock that is a millisecond on whenever it is asked."""
    return count(0, MS).__next__


def shown(*observations, starts=None):
    steps = [Sensed(seen, {}, dict.fromkeys(seen, i)) for i, seen in enumerate(observations)]
    return Shown("a test", steps, starts or [True] + [False] * (len(steps) - 1))


def test_the_spans_of_a_decision_follow_one_another_without_gaps(fake, seen, ticks):
    (spans,) = measure(fake(), shown(seen), 1, clock_ns=ticks).decisions
    assert [span.stage for span in spans] == [
        *("prepare", "encode.camera", "prepare", "encode.mic", "prepare", "encode.instruction"),
        *("prepare", "encode.joints", "prepare", "core", "decide", "guards"),
    ]
    assert [span.start_ms for span in spans] == list(range(12))
    assert [span.ms for span in spans] == [1.0] * 12


def test_the_stages_add_up_to_the_total(fake, seen):
    times = measure(fake(), shown(seen), 50)
    together = np.sum([[span.ms for span in spans] for spans in times.decisions], 1)
    assert times.ms(TOTAL) == pytest.approx(together)
    assert times.stages == ("prepare", *(f"encode.{name}" for name in seen), "core", "decide", "guards")


def test_an_encoder_counts_only_where_it_had_something_new(fake, seen):
    same = Sensed(seen, {}, dict.fromkeys(seen, 7))
    times = measure(fake(), Shown("a test", [same, same, same, same], [True, False, True, False]), 8)
    assert len(times.ms("encode.camera")) == 4
    assert len(times.ms("core")) == len(times.ms(TOTAL)) == 8


def test_what_is_shown_is_shown_again_until_there_are_enough(fake, seen):
    policy = fake()
    assert len(measure(policy, shown(seen, seen, seen), 7).decisions) == 7
    assert len(policy.backend.encoded) == 7 * 4


def test_it_ends_when_its_time_is_over_but_not_before_there_is_one(fake, seen, ticks):
    assert len(measure(fake(), shown(seen), 1000, longest_s=0.1, clock_ns=ticks).decisions) in range(5, 10)
    assert len(measure(fake(), shown(seen), 1000, longest_s=0, clock_ns=ticks).decisions) == 1


def test_the_policy_that_is_timed_forgets_nothing_and_remembers_nothing(fake, seen):
    policy = fake()
    policy.act(seen)
    before = policy.memory()
    measure(policy, shown(seen), 5)
    assert np.array_equal(policy.memory(), before)


def test_rules_that_do_not_fit_are_refused(fake, seen):
    with pytest.raises(GuardError, match="fly"):
        measure(fake(), shown(seen), 1, rules=parse_guard_rules('allow = ["fly"]'))


def decisions(*of):
    return StageTimes(("prepare", "core"), tuple((Span("prepare", 0.0, a), Span("core", a, b)) for a, b in of))


def test_the_typical_decision_is_the_one_in_the_middle():
    assert decisions((1, 9), (1, 2), (1, 4)).typical() == (Span("prepare", 0.0, 1), Span("core", 1, 4))


def test_shares_say_where_the_time_of_some_decisions_went():
    times = decisions((1, 1), (1, 3), (3, 1))
    assert times.shares(np.array([False, True, False])) == {"prepare": 0.25, "core": 0.75}
    assert times.shares(np.array([True, True, True])) == {"prepare": 0.5, "core": 0.5}
