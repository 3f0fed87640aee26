import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sensorimotor.actions.decision import GuardVerdict
from sensorimotor.actions.guard_rules import parse_guard_rules
from sensorimotor.actions.guards import Guards
from sensorimotor.actions.space import ActionSpace, Box, Discrete, MultiBinary
from sensorimotor.errors import GuardError

ARM = Box([-1, 0], [1, 2], ("lift", "grip"), ("m", ""))
WALK = Discrete(3, ("wait", "left", "right"))
LAMPS = MultiBinary(3, ("red", "green", "blue"))
MAX_AGE_S = {"camera": 1.0, "joints": 0.5}
PERIOD_NS = 100_000_000
SECOND_NS = 1_000_000_000
ARM_RULES = """
limits.lift = { low = -0.5, high = 0.5 }
rate = { lift = 1.0, grip = 0.25 }
"""


def held(_present):
    return None, "hold"


def still(_present):
    return np.zeros(2, np.float32), "hold"


def where_it_is(present):
    return present.get("joints"), "hold"


def wait(_present):
    return 0, "wait"


def dark(_present):
    return np.zeros(3, np.int8), "hold"


def guards(text="", space=ARM, safe=still):
    return Guards(parse_guard_rules(text), space, safe, max_age_s=MAX_AGE_S, period_s=0.1, where="guards.toml")


def check(guards, selected, *, label="as selected", confidence=0.9, present=None, ages_s=None, now_ns=0, earlier=()):
    present = {"camera": 1, "joints": np.zeros(2, np.float32)} if present is None else present
    return guards.check(selected, label, confidence, present, ages_s or {}, now_ns, earlier)


def said(guarded):
    return {verdict.guard: verdict.verdict for verdict in guarded.verdicts if verdict.verdict != "pass"}


def reason(guarded, guard):
    return next(verdict.reason for verdict in guarded.verdicts if verdict.guard == guard)


def vector(*values):
    return np.array(values, np.float32)


# What is selected, whatever it is.


@pytest.mark.parametrize(
    ("space", "safe", "selected"),
    [(ARM, still, vector(0.5, 1)), (WALK, wait, 2), (LAMPS, dark, np.array([0, 1, 1], np.int8))],
)
def test_an_action_that_no_guard_minds_is_executed_as_it_was_selected(space, safe, selected):
    guarded = check(guards(space=space, safe=safe), selected)
    np.testing.assert_array_equal(guarded.executed, selected)
    assert guarded.label == "as selected"
    assert [verdict.guard for verdict in guarded.verdicts] == ["finite", "limits", "stop"]
    assert said(guarded) == {}


@pytest.mark.parametrize(
    ("space", "safe", "selected"),
    [
        (ARM, still, vector(np.nan, 1)),
        (ARM, still, vector(0, np.inf)),
        (ARM, still, vector(0, -np.inf)),
        (ARM, still, vector(0)),
        (ARM, still, np.zeros((1, 2), np.float32)),
        (ARM, still, None),
        (ARM, still, "up"),
        (ARM, still, [[0], [0, 1]]),
        (ARM, still, [1j, 0]),
        (ARM, still, [10**400, 0]),
        (WALK, wait, 3),
        (WALK, wait, -1),
        (WALK, wait, 1.0),
        (WALK, wait, float("nan")),
        (WALK, wait, None),
        (LAMPS, dark, np.array([0, 2, 0])),
        (LAMPS, dark, np.array([0, np.nan, 0])),
        (LAMPS, dark, np.array([0, 1])),
    ],
)
def test_what_is_no_finite_action_of_the_policy_makes_it_hold(space, safe, selected):
    guarded = check(guards(space=space, safe=safe), selected)
    np.testing.assert_array_equal(guarded.executed, safe({})[0])
    assert guarded.label == safe({})[1]
    assert said(guarded) == {"finite": "hold"}
    assert str(space.space) in reason(guarded, "finite")


