import numpy as np
import pytest
import torch

from sensorimotor.actions.head import BoxHead, DiscreteHead, MultiBinaryHead
from sensorimotor.actions.space import Box, Discrete, MultiBinary
from sensorimotor.pipelines.scoring import Done, histograms, scored

CHOICES, SWITCHES = Discrete(3, ("a", "b", "c")), MultiBinary(2, ("lamp", "fan"))
ARM = Box([-10, -10], [10, 10], ("x", "y"), ("mm", "deg"))


def chosen(which, right, weights=None):
    """What a policy does that is sure of `which` where `right` is right."""
    weights = torch.ones(len(right)) if weights is None else torch.tensor(weights)
    return Done(5 * torch.eye(3)[which], torch.tensor(right), weights, np.arange(len(right)))


def moved(plan, wanted, weights=None, episode=None):
    plan, wanted = torch.tensor(plan), torch.tensor(wanted)
    weights = torch.ones(plan.shape[:2]) if weights is None else torch.tensor(weights)
    return Done(plan, wanted, weights, np.arange(len(plan)) if episode is None else np.array(episode))


def test_choices_are_scored_by_how_many_are_right_with_an_interval():
    found = scored(CHOICES, DiscreteHead(3, 8), chosen([0, 1, 2, 2], [0, 1, 2, 1]))
    assert found["accuracy"] == 0.75
    assert found["ci95"] == pytest.approx([0.30, 0.954], abs=0.01)
    assert found["loss"] == pytest.approx((3 * 0.0134 + 5.0134) / 4, abs=1e-3)


def test_steps_of_which_nothing_is_known_do_not_count():
    done = chosen([0, 1, 2, 2], [0, 1, 2, 1], weights=[1.0, 0.0, 1.0, 0.0])
    assert scored(CHOICES, DiscreteHead(3, 8), done)["accuracy"] == 1.0
    plan = moved([[[1.0, 2.0]], [[9.0, 9.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]], weights=[[1.0], [0.0]])
    assert scored(ARM, BoxHead(ARM, 8), plan)["error"]["x"]["mean"] == 1.0


def test_switches_are_right_where_all_of_them_are():
    on, off = 4.0, -4.0
    parameters = torch.tensor([[on, off], [on, on], [off, off]])
    done = Done(parameters, torch.tensor([[1, 0], [1, 0], [0, 0]]), torch.ones(3), np.arange(3))
    assert scored(SWITCHES, MultiBinaryHead(2, 8), done)["accuracy"] == pytest.approx(2 / 3)


def test_vectors_are_scored_in_the_unit_of_each_dimension_by_the_action_for_now():
    done = moved([[[1.0, 4.0], [9.0, 9.0]]] * 3, [[[0.0, 0.0], [0.0, 0.0]]] * 3)
    error = scored(ARM, BoxHead(ARM, 8, 2), done)["error"]
    assert {name: (one["mean"], one["unit"]) for name, one in error.items()} == {"x": (1.0, "mm"), "y": (4.0, "deg")}


def test_the_interval_comes_from_whole_episodes_since_their_steps_are_alike():
    plans = [[[0.0, 0.0]]] * 50 + [[[2.0, 2.0]]] * 50
    wanted = [[[0.0, 0.0]]] * 100
    few = scored(ARM, BoxHead(ARM, 8), moved(plans, wanted, episode=[0] * 50 + [1] * 50))["error"]["x"]
    many = scored(ARM, BoxHead(ARM, 8), moved(plans, wanted))["error"]["x"]
    assert few["mean"] == many["mean"] == 1.0
    assert few["ci95"] == [0.0, 2.0]
    assert 0.7 < many["ci95"][0] < 1 < many["ci95"][1] < 1.3
    assert scored(ARM, BoxHead(ARM, 8), moved(plans, wanted))["error"]["x"] == many  # nothing is left to chance


def test_who_does_not_look_gives_the_most_frequent_choice():
    done = chosen([0, 1, 2, 2], [0, 1, 2, 2])
    blind = done.instead(CHOICES, np.array([2, 2, 2, 0]))
    assert blind.chosen(CHOICES)["choice"].tolist() == [2] * 4
    assert scored(CHOICES, DiscreteHead(3, 8), blind)["accuracy"] == 0.5
    shares = torch.softmax(blind.parameters[0], 0)
    assert shares.tolist() == pytest.approx([0.25, 0.0, 0.75], abs=1e-4)


def test_who_does_not_look_gives_the_mean_of_vectors_and_the_usual_switches():
    blind = moved([[[1.0, 4.0]] * 2] * 3, [[[0.0, 0.0]] * 2] * 3).instead(ARM, np.array([[1, 2], [3, 6]], np.float32))
    assert blind.parameters.tolist() == [[[2.0, 4.0]] * 2] * 3
    done = Done(torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(2), np.arange(2))
    usual = done.instead(SWITCHES, np.array([[1, 0], [1, 0], [1, 1]]))
    assert [values.tolist() for values in usual.chosen(SWITCHES).values()] == [[True, True], [False, False]]
    assert torch.isfinite(usual.parameters).all()


def test_what_is_chosen_has_the_names_of_the_space():
    assert moved([[[1.0, 4.0]]], [[[0.0, 0.0]]]).chosen(ARM)["y"].tolist() == [4.0]
    assert list(chosen([1], [1]).chosen(CHOICES)) == ["choice"]


def test_histograms_count_what_is_done():
    assert histograms(CHOICES, np.array([0, 2, 2])) == {"a": 1, "b": 0, "c": 2}
    assert histograms(SWITCHES, np.array([[1, 0], [1, 1]])) == {"lamp": 2, "fan": 1}
    found = histograms(ARM, np.array([[0, 5], [1, 5], [2, 5]], np.float32))
    assert (found["x"]["mean"], found["x"]["min"], found["x"]["max"]) == (1.0, 0.0, 2.0)
    assert sum(found["y"]["histogram"]) == 3
    assert found["y"]["std"] == 0
