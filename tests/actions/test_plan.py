import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.actions.plan import Plans, RecedingHorizon, TemporalEnsemble, parse_following
from sensorimotor.errors import UsageError


def follow(following, horizon, steps=20):
    """What is done, and how old its plan is, where the plan made at step `s` says `100 * s + t` for step `t`."""
    plans, done = Plans(), []
    for step in range(steps):
        plan = 100.0 * step + np.arange(step, step + horizon)[:, None]
        plans = plans.add(step, plan, following)
        action, age = plans.action(step, following)
        done.append((float(action[0]), age))
    return done


@given(steps=st.integers(1, 12), horizon=st.integers(1, 12))
def test_a_plan_is_followed_for_so_many_steps_and_then_the_newest_is_taken(steps, horizon):
    every = min(steps, horizon)
    assert follow(RecedingHorizon(steps), horizon) == [
        (100.0 * (step - step % every) + step, step % every) for step in range(20)
    ]


def test_all_plans_that_reach_a_step_have_a_say_in_it():
    done = follow(TemporalEnsemble(decay=0.0), horizon=3)
    assert done[:2] == [pytest.approx((0.0, 0)), pytest.approx((np.mean([1, 101]), 1))]
    assert done[9] == pytest.approx((np.mean([709, 809, 909]), 2))


def test_the_oldest_plan_counts_most():
    weights = np.exp(-0.5 * np.arange(3))
    done = follow(TemporalEnsemble(decay=0.5), horizon=3)
    assert done[9][0] == pytest.approx((weights / weights.sum()) @ [709, 809, 909])


def test_what_is_done_has_the_type_of_the_plan():
    following = TemporalEnsemble()
    plans = Plans().add(0, np.zeros((4, 2), np.float32), following).add(1, np.ones((4, 2), np.float32), following)
    action, _ = plans.action(1, following)
    assert (action.dtype, action.shape) == (np.float32, (2,))


def test_nothing_that_is_over_is_kept():
    for following in (RecedingHorizon(3), TemporalEnsemble()):
        plans = Plans()
        for step in range(50):
            plans = plans.add(step, np.zeros((4, 1)), following)
        assert len(plans.made) <= 4


def test_a_way_to_follow_that_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="at least 1 step, not for 0"):
        RecedingHorizon(0)
    for decay in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="finite and not negative"):
            TemporalEnsemble(decay)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "all", "²"])
def test_what_is_no_way_to_follow_plans_is_refused(text):
    with pytest.raises(UsageError, match="followed for"):
        parse_following(text)


def test_only_plans_that_reach_a_step_say_anything_of_it():
    plans = Plans(((0, np.zeros((2, 1))), (1, np.ones((3, 1)))))
    assert [len(plans.reaching(step).made) for step in (1, 2, 3, 4)] == [2, 1, 1, 0]
