import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import UsageError, WorldError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image, State
from sensorimotor.pipelines.babyai import ACTIONS, DONE, BabyAIWorld, signature
from sensorimotor.pipelines.rollout import observed_inputs, play
from sensorimotor.pipelines.speech import speaker

ONE = "BabyAI-GoToObj-v0"
INPUTS = ("camera", "mic", "instruction")


@pytest.fixture(scope="module")
def world():
    return BabyAIWorld(ONE, speakers=[speaker("espeak:en-us+f3")])


def watched(policy, world, seed, inputs, **options):
    seen = []
    episode = play(policy, world, seed, inputs, watch=lambda *pair: seen.append(pair), **options)
    return episode, [sensed for sensed, _ in seen], [decision for _, decision in seen]


def test_an_episode_is_told_as_it_went(tiny_policy, world):
    episode, sensed, decisions = watched(tiny_policy, world, 5, INPUTS)
    assert (episode.seed, episode.mission) == (5, world.mission)
    assert episode.steps == len(sensed) == len(decisions) == len(episode.decision_ms)
    assert [decision.step for decision in decisions] == list(range(episode.steps))
    assert episode.decision_ms.tolist() == [decision.timings_ms["total"] for decision in decisions]
    replayed = BabyAIWorld(ONE)
    replayed.reset(seed=5)
    for decision in decisions:
        *_, terminated, truncated, outcome = replayed.step(decision.executed)
    assert terminated or truncated
    assert outcome["success"] == episode.success
    assert outcome["first_object_correct"] is episode.first_object_correct


def test_words_and_speech_are_kept_and_frames_are_new(tiny_policy, world):
    _, sensed, decisions = watched(tiny_policy, world, 6, INPUTS)
    assert len(sensed) > 1
    for i, (step, decision) in enumerate(zip(sensed, decisions, strict=True)):
        assert step.observation["instruction"] == world.mission
        assert np.array_equal(step.observation["mic"], sensed[0].observation["mic"])
        assert step.sequences == {"camera": i, "mic": 0, "instruction": 0}
        assert step.ages_s == {"camera": 0.0, "mic": 0.0, "instruction": 0.0}
        assert [decision.inputs[name].cached for name in INPUTS] == [False, i > 0, i > 0]


def test_only_what_was_asked_for_is_shown(tiny_policy, world):
    _, sensed, decisions = watched(tiny_policy, world, 7, ("camera",))
    assert {name for step in sensed for name in step.observation} == {"camera"}
    assert not any(decision.inputs["instruction"].present for decision in decisions)


def test_without_eyes_the_policy_holds_until_its_time_is_over(tiny_policy, world):
    episode, _, decisions = watched(tiny_policy, world, 7, ("mic", "instruction"))
    assert {decision.selected for decision in decisions} != {DONE}
    stayed = world.frame()
    assert np.array_equal(stayed, world.reset(seed=7)[0]["camera"])
    assert not episode.success
    assert episode.steps == world.max_steps
    assert {(decision.label, decision.held) for decision in decisions} == {("done", True)}


def test_an_episode_begins_without_memory_and_leaves_other_streams_alone(tiny_policy, world, observation):
    tiny_policy.act(observation, stream="other")
    kept = tiny_policy.memory("other")
    first, *_ = watched(tiny_policy, world, 8, INPUTS, stream="mine")
    again, _, decisions = watched(tiny_policy, world, 8, INPUTS, stream="mine")
    assert (first.steps, first.success) == (again.steps, again.success)
    assert decisions[0].step == 0
    assert np.array_equal(tiny_policy.memory("other"), kept)


# What fits together


def test_the_inputs_are_those_that_policy_and_world_both_have_in_the_policys_order(world):
    assert observed_inputs(signature(), world, None) == INPUTS
    assert observed_inputs(signature(), world, ["instruction", "camera"]) == ("camera", "instruction")
    assert observed_inputs(signature(utterance_s=None), world, None) == ("camera", "instruction")
    assert observed_inputs(signature(), BabyAIWorld(ONE), None) == ("camera", "instruction")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["camera", "lidar"], "the policy has no input lidar; it has camera, mic, instruction"),
        ([], "no input is left that the policy could act on"),
    ],
)
def test_inputs_that_cannot_be_shown_are_refused(world, asked, message):
    with pytest.raises(UsageError, match=message):
        observed_inputs(signature(), world, asked)


def test_a_sense_that_the_world_does_not_feed_is_refused():
    with pytest.raises(UsageError, match=f"{ONE} gives no mic; it gives camera, instruction"):
        observed_inputs(signature(), BabyAIWorld(ONE), ["camera", "mic"])


def test_a_policy_for_something_else_is_refused(world):
    wait = Signature({"camera": Image(height=56, width=56)}, Discrete(2), Constant(0), 10.0)
    with pytest.raises(WorldError, match=rf"{ONE} acts in Discrete\(7\), the policy in Discrete\(2\)"):
        observed_inputs(wait, world, None)
    large = Signature({"camera": Image(height=64, width=64)}, Discrete(7, ACTIONS), Constant(0), 10.0)
    with pytest.raises(WorldError, match=r"gives a camera of \(56, 56, 3\), the policy takes \(64, 64, 3\)"):
        observed_inputs(large, world, None)
    arm = Signature({"joints": State(size=2)}, Discrete(7, ACTIONS), Constant(0), 10.0)
    with pytest.raises(UsageError, match="no input is left"):
        observed_inputs(arm, world, None)


def test_a_decision_is_told_before_it_is_carried_out(tiny_policy, world):
    counts = []
    play(tiny_policy, world, 5, INPUTS, watch=lambda _, decision: counts.append((decision.step, world.game.step_count)))
    assert counts == [(step, step) for step in range(len(counts))]
