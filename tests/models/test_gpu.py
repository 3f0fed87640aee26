"""A policy on a real GPU. Skipped where there is none, and never in silence where there is one."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.models.bound_backend import BoundBackend
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.execution import CUDA, Execution
from sensorimotor.models.golden import load_golden, verify_golden
from sensorimotor.models.onnx_backend import OnnxBackend, runtime
from sensorimotor.models.policy import Policy

CLOSE = 1e-3
"""A GPU adds up in another order."""


def a_gpu_is_here():
    return bool(shutil.which("nvidia-smi")) or Path("/dev/nvidia0").exists()


@pytest.fixture(scope="module")
def bundle():
    """The default policy, where there is a GPU. That ONNX Runtime cannot use it is a failure, not a reason to skip."""
    if not a_gpu_is_here():
        pytest.skip("there is no NVIDIA GPU here: neither nvidia-smi nor /dev/nvidia0")
    if CUDA not in runtime().get_available_providers():
        pytest.fail("there is a GPU here, and this ONNX Runtime cannot use it: pip install 'sensorimotor[gpu]'")
    return Bundle.load("default")


@pytest.fixture(scope="module")
def golden(bundle):
    return load_golden(bundle.file(GOLDEN), bundle.signature)


def test_on_a_machine_with_a_gpu_that_cannot_be_used_these_tests_fail(tmp_path):
    if CUDA in runtime().get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA")
    (tmp_path / "nvidia-smi").touch(0o755)
    found = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "pytest", __file__, "-k", "by_the_name_of_the_device", "-p", "no:cacheprovider"]
    done = subprocess.run(command, env=found, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is a GPU here, and this ONNX Runtime cannot use it" in done.stdout
    assert "skipped" not in done.stdout


def policy_of(bundle, backend):
    return Policy(bundle.signature, backend, bundle.tokenizer(), bundle.fingerprint)


@pytest.fixture(scope="module")
def reference(bundle):
    return policy_of(bundle, OnnxBackend(bundle))


@pytest.fixture(params=[True, False], ids=["captured", "not captured"])
def on_gpu(request, bundle):
    return policy_of(bundle, BoundBackend(bundle, Execution.on("cuda"), captured=request.param))


def complete(golden):
    steps = golden[0]
    spare = {name: step.observation[name] for step in steps for name in step.observation}
    return [{**spare, **step.observation} for step in steps]


def same(one, other):
    np.testing.assert_allclose(np.asarray(one.parameters), np.asarray(other.parameters), atol=CLOSE, rtol=CLOSE)


def test_it_is_loaded_by_the_name_of_the_device_and_reproduces_the_golden_set(bundle):
    report = verify_golden(bundle, Policy.load("default", device="cuda"))
    assert report["same_actions"] == report["steps"]
    assert report["max_error"] < CLOSE


def test_different_inputs_give_different_outputs_and_equal_ones_equal_ones(on_gpu, golden):
    frames = [one["camera"] for one in complete(golden)]
    distinct = [frames[0], *(frame for frame in frames if not np.array_equal(frame, frames[0]))][:2]
    outputs = []
    for frame in [*distinct, *distinct]:
        on_gpu.reset()
        outputs.append(on_gpu.act({"camera": frame, "instruction": "go to the red ball"}).parameters)
    assert not np.allclose(outputs[0], outputs[1])
    np.testing.assert_allclose(outputs[0], outputs[2], atol=1e-6)
    np.testing.assert_allclose(outputs[1], outputs[3], atol=1e-6)


def test_every_subset_of_inputs_is_decided_as_on_the_cpu_in_batches_of_every_kind(on_gpu, reference, golden):
    shown, names = complete(golden), reference.signature.names
    for size in range(1, len(names) + 1):
        for subset in itertools.combinations(names, size):
            for batch in (1, 2, 7, 64):
                rows = [{name: shown[7 * i % len(shown)][name] for name in subset} for i in range(batch)]
                for policy in (on_gpu, reference):
                    policy.reset()
                for pair in zip(*(policy.act_batch(rows) for policy in (on_gpu, reference)), strict=True):
                    same(*pair)


def test_a_memory_of_hundreds_of_steps_is_the_one_of_the_cpu(on_gpu, reference, golden):
    steps = golden[0]
    for policy in (on_gpu, reference):
        policy.reset()
    for i in range(300):
        sensed = steps[i % len(steps)]
        same(*(policy.act(sensed.observation, ages_s=sensed.ages_s) for policy in (on_gpu, reference)))
        np.testing.assert_allclose(on_gpu.memory(), reference.memory(), atol=CLOSE)


def test_encoders_in_threads_of_their_own_capture_and_replay_what_is_theirs(on_gpu, reference, golden):
    shown, failures = complete(golden), []

    def look(name):
        try:
            for i in range(20):
                there, here = (np.asarray(p.encode(name, shown[i][name], i).tokens) for p in (on_gpu, reference))
                np.testing.assert_allclose(there, here, atol=CLOSE, rtol=CLOSE)
        except Exception as error:  # noqa: BLE001 (the test fails with it, whatever it is)
            failures.append(error)

    threads = [threading.Thread(target=look, args=(name,)) for name in reference.signature.names]
    for thread in threads:
        thread.start()
    for i in range(20):
        on_gpu.act(shown[i])
    for thread in threads:
        thread.join()
    assert not failures
