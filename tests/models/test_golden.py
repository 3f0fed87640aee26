import json
from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import BundleError
from sensorimotor.models.bundle import GOLDEN, Bundle, seal
from sensorimotor.models.golden import load_golden, save_golden, verify_golden
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Sensed


@pytest.fixture
def episodes(seen):
    """Two episodes: the second is blind at first, is spoken to later, and measures its joints late."""
    frames = [np.full((4, 6, 3), i, np.uint8) for i in range(3)]
    deaf = {"camera": frames[0], "instruction": "go to the ball"}
    spoken = {"instruction": "go to the red ball", "mic": seen["mic"], "joints": seen["joints"]}
    observations = [deaf, {**deaf, "camera": frames[1]}, deaf, spoken, {**spoken, "camera": frames[2]}]
    ages = [{}, {"camera": 0.1}, {"camera": 0.25}, {"joints": 1.5}, {"camera": 0.0, "joints": 1.75}]
    return [Sensed(shown, age) for shown, age in zip(observations, ages, strict=True)], [
        True,
        False,
        False,
        True,
        False,
    ]


def test_what_is_saved_is_read_back(fake, episodes, tmp_path):
    policy = fake()
    save_golden(tmp_path / "golden.npz", policy, *episodes)
    steps, starts, outputs = load_golden(tmp_path / "golden.npz", policy.signature)
    assert starts == episodes[1]
    for step, expected in zip(steps, episodes[0], strict=True):
        assert set(step.observation) == set(expected.observation)
        for name, value in expected.observation.items():
            if name == "mic":  # kept in 16 bits
                assert np.abs(step.observation[name] - value).max() <= 0.5 / 32767 + 1e-7
            else:
                assert np.array_equal(step.observation[name], value)
            assert type(step.observation[name]) is type(value)
            assert step.ages_s[name] == pytest.approx(expected.ages_s.get(name, 0.0))
    assert outputs.shape == (5, 3)
    again = fake()
    for step, start, output in zip(steps, starts, outputs, strict=True):
        if start:
            again.reset()
        assert np.array_equal(again.act(step.observation, ages_s=step.ages_s).parameters, output)


def test_equal_values_are_stored_once(fake, episodes, tmp_path):
    save_golden(tmp_path / "golden.npz", fake(), *episodes)
    with np.load(tmp_path / "golden.npz", allow_pickle=False) as arrays:
        assert arrays["camera.index"].tolist() == [0, 1, 0, -1, 2]
        assert len(arrays["camera.values"]) == 3
        assert arrays["instruction.values"].tolist() == ["go to the ball", "go to the red ball"]
        assert arrays["mic.index"].tolist() == [-1, -1, -1, 0, 0]


def test_an_input_that_was_never_there_is_no_problem(fake, episodes, tmp_path):
    steps, starts = (
        [replace(step, observation={"camera": np.zeros((4, 6, 3), np.uint8)}) for step in episodes[0]],
        [True] * 5,
    )
    steps = [replace(step, ages_s={}) for step in steps]
    save_golden(tmp_path / "golden.npz", fake(), steps, starts)
    read, _, _ = load_golden(tmp_path / "golden.npz", fake().signature)
    assert [list(step.observation) for step in read] == [["camera"]] * 5


def test_saving_leaves_the_policy_without_memory(fake, episodes, tmp_path):
    policy = fake()
    save_golden(tmp_path / "golden.npz", policy, *episodes)
    assert not policy.memory().any()


# Replaying


def test_a_bundle_gives_here_what_it_gave_when_it_was_made(tiny_bundle, tiny_policy):
    report = verify_golden(Bundle.load(tiny_bundle), tiny_policy)
    assert report == {
        "steps": 100,
        "max_error": pytest.approx(0, abs=1e-5),
        "tolerance": 1e-4,
        "same_actions": 100,
        "ok": True,
    }


def test_a_bundle_that_gives_something_else_is_found_out(bundle_copy, tiny_bundle):
    from onnx import load, numpy_helper, save

    graph = load(bundle_copy / "core.onnx")
    weights = next(one for one in graph.graph.initializer if "head" in one.name and len(one.dims) == 2)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.01), weights.name))
    save(graph, bundle_copy / "core.onnx")
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    report = verify_golden(Bundle.load(bundle_copy), Policy.load(bundle_copy))
    assert not report["ok"]
    assert report["max_error"] > report["tolerance"]


def expecting(bundle_copy, change):
    """The bundle with other expectations in its golden set."""
    with np.load(bundle_copy / GOLDEN, allow_pickle=False) as stored:
        arrays = dict(stored)
    change(arrays["parameters"])
    np.savez_compressed(bundle_copy / GOLDEN, allow_pickle=False, **arrays)
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    return Bundle.load(bundle_copy)


def test_one_step_that_differs_is_enough(bundle_copy, tiny_policy):
    def change(parameters):
        parameters[57, 2] += 1e-3 * max(1.0, abs(parameters[57, 2]))

    report = verify_golden(expecting(bundle_copy, change), tiny_policy)
    assert (report["ok"], report["max_error"]) == (False, pytest.approx(1e-3, rel=0.1))


def test_another_action_is_told_whatever_the_tolerance(bundle_copy, tiny_policy):
    def change(parameters):
        row = parameters[3]
        row[row.argmin()] = row.max() + 1.0

    expecting(bundle_copy, change)
    config = json.loads((bundle_copy / "config.json").read_text())
    config["parity"]["tolerance"] = 1e9
    seal(bundle_copy, config)
    report = verify_golden(Bundle.load(bundle_copy), tiny_policy)
    assert report["max_error"] < report["tolerance"]
    assert (report["ok"], report["same_actions"]) == (False, 99)


def test_a_golden_set_that_expects_no_numbers_is_not_met(bundle_copy, tiny_policy):
    def change(parameters):
        parameters[0, 0] = np.nan

    assert not verify_golden(expecting(bundle_copy, change), tiny_policy)["ok"]


# What is no golden set


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_golden_set_that_was_cut_short_is_refused(tiny_bundle, tmp_path, part):
    content = (tiny_bundle / GOLDEN).read_bytes()
    (tmp_path / GOLDEN).write_bytes(content[: int(part * len(content))])
    with pytest.raises(BundleError, match=r"golden\.npz is no golden set"):
        load_golden(tmp_path / GOLDEN, Bundle.load(tiny_bundle).signature)


def test_a_golden_set_that_is_missing_or_of_another_policy_is_refused(fake, episodes, tiny_bundle, tmp_path):
    signature = Bundle.load(tiny_bundle).signature
    with pytest.raises(BundleError, match="is no golden set"):
        load_golden(tmp_path / GOLDEN, signature)
    save_golden(tmp_path / GOLDEN, fake(), *episodes)
    with pytest.raises(BundleError, match="is no golden set"):
        load_golden(
            tmp_path / GOLDEN, replace(signature, inputs={**signature.inputs, "wrist": signature.inputs["camera"]})
        )


def test_pickled_objects_are_never_loaded(fake, episodes, tmp_path):
    save_golden(tmp_path / GOLDEN, fake(), *episodes)
    with np.load(tmp_path / GOLDEN) as stored:
        arrays = dict(stored)
    arrays["instruction.values"] = np.array([{"go": "to"}, None], object)
    np.savez(tmp_path / GOLDEN, **arrays)
    with pytest.raises(BundleError, match="is no golden set"):
        load_golden(tmp_path / GOLDEN, fake().signature)