def test_what_lies_beyond_a_limit_is_clipped_and_named_anew():
    guarded = check(guards("limits.lift.high = 0.5"), vector(0.75, 3))
    assert guarded.executed.tolist() == [0.5, 2.0]
    assert guarded.executed.dtype == np.float32
    assert said(guarded) == {"limits": "clip"}
    assert reason(guarded, "limits") == "lift 0.75 > 0.5, grip 3 > 2"
    assert guarded.label == "lift 0.5 m, grip 2"


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_number_that_is_too_large_for_the_actions_type_never_becomes_infinite(value):
    guarded = check(guards(space=Box([-np.inf, 0], [np.inf, 1], ("x", "y"))), np.array([value, 0]))
    assert np.isfinite(guarded.executed).all()
    assert said(guarded) == {"limits": "clip"}


def test_a_limit_that_its_type_cannot_say_exactly_is_rounded_inward():
    executed = check(guards("limits.lift = { low = -0.1, high = 0.1 }"), vector(1, 0)).executed
    assert 0.0999 < float(executed[0]) <= 0.1
    executed = check(guards("limits.lift = { low = -0.1, high = 0.1 }"), vector(-1, 0)).executed
    assert -0.1 <= float(executed[0]) < -0.0999


# How fast it may change.


def test_a_vector_moves_towards_what_is_wanted_no_faster_than_its_rate():
    arm = guards("rate.lift = 1.0")
    lifts = [check(arm, vector(0.25, 2), now_ns=i * PERIOD_NS) for i in range(4)]
    assert [float(guarded.executed[0]) for guarded in lifts] == pytest.approx([0.1, 0.2, 0.25, 0.25])
    assert [float(guarded.executed[1]) for guarded in lifts] == [2, 2, 2, 2]
    assert said(lifts[0]) == {"rate": "clip"}
    assert reason(lifts[0], "rate") == "lift 0 → 0.25 at 1/s"
    assert said(lifts[3]) == {}


def test_a_long_silence_allows_no_larger_step_than_two_periods():
    arm = guards("rate.lift = 1.0")
    check(arm, vector(0, 0))
    assert float(check(arm, vector(1, 0), now_ns=60 * SECOND_NS).executed[0]) == pytest.approx(0.2)


def test_without_time_nothing_moves_and_a_clock_that_goes_back_is_no_harm():
    arm = guards("rate.lift = 1.0")
    check(arm, vector(0, 0), now_ns=SECOND_NS)
    assert float(check(arm, vector(1, 0), now_ns=SECOND_NS).executed[0]) == 0
    assert float(check(arm, vector(1, 0), now_ns=0).executed[0]) == 0


def test_the_first_action_is_measured_from_where_the_arm_is():
    guarded = check(guards("rate.lift = 1.0", safe=where_it_is), vector(0, 0), present={"joints": vector(0.5, 0)})
    assert float(guarded.executed[0]) == pytest.approx(0.4)


def test_after_a_hold_the_next_action_is_measured_from_the_held_position():
    arm = guards("rate.lift = 1.0", safe=where_it_is)
    check(arm, vector(0, 0), present={"joints": vector(0, 0)})
    hold = check(arm, vector(np.nan, 0), present={"joints": vector(-0.75, 0)}, now_ns=PERIOD_NS)
    assert hold.executed.tolist() == [-0.75, 0]
    after = check(arm, vector(0, 0), present={"joints": vector(0.9, 0)}, now_ns=2 * PERIOD_NS)
    assert float(after.executed[0]) == pytest.approx(-0.65)


def test_a_device_that_holds_by_itself_is_taken_to_stay_at_what_it_was_told_last():
    arm = guards("rate.lift = 1.0", safe=held)
    first = check(arm, vector(0.5, 0))
    assert first.executed.tolist() == [0.5, 0]
    assert reason(first, "rate") == "where it stands is not known"
    assert arm.hold("errors", "too many", {}, PERIOD_NS).executed is None
    assert float(check(arm, vector(0, 0), now_ns=2 * PERIOD_NS).executed[0]) == pytest.approx(0.4)


