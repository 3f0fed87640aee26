import numpy as np
import pytest

from sensorimotor.models.backend import CoreInput
from sensorimotor.models.bundle import SINGLE, Bundle
from sensorimotor.models.onnx_backend import OnnxBackend
from sensorimotor.models.single_file import SingleFileBackend

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 56, 56, 3), np.uint8)


@pytest.fixture(params=["onnx", "torch", "single file"])
def backend(request, tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    if request.param == "onnx":
        return OnnxBackend(bundle)
    if request.param == "torch":
        from sensorimotor.models.torch_backend import TorchBackend

        return TorchBackend(request.getfixturevalue("tiny_network"))
    return SingleFileBackend(tiny_bundle / SINGLE, bundle.signature, bundle.memory_size)


def test_every_back_end_takes_a_step_on_rows_of_which_some_lack_inputs(backend, tiny_bundle):
    names = Bundle.load(tiny_bundle).signature.names
    tokens, masks = [], []
    for name in names:
        one, mask = backend.encode(name, [FRAMES]) if name == "camera" else backend.empty_tokens(name)
        tokens.append(np.broadcast_to(one, (3, *one.shape[1:])).copy())
        masks.append(np.broadcast_to(mask, (3, *mask.shape[1:])).copy())
    present = np.array([[name == "camera" for name in names]] * 3)
    memory = np.zeros((3, backend.memory_size), np.float32)
    output = backend.step(CoreInput(tokens, masks, present, np.zeros((3, 3), np.float32), memory))
    assert output.parameters.shape == (3, 7)
    assert output.embedding.shape[0] == 3
    assert output.memory.shape == memory.shape
    assert {array.dtype for array in output} == {np.dtype(np.float32)}
    assert all(np.isfinite(array).all() for array in output)
    assert output.memory.any()
    assert not memory.any()  # what came in is left as it was
