from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.actions.guard_rules import GuardRules, Limit, load_guard_rules, parse_guard_rules
from sensorimotor.errors import GuardError

EVERYTHING = """
confidence = 0.6
allow = ["left", "right"]
stop_file = "run/stop"

[limits]
lift = { low = -0.5, high = 1 }
grip.high = 0.9

[rate]
lift = 0.25

[max_age_s]
camera = 0.3
"""


def test_every_key_is_read(tmp_path):
    (tmp_path / "guards.toml").write_text(EVERYTHING)
    assert load_guard_rules(tmp_path / "guards.toml") == GuardRules(
        confidence=0.6,
        allow=("left", "right"),
        stop_file=str(tmp_path / "run" / "stop"),
        limits={"lift": Limit(low=-0.5, high=1.0), "grip": Limit(high=0.9)},
        rate={"lift": 0.25},
        max_age_s={"camera": 0.3},
    )


def test_an_empty_file_restricts_nothing():
    assert parse_guard_rules("") == GuardRules()


def test_an_absolute_stop_file_stays_where_it_is(tmp_path):
    (tmp_path / "guards.toml").write_text('stop_file = "/run/robot.stop"')
    assert load_guard_rules(tmp_path / "guards.toml").stop_file == "/run/robot.stop"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confidense = 0.5", "confidense: there is no such key; did you mean 'confidence'?"),
        ("[rates]\nlift = 1", "rates: there is no such key; did you mean 'rate'?"),
        ("limits.lift.lo = 1", "limits.lift.lo: there is no such key; did you mean 'low'?"),
        ("limits.lift = {}", "limits.lift: give low, high or both"),
        ("limits.lift = [-1, 1]", "limits.lift: Input should be a valid dictionary"),
        ("limits.lift = { low = 2, high = 1 }", "limits.lift: low = 2 is above high = 1"),
        ("limits.lift.low = nan", "limits.lift.low: Input should be a finite number"),
        ("limits.lift.low = inf", "limits.lift.low: Input should be a finite number"),
        ('limits.lift.low = "1"', "limits.lift.low: Input should be a valid number (got '1')"),
        ("limits.lift.low = true", "limits.lift.low: Input should be a valid number (got True)"),
        ("rate.lift = 0", "rate.lift: Input should be greater than 0 (got 0)"),
        ("rate.lift = -1", "rate.lift: Input should be greater than 0 (got -1)"),
        ("rate.lift = inf", "rate.lift: Input should be a finite number"),
        ("max_age_s.camera = 0", "max_age_s.camera: Input should be greater than 0"),
        ("confidence = 1.1", "confidence: Input should be less than or equal to 1 (got 1.1)"),
        ("confidence = nan", "confidence: Input should be "),
        ("allow = 'left'", "allow: Input should be a valid tuple (got 'left')"),
        ("allow = [1]", "allow.0: Input should be a valid string (got 1)"),
        ("stop_file = ''", "stop_file: String should have at least 1 character"),
        (r'stop_file = "a\u0000b"', "stop_file: String should match pattern"),
        ("confidence = " + "[" * 100_000, "guards.toml are no valid guards: they are nested too deep"),
        ("confidence = ", "guards.toml is not valid TOML"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_by_file_and_key(tmp_path, text, message):
    (tmp_path / "guards.toml").write_text(text)
    with pytest.raises(GuardError) as refused:
        load_guard_rules(tmp_path / "guards.toml")
    assert message in str(refused.value)
    assert "guards.toml" in str(refused.value)
    assert refused.value.exit_status == 2


def test_all_that_is_wrong_is_named_at_once():
    with pytest.raises(GuardError) as refused:
        parse_guard_rules("confidence = 2\nrate.lift = 0")
    assert "confidence: " in str(refused.value)
    assert "rate.lift: " in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(GuardError, match=r"cannot read the guards .*none\.toml: No such file"):
        load_guard_rules(tmp_path / "none.toml")
    with pytest.raises(GuardError, match="Is a directory"):
        load_guard_rules(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GuardError, match=r"bytes\.toml is not valid TOML"):
        load_guard_rules(tmp_path / "bytes.toml")
    with pytest.raises(GuardError, match="it is no file of guards"):
        load_guard_rules(Path("/dev/zero"))


def test_a_mark_of_the_byte_order_before_the_first_key_is_passed_over(tmp_path):
    (tmp_path / "guards.toml").write_text("confidence = 0.5", encoding="utf-8-sig")
    assert load_guard_rules(tmp_path / "guards.toml").confidence == 0.5


@given(st.text())
def test_any_text_is_rules_or_refused_in_words(text):
    try:
        assert isinstance(parse_guard_rules(text), GuardRules)
    except GuardError as refused:
        assert str(refused).startswith("guards ")  # noqa: PT017 (both outcomes are right)
