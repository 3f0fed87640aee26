"""The bundled policy: that it is there, whole, small, and does what it is for."""

import subprocess
import sys

import numpy as np
import pytest

from sensorimotor import Bundle, Policy
from sensorimotor.pipelines.babyai import EVALUATION_SEED, BabyAIWorld
from sensorimotor.pipelines.demo import LEVELS, SPEAKERS
from sensorimotor.pipelines.evaluate import Trial
from sensorimotor.pipelines.inspect import inspect

EPISODES = 30
"""Few, for speed: the rates are in benchmarks/results; here it is seen that the policy does its work at all."""


def success(level, inputs, speakers=SPEAKERS, **options):
    seeds = range(EVALUATION_SEED + 100_000, EVALUATION_SEED + 100_000 + EPISODES)
    episodes = Trial("default", level, inputs, speakers, **options).run(seeds)
    return np.mean([episode.success for episode in episodes]), np.mean(
        [bool(episode.first_object_correct) for episode in episodes]
    )


def test_it_is_whole_and_gives_here_what_it_gave_when_it_was_exported():
    report = inspect("default", verify=True)
    assert report["golden"]["ok"]
    assert report["golden"]["steps"] == 100


def test_it_is_under_twenty_megabytes():
    assert Bundle.load("default").size_bytes < 20e6


def test_it_sees_hears_and_reads_and_any_subset_will_do():
    policy = Policy.load("default")
    assert policy.signature.names == ("camera", "mic", "instruction")
    observation = {
        "camera": np.zeros((56, 56, 3), np.uint8),
        "mic": np.zeros((16_000, 1), np.float32),
        "instruction": "go to the red ball",
    }
    for names in (("camera",), ("mic",), ("instruction",), ("camera", "mic"), ("camera", "instruction")):
        policy.reset()
        decision = policy.act({name: observation[name] for name in names})
        assert decision.held == ("camera" not in names)
        assert decision.probabilities.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_it_does_what_it_is_told_in_writing(level):
    rate, _ = success(level, ("camera", "instruction"))
    assert rate >= 0.8


def test_it_goes_where_unheard_voices_tell_it():
    rate, first = success("BabyAI-GoToLocal-v0", ("camera", "mic"))
    assert rate >= 0.7
    assert first >= 0.6


def test_it_fetches_and_moves_what_unheard_voices_tell_it_to():
    for level in ("BabyAI-PickupLoc-v0", "BabyAI-PutNextLocal-v0"):
        rate, _ = success(level, ("camera", "mic"))
        assert rate >= 0.6, level


def test_unknown_words_make_it_less_sure():
    policy, frame = Policy.load("default"), BabyAIWorld("BabyAI-GoToLocal-v0").reset(seed=EVALUATION_SEED)[0]["camera"]

    def confidence(text):
        policy.reset()
        return policy.act({"camera": frame, "instruction": text}).confidence

    known = np.mean([confidence(f"go to the {color} ball") for color in ("red", "green", "blue", "grey")])
    unknown = np.mean([confidence(f"go to the {color} orb") for color in ("crimson", "emerald", "navy", "silver")])
    assert unknown < known - 0.1


def test_it_goes_where_it_is_told_and_not_where_the_room_would_have_it():
    rate, first = success("BabyAI-GoToLocal-v0", ("camera", "instruction"), swap_mission=True)
    assert rate >= 0.8
    assert first >= 0.7


def test_without_an_instruction_it_does_not_know_where_to_go():
    _, told = success("BabyAI-GoToLocal-v0", ("camera", "instruction"))
    _, untold = success("BabyAI-GoToLocal-v0", ("camera",))
    assert untold < told - 0.3


def test_it_knows_which_words_it_was_never_taught():
    assert Policy.load("default").unknown_words("head over to the crimson ball") == ["head", "over", "crimson"]


def test_a_process_that_acts_with_it_never_imports_torch():
    program = (
        "import sys, numpy; from sensorimotor import Policy; policy = Policy.load('default');"
        "policy.act({'camera': numpy.zeros((56, 56, 3), 'uint8'), 'instruction': 'go to the red ball'});"
        "print([name for name in ('torch', 'onnx', 'cv2', 'av', 'minigrid', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
