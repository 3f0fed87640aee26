import json

import numpy as np
import pytest
import torch

from sensorimotor.errors import BundleError
from sensorimotor.models.bundle import WEIGHTS, Bundle, seal
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_weights_in_a_bundle_are_the_network_that_was_exported(tiny_bundle, tiny_network):
    found = TorchBackend.from_bundle(Bundle.load(tiny_bundle)).network.state_dict()
    expected = tiny_network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_torch_decides_from_a_bundle_as_onnx_runtime_does(tiny_bundle, golden_steps):
    bundle = Bundle.load(tiny_bundle)
    exported = Policy.load(tiny_bundle)
    eager = Policy(bundle.signature, TorchBackend.from_bundle(bundle), bundle.tokenizer())
    for step in golden_steps[0][:20]:
        a, b = (policy.act(step.observation, ages_s=step.ages_s) for policy in (exported, eager))
        assert a.parameters == pytest.approx(b.parameters, abs=1e-4)
        assert exported.memory() == pytest.approx(eager.memory(), abs=1e-4)


@pytest.mark.parametrize("damage", ["another network", "no weights"])
def test_weights_that_do_not_fit_are_refused(bundle_copy, damage):
    if damage == "another network":
        from safetensors.torch import save_file

        save_file({"core.head.temperature": torch.ones(())}, bundle_copy / WEIGHTS)
    else:
        (bundle_copy / WEIGHTS).write_bytes(b"no weights")
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(BundleError, match=r"model\.safetensors does not fit the bundle"):
        TorchBackend.from_bundle(Bundle.load(bundle_copy))


def test_sizes_that_are_none_are_refused(bundle_copy):
    config = json.loads((bundle_copy / "config.json").read_text())
    config["network"]["dim"] = -16
    seal(bundle_copy, config)
    with pytest.raises(BundleError, match="does not fit the bundle"):
        TorchBackend.from_bundle(Bundle.load(bundle_copy))


def test_a_network_in_training_is_run_as_it_will_be_exported(tiny_network):
    tiny_network.train()
    assert not TorchBackend(tiny_network).network.training


def test_no_gradients_are_kept(tiny_network):
    backend = TorchBackend(tiny_network)
    frames = np.zeros((1, 56, 56, 3), np.uint8)
    tokens, _ = backend.encode("camera", [frames])
    tokens[:] = 0.0  # a plain array: nothing of torch holds on to it
    assert backend.encode("camera", [frames])[0].any()
