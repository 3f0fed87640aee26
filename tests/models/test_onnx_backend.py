import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sensorimotor.errors import BundleError, MissingExtraError, UsageError
from sensorimotor.models.bundle import Bundle, seal
from sensorimotor.models.execution import CUDA, Execution
from sensorimotor.models.onnx_backend import OnnxBackend, runtime, session
from sensorimotor.models.policy import Policy


def test_without_onnx_runtime_both_packages_that_bring_it_are_named(monkeypatch, tiny_bundle):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"sensorimotor\[cpu\].* or .*sensorimotor\[gpu\]"):
        Policy.load(tiny_bundle)
    with pytest.raises(MissingExtraError, match="running a policy needs ONNX Runtime"):
        runtime()


def test_an_execution_provider_that_is_not_here_is_answered_with_those_that_are(tiny_bundle):
    with pytest.raises(UsageError, match="provider NpuExecutionProvider is not available") as caught:
        Policy.load(tiny_bundle, execution=Execution(("CPUExecutionProvider", "NpuExecutionProvider")))
    assert all(name in str(caught.value) for name in onnxruntime.get_available_providers())


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this build of ONNX Runtime has CUDA")
def test_a_build_without_cuda_says_which_package_has_it(tiny_bundle):
    with pytest.raises(UsageError, match="CUDAExecutionProvider is not available.*pip install onnxruntime-gpu"):
        Policy.load(tiny_bundle, device="cuda")


def test_a_device_that_there_is_not_is_answered_with_those_that_there_are(tiny_bundle):
    with pytest.raises(UsageError, match="no device is called 'gpu'; there are cpu, cuda"):
        Policy.load(tiny_bundle, device="gpu")


@pytest.mark.parametrize(
    "execution",
    [
        Execution(threads=2, spinning=True),
        Execution(parallel=True, inter_threads=2),
        Execution(optimisation="none", arena=False),
        Execution(optimisation="basic"),
        Execution(optimisation="extended"),
    ],
)
def test_however_graphs_are_run_the_decision_is_the_same(tiny_bundle, execution):
    observation = {"camera": np.full((56, 56, 3), 90, np.uint8), "instruction": "go to the red ball"}
    plain = Policy.load(tiny_bundle).act(observation)
    other = Policy.load(tiny_bundle, execution=execution).act(observation)
    np.testing.assert_allclose(other.parameters, plain.parameters, atol=1e-4)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_counted_from_one(tiny_bundle, threads):
    with pytest.raises(UsageError, match=f"threads must be at least 1, not {threads}"):
        Policy.load(tiny_bundle, threads=threads)


@pytest.mark.parametrize("content", [b"", b"not a graph", bytes(range(256)) * 40])
@pytest.mark.parametrize("name", ["core.onnx", "encoder.camera.onnx"])
def test_a_graph_that_is_none_is_refused_even_where_its_fingerprint_fits(bundle_copy, name, content):
    (bundle_copy / name).write_bytes(content)
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(BundleError, match=f"{name} cannot be loaded by ONNX Runtime"):
        Policy.load(bundle_copy)


def test_a_graph_that_was_cut_short_is_refused_even_where_its_fingerprint_fits(bundle_copy):
    file = bundle_copy / "core.onnx"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(BundleError, match=r"core\.onnx cannot be loaded"):
        Policy.load(bundle_copy)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, config: config.update(memory_size=config["memory_size"] + 1),
        lambda path, config: config["encoders"]["camera"].update(dim=9),
        lambda path, config: (path / "core.onnx").write_bytes((path / "encoder.camera.onnx").read_bytes()),
    ],
    ids=["memory", "tokens", "another graph"],
)
def test_graphs_that_do_not_fit_together_are_found_before_anything_is_decided(bundle_copy, damage):
    config = json.loads((bundle_copy / "config.json").read_text())
    damage(bundle_copy, config)
    seal(bundle_copy, config)
    with pytest.raises(BundleError, match=f"{bundle_copy}/core.onnx does not fit the rest of the bundle: ") as caught:
        Policy.load(bundle_copy)
    assert "\n" not in str(caught.value)