def test_after_a_reset_it_is_measured_from_the_safe_action_again():
    arm = guards("rate.lift = 1.0")
    check(arm, vector(0.1, 0))
    arm.reset()
    assert float(check(arm, vector(0.5, 0), now_ns=PERIOD_NS).executed[0]) == pytest.approx(0.1)


def test_outside_of_the_limits_and_too_slow_to_get_back_it_holds():
    arm = guards(ARM_RULES, safe=where_it_is)
    guarded = check(arm, vector(0, 0), present={"joints": vector(0.9, 0)})
    assert guarded.executed == pytest.approx([0.9, 0])
    assert said(guarded) == {"rate": "hold"}
    assert reason(guarded, "rate") == "the limits cannot be reached at this rate: lift 0.8 > 0.5"


def test_a_switch_that_has_changed_stays_for_its_time():
    lamps = guards("rate.red = 2", LAMPS, dark)
    flicker = [check(lamps, np.array([i % 2, i % 2, 0], np.int8), now_ns=i * PERIOD_NS) for i in range(8)]
    assert [int(guarded.executed[0]) for guarded in flicker] == [0, 1, 1, 1, 1, 1, 0, 0]
    assert [int(guarded.executed[1]) for guarded in flicker] == [0, 1, 0, 1, 0, 1, 0, 1]


def test_whole_numbers_stay_whole_numbers_within_the_rate():
    from gymnasium import spaces

    steps = guards("rate.0 = 25", ActionSpace(spaces.Box(0, 100, (1,), np.int32)), held)
    values = [
        check(steps, np.array([v], np.int32), now_ns=i * PERIOD_NS).executed for i, v in enumerate([10, 90, 90, 0])
    ]
    assert [value.tolist() for value in values] == [[10], [12], [14], [12]]
    assert values[1].dtype == np.int32


# On what it was decided.


@pytest.mark.parametrize(
    ("present", "ages_s", "why"),
    [
        ({"camera": 1}, {"camera": 0.31}, "camera is 0.31 s old, 0.3 s are allowed"),
        ({"camera": 1}, {"camera": float("nan")}, "camera is nan s old, 0.3 s are allowed"),
        ({"camera": 1}, {"camera": -1.0}, "camera is -1 s old, 0.3 s are allowed"),
        ({"joints": 1}, {}, "camera is missing"),
        ({"camera": None}, {}, "camera is missing"),
    ],
)
def test_on_an_input_that_is_too_old_or_missing_it_holds(present, ages_s, why):
    guarded = check(guards("max_age_s.camera = 0.3", WALK, wait), 1, present=present, ages_s=ages_s)
    assert (guarded.executed, guarded.label) == (0, "wait")
    assert said(guarded) == {"staleness": "hold"}
    assert reason(guarded, "staleness") == why


@pytest.mark.parametrize("ages_s", [{}, {"camera": 0.3, "joints": 9.0}])
def test_an_input_that_is_new_enough_passes(ages_s):
    assert check(guards("max_age_s.camera = 0.3", WALK, wait), 1, ages_s=ages_s).executed == 1


@pytest.mark.parametrize(("confidence", "executed"), [(0.6, 1), (0.59, 0), (None, 0), (float("nan"), 0)])
def test_below_the_floor_of_confidence_it_holds(confidence, executed):
    assert check(guards("confidence = 0.6", WALK, wait), 1, confidence=confidence).executed == executed


def test_a_choice_that_is_not_allowed_is_denied():
    walk = guards('allow = ["left"]', WALK, wait)
    assert check(walk, 1).executed == 1
    guarded = check(walk, 2)
    assert (guarded.executed, guarded.label) == (0, "wait")  # the safe action needs no permission
    assert said(guarded) == {"allow": "deny"}
    assert reason(guarded, "allow") == "right is not allowed"


def test_a_switch_that_is_not_allowed_must_stay_off():
    lamps = guards('allow = ["red"]', LAMPS, dark)
    assert said(check(lamps, np.array([1, 0, 0], np.int8))) == {}
    guarded = check(lamps, np.array([1, 1, 1], np.int8))
    assert guarded.executed.tolist() == [0, 0, 0]
    assert reason(guarded, "allow") == "green, blue are not allowed"


