import pytest

from sensorimotor.errors import UsageError
from sensorimotor.models import backends, bound_backend
from sensorimotor.models.backends import backend_for
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.device_memory import CudaMemory
from sensorimotor.models.execution import CUDA, Execution
from sensorimotor.models.onnx_backend import OnnxBackend


@pytest.fixture
def cuda_in_the_build(monkeypatch):
    """A build of ONNX Runtime that has CUDA, on whatever machine."""
    ort = bound_backend.runtime()
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])


def test_on_the_cpu_a_policy_is_run_by_the_plain_back_end():
    assert isinstance(backend_for(Bundle.load("default")), OnnxBackend)


def test_on_a_gpu_it_is_run_by_the_one_whose_tokens_stay_there(monkeypatch):
    asked = []
    monkeypatch.setattr(backends, "BoundBackend", lambda *asking: asked.append(asking))
    execution = Execution.on("cuda", precision="fp16")
    backend_for("bundle", execution)
    assert asked == [("bundle", execution)]


@pytest.mark.usefixtures("cuda_in_the_build")
def test_a_machine_without_a_gpu_says_so_in_one_sentence(monkeypatch, fake_cuda):
    fake_cuda.count = 0
    monkeypatch.setattr(bound_backend, "CudaMemory", lambda: CudaMemory(fake_cuda))
    with pytest.raises(UsageError, match="no NVIDIA GPU can be used here") as caught:
        backend_for(Bundle.load("default"), Execution.on("cuda"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("cuda_in_the_build")
def test_every_graph_is_asked_for_strictly_and_captured_where_all_of_it_is_on_the_device(monkeypatch, fake_cuda):
    monkeypatch.setattr(bound_backend, "CudaMemory", lambda: CudaMemory(fake_cuda))
    asked = []

    def session(ort, file, options, providers):
        asked.append((options.get_session_config_entry("session.disable_cpu_ep_fallback"), *providers))
        raise InterruptedError

    monkeypatch.setattr(bound_backend, "session", session)
    with pytest.raises(InterruptedError):
        backend_for(Bundle.load("default"), Execution.on("cuda"))
    [(strict, (provider, options))] = asked
    assert (strict, provider, options["enable_cuda_graph"], options["use_tf32"]) == ("1", CUDA, "1", "0")
