"""The guide to live runs says what is true: its faults are tested, its example of guards works, its names exist."""

import re
from pathlib import Path

import pytest

from sensorimotor.actions.guard_rules import GuardRules, load_guard_rules, parse_guard_rules
from sensorimotor.actions.guards import Guards
from sensorimotor.actions.space import Box
from sensorimotor.clock import MonotonicClock
from sensorimotor.pipelines.health import Health, State
from sensorimotor.pipelines.metrics import Metrics

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "live.md").read_text()
EXAMPLE = ROOT / "docs" / "guards.toml"
TESTS = {
    name
    for path in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GUIDE.split("<!-- faults -->")[1].split("<!-- /faults -->")[0].strip().splitlines()[2:]
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_fault_of_the_table_names_a_test_that_exists(row):
    assert len(row) == 6
    assert all(row)
    assert row[5].strip("`") in TESTS


def test_no_test_of_a_fault_is_named_twice():
    named = [row[5] for row in ROWS]
    assert len(named) == len(set(named)) > 25


def test_the_example_of_guards_fits_the_bundled_policy(policy):
    signature = policy.signature
    limits = {name: modality.max_age_s for name, modality in signature.inputs.items()}
    guards = Guards.load(EXAMPLE, signature.action_space, policy.safe_action, max_age_s=limits, period_s=0.1)
    assert guards.check(3, "pickup", 0.9, {"camera": 1}, {"camera": 0.1}, 0).label == "done"
    assert guards.check(2, "forward", 0.9, {"camera": 1}, {"camera": 0.1}, 0).label == "forward"
    assert guards.check(2, "forward", 0.9, {"camera": 1}, {"camera": 0.6}, 0).label == "done"
    assert load_guard_rules(EXAMPLE).stop_file == str(EXAMPLE.parent / "stop")


def test_the_example_has_every_rule_and_what_is_commented_out_works_too():
    lines = [re.sub(r"^#(?=\[|\w)", "", line) for line in EXAMPLE.read_text().splitlines()]
    rules = parse_guard_rules("\n".join(lines))
    assert all(getattr(rules, name) for name in GuardRules.model_fields)
    vectors = rules.model_copy(update={"confidence": None, "allow": None, "max_age_s": {}, "stop_file": None})
    arm = Box([-1, 0], [1, 0.1], ("x", "gripper"), ("m", "m"))
    guards = Guards(vectors, arm, lambda _: (None, "hold"), max_age_s={}, period_s=0.1)
    assert guards.check([0.9, 0.09], "", None, {}, {}, 0).label == arm.describe([0.2, 0.04])


def test_every_metric_of_the_guide_exists():
    shown = Metrics(Health(MonotonicClock(), 0.1)).render().decode()
    for name in re.findall(r"`(sensorimotor_\w+)`", GUIDE):
        assert name.removesuffix("_total") in shown, name


def test_every_state_is_explained():
    for state in State:
        assert f"| `{state}` |" in GUIDE
