"""The bundled policy: that it is there, whole, small, and does what it is for."""

import subprocess
import sys

import numpy as np
import pytest

from sensorimotor import Bundle, Policy
from sensorimotor.pipelines.babyai import EVALUATION_SEED
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


def test_it_is_under_ten_megabytes():
    assert Bundle.load("default").size_bytes < 10e6


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
def test_it_goes_where_it_is_told_in_writing(level):
    rate, _ = success(level, ("camera", "instruction"))
    assert rate >= 0.8


def test_it_goes_where_unheard_voices_tell_it():
    rate, first = success("BabyAI-GoToLocal-v0", ("camera", "mic"))
    assert rate >= 0.7
    assert first >= 0.6


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