# Stopped, held by others, and everything at once.


def test_once_stopped_it_stays_so_until_it_is_reset():
    walk = guards(space=WALK, safe=wait)
    walk.stop.trip("key pressed")
    for _ in range(3):
        guarded = check(walk, 1)
        assert (guarded.executed, guarded.label, said(guarded)) == (0, "wait", {"stop": "stop"})
        assert reason(guarded, "stop") == "key pressed"
    walk.stop.reset()
    assert check(walk, 1).executed == 1


def test_the_stop_file_of_the_rules_stops_it(tmp_path):
    (tmp_path / "guards.toml").write_text('stop_file = "stop"')
    walk = Guards.load(tmp_path / "guards.toml", WALK, wait, max_age_s=MAX_AGE_S, period_s=0.1)
    assert check(walk, 1).executed == 1
    (tmp_path / "stop").touch()
    assert check(walk, 1).executed == 0


def test_a_hold_that_the_policy_ordered_stays_one():
    critical = GuardVerdict("critical", "hold", "camera is missing")
    guarded = check(guards(space=WALK, safe=wait), 1, earlier=(critical,))
    assert (guarded.executed, guarded.label) == (0, "wait")
    assert guarded.verdicts[0] == critical
    assert [verdict.guard for verdict in guarded.verdicts] == ["critical", "finite", "limits", "stop"]


def test_others_can_make_it_hold_and_are_named():
    walk = guards(space=WALK, safe=wait)
    walk.stop.trip("signal")
    guarded = walk.hold("errors", "5 in 10 s", {}, 0)
    assert (guarded.executed, guarded.label) == (0, "wait")
    assert guarded.verdicts == (GuardVerdict("errors", "hold", "5 in 10 s"), GuardVerdict("stop", "stop", "signal"))


def test_every_guard_gives_its_verdict_in_the_fixed_order():
    rules = 'confidence = 0.9\nallow = ["red"]\nrate.red = 1\nmax_age_s.camera = 0.1'
    guarded = check(guards(rules, LAMPS, dark), np.array([0, 1, 0]), confidence=0.1, present={"joints": 1})
    assert [(verdict.guard, verdict.verdict) for verdict in guarded.verdicts] == [
        ("finite", "pass"),
        ("limits", "pass"),
        ("rate", "pass"),
        ("staleness", "hold"),
        ("confidence", "hold"),
        ("allow", "deny"),
        ("stop", "pass"),
    ]


@pytest.mark.parametrize("position", [None, vector(np.nan, 0), vector(1, 2, 3)])
def test_a_position_that_is_not_known_leaves_the_hold_to_the_device(position):
    guarded = check(guards(safe=where_it_is), vector(np.nan, 0), present={"joints": position})
    assert (guarded.executed, guarded.label) == (None, "hold")


def test_a_position_is_held_in_the_shape_of_the_actions():
    from gymnasium import spaces

    table = guards(space=ActionSpace(spaces.Box(-1, 1, (2, 2), np.float32)), safe=where_it_is)
    assert check(table, None, present={"joints": vector(1, 2, 3, 4)}).executed.tolist() == [[1, 2], [3, 4]]


# Rules that do not fit the policy.


