import pytest

from sensorimotor.pipelines.paired import FEWEST, gain
from sensorimotor.pipelines.race import race, winner

COSTS = {"champion": 10.0, "half": 5.0, "near": 9.0, "same": 10.0, "twice": 20.0}


@pytest.fixture
def measured():
    """Costs without noise; `measured.turns` lists who took which turn."""

    def measure(name, turn):
        measure.turns.append((name, turn))
        return COSTS[name] * (1 + turn % 3)

    measure.turns = []
    return measure


def test_the_cheapest_wins(measured):
    gains = race("champion", ["twice", "near", "half", "same"], measured)
    assert {name: found.ratio for name, found in gains.items()} == {
        "twice": 0.5,
        "near": 10 / 9,
        "half": 2.0,
        "same": 1.0,
    }
    assert winner(gains) == "half"


def test_who_does_badly_is_measured_less(measured):
    race("champion", ["twice", "near", "half", "same"], measured)
    taken = {name: sum(who == name for who, _ in measured.turns) for name in COSTS}
    assert taken["twice"] == taken["same"] == FEWEST
    assert taken["near"] == 3 * FEWEST
    assert taken["half"] == taken["champion"] == 7 * FEWEST


def test_all_take_turns_and_nobody_always_follows_the_same_one(measured):
    race("champion", ["half", "near"], measured)
    order = [name for name, _ in measured.turns[:6]]
    assert order == ["champion", "half", "near", "near", "half", "champion"]
    assert [turn for _, turn in measured.turns[:6]] == [0, 0, 0, 1, 1, 1]


def test_who_is_no_better_does_not_win(measured):
    assert winner(race("champion", ["same", "twice"], measured)) is None


def test_a_single_challenger_is_measured_longer_than_a_glance(measured):
    race("champion", ["half"], measured)
    assert len(measured.turns) == 2 * 3 * FEWEST


def test_when_the_time_is_over_it_ends_after_a_turn_of_all(measured):
    left = iter([True, True, False])
    gains = race("champion", ["half", "near"], measured, lambda: next(left))
    assert sum(name == "champion" for name, _ in measured.turns) == FEWEST + 2
    assert gains["half"] == gain([10, 20, 30] * 3, [5, 10, 15, 5, 10, 15, 5, 10])


def test_everybody_has_as_many_turns_as_it_takes_to_say_anything(measured):
    gains = race("champion", ["half", "near"], measured, lambda: False)
    assert len(measured.turns) == 3 * FEWEST
    assert winner(gains) == "half"


def test_without_challengers_there_is_no_race(measured):
    assert race("champion", [], measured) == {}
    assert measured.turns == []
    assert winner({}) is None