def test_rows_are_encoded_together_as_they_are_alone(tiny_bundle):
    backend, rng = OnnxBackend(Bundle.load(tiny_bundle)), np.random.default_rng(1)
    sound = rng.uniform(-0.5, 0.5, (3, 80_000, 1)).astype(np.float32)
    for name, values in {
        "camera": [rng.integers(0, 256, (3, 56, 56, 3), np.uint8)],
        "instruction": [rng.integers(0, 5, (3, 16), np.int64)],
        "mic": [sound, np.array([80_000, 9000, 800])],
    }.items():
        tokens, mask = backend.encode(name, values)
        for i in range(3):
            one, its_mask = backend.encode(name, [value[i : i + 1] for value in values])
            assert tokens[i] == pytest.approx(one[0], abs=1e-5)
            assert np.array_equal(mask[i], its_mask[0])


def test_more_threads_change_nothing(tiny_bundle, observation):
    one, two = (Policy.load(tiny_bundle, threads=threads).act(observation) for threads in (1, 2))
    assert one.parameters == pytest.approx(two.parameters, abs=1e-6)


def test_one_token_that_is_masked_stands_for_an_input_that_is_absent(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    backend = OnnxBackend(bundle)
    tokens, mask = backend.encode("camera", [np.zeros((1, 56, 56, 3), np.uint8)])
    empty, empty_mask = backend.empty_tokens("camera")
    assert (empty.shape, empty.dtype) == ((1, 1, tokens.shape[2]), tokens.dtype)
    assert (empty_mask.shape, empty_mask.dtype) == ((1, 1), mask.dtype)
    assert not empty_mask.any()


class FakeRuntime:
    """ONNX Runtime with a provider that does what `starts` says of a graph and its options."""

    def __init__(self, starts):
        self.starts, self.asked = starts, []

    def InferenceSession(self, path, options=None, providers=(), enable_fallback=True):  # noqa: N802
        self.asked.append((providers, enable_fallback))
        return self.starts(options is not None)


class Started:
    def __init__(self, *providers):
        self.providers = list(providers)

    def get_providers(self):
        return self.providers


def raising(error):
    def start(strict):
        raise error

    return start


def on_the_cpu_only(strict):
    if strict:
        raise ValueError("This session contains graph nodes that are assigned to the default CPU EP")
    return Started("CPUExecutionProvider")


@pytest.mark.parametrize(
    ("starts", "reason"),
    [
        (raising(RuntimeError("CUDA failure 35: CUDA driver version is\n insufficient ; GPU=-1")), "CUDA failure 35"),
        (on_the_cpu_only, "libraries that it needs are missing"),
    ],
    ids=["no driver", "no libraries"],
)
@pytest.mark.parametrize("provider", [CUDA, (CUDA, {"enable_cuda_graph": "1"})])
def test_a_device_that_does_not_start_is_not_replaced_by_another_and_no_fault_of_the_bundle(starts, reason, provider):
    ort = FakeRuntime(starts)
    with pytest.raises(UsageError, match=f"{CUDA} does not start on this machine: .*{reason}") as caught:
        session(ort, Path("core.onnx"), object(), [provider])
    assert "\n" not in str(caught.value)
    assert not any(fallback for _, fallback in ort.asked)


def test_a_graph_that_a_device_cannot_run_is_a_fault_of_the_bundle():
    def only_loosely(strict):
        if strict:
            raise ValueError("no kernel for Frobnicate")
        return Started(CUDA, "CPUExecutionProvider")

    with pytest.raises(BundleError, match=r"core\.onnx cannot be loaded by ONNX Runtime: no kernel for Frobnicate"):
        session(FakeRuntime(only_loosely), Path("core.onnx"), object(), [CUDA])
    with pytest.raises(BundleError, match="cannot be loaded"):
        session(FakeRuntime(raising(ValueError("no graph"))), Path("core.onnx"), object(), [CUDA])


def test_on_the_cpu_the_bundle_is_at_fault():
    ort = FakeRuntime(raising(RuntimeError("damaged")))
    with pytest.raises(BundleError, match="damaged"):
        session(ort, Path("core.onnx"), object(), ["CPUExecutionProvider"])
    assert len(ort.asked) == 1