@pytest.mark.parametrize(
    ("rules", "space", "safe", "message"),
    [
        ("limits.lfit.low = 0", ARM, still, "limits: there is no dimension 'lfit'; did you mean 'lift'?"),
        ("rate.girp = 1", ARM, still, "rate: there is no dimension 'girp'; did you mean 'grip'?"),
        ("rate.gren = 1", LAMPS, dark, "rate: there is no switch 'gren'; did you mean 'green'?"),
        ('allow = ["lefd"]', WALK, wait, "allow: there is no action 'lefd'; did you mean 'left'?"),
        ('allow = ["xyzzy"]', WALK, wait, "allow: there is no action 'xyzzy'; there are wait, left, right"),
        ("max_age_s.camrea = 0.1", WALK, wait, "max_age_s: there is no input 'camrea'; did you mean 'camera'?"),
        ("max_age_s.joints = 0.6", WALK, wait, "max_age_s.joints: 0.6 s is more than the 0.5 s of the policy"),
        ("limits.lift.low = -1.5", ARM, still, "limits.lift: low = -1.5 is wider than the policy's own -1"),
        ("limits.grip.high = 2.5", ARM, still, "limits.grip: high = 2.5 is wider than the policy's own 2"),
        ("limits.lift.low = 1.5", ARM, still, "limits.lift: no float32 is left between 1.5 and None"),
        ("limits.lift.low = 0.5", ARM, still, "limits: the safe action of the policy lies outside: lift 0 < 0.5"),
        ("limits.left.low = 0", WALK, wait, "limits: the actions of this policy are no vectors"),
        ("rate.left = 1", WALK, wait, "rate: the actions of this policy are choices"),
        ('allow = ["lift"]', ARM, still, "allow: the actions of this policy are vectors"),
        ("confidence = 0.5", ARM, still, "confidence: this policy decides on vectors"),
    ],
)
def test_rules_that_do_not_fit_the_policy_are_refused_by_file_and_key(rules, space, safe, message):
    with pytest.raises(GuardError) as refused:
        guards(rules, space, safe)
    assert str(refused.value).startswith(f"guards.toml: {message}")


# Whatever is selected.

numbers = st.floats(width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e300])
junk = st.none() | st.text() | st.lists(numbers, max_size=4) | st.integers() | st.complex_numbers()
vectors = hnp.arrays(np.float64, st.sampled_from([(2,), (2,), (2,), (1,), (2, 1)]), elements=numbers)
moments = st.lists(st.tuples(vectors | junk, st.integers(0, 400_000_000), st.booleans()), max_size=20)


@given(moments, st.sampled_from([still, held, where_it_is]))
def test_whatever_is_selected_a_vector_is_within_limits_and_rate_or_the_safe_action(moments, safe):
    low, high, rate = np.array([-0.5, 0.0]), np.array([0.5, 2.0]), np.array([1.0, 0.25])
    arm, now_ns, last = guards(ARM_RULES, safe=safe), 0, None
    for i, (selected, later_ns, measured) in enumerate(moments):
        now_ns += later_ns
        since_ns = min(later_ns, 2 * PERIOD_NS) if i else PERIOD_NS
        present = {"joints": vector(0.1, 0.1)} if measured else {}
        if last is None:
            last = safe(present)[0]
        guarded = check(arm, selected, present=present, now_ns=now_ns)
        holds = any(verdict.verdict in ("hold", "deny", "stop") for verdict in guarded.verdicts)
        if holds:
            np.testing.assert_array_equal(guarded.executed, safe(present)[0])
        else:
            executed = guarded.executed.astype(np.float64)
            assert guarded.executed.shape == (2,)
            assert ((executed >= low) & (executed <= high)).all()
            if last is not None:
                assert (np.abs(executed - last) <= rate * since_ns / 1e9 + 1e-12).all()
        last = last if guarded.executed is None else guarded.executed.astype(np.float64)


@given(st.lists(st.integers() | st.floats() | junk | st.sampled_from([0, 1, 2]), max_size=20))
def test_whatever_is_selected_a_choice_is_an_allowed_one_or_the_safe_one(selections):
    walk = guards('allow = ["left"]', WALK, wait)
    for selected in selections:
        guarded = check(walk, selected)
        assert guarded.executed in (0, 1)
        assert (guarded.executed == 1) == (isinstance(selected, int) and selected == 1)


@given(st.lists(hnp.arrays(np.float64, 3, elements=st.sampled_from([0, 1, 2, np.nan])) | junk, max_size=20))
def test_whatever_is_selected_switches_are_on_or_off(selections):
    lamps = guards('allow = ["red", "green"]', LAMPS, dark)
    for selected in selections:
        executed = check(lamps, selected).executed
        assert executed.shape == (3,)
        assert set(executed.tolist()) <= {0, 1}
        assert executed[2] == 0
