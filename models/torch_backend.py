"""The reference back end: the trained network in eager torch, to hold exported graphs against. Never needed to run."""

from collections.abc import Sequence

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sensorimotor.errors import BundleError
from sensorimotor.models.backend import CoreInput, CoreOutput
from sensorimotor.models.bundle import WEIGHTS, Bundle
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.prompted import AnyNetwork, PromptedNetwork, PromptedSpec


class TorchBackend:
    """Runs a network's encoders and core in evaluation mode.

    Args:
        network: The network; it is put into evaluation mode.
    """

    def __init__(self, network: AnyNetwork):
        self.network = network.eval()
        self.memory_size = network.memory_size
        self._shapes = network.token_shapes()

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "TorchBackend":
        """The network whose weights a bundle carries.

        Raises:
            BundleError: The weights do not fit its configuration.
        """
        try:
            network = _untrained(bundle)
            network.load_state_dict(load_file(bundle.file(WEIGHTS)))
        except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise BundleError(f"{bundle.path / WEIGHTS} does not fit the bundle: {error}") from error
        return cls(network)

    @torch.inference_mode()
    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        tokens, mask = self.network.encoders[name](*(torch.from_numpy(value) for value in values))
        return tokens.numpy(), mask.numpy()

    @torch.inference_mode()
    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        outputs = self.network.core(
            [torch.from_numpy(tokens) for tokens in inputs.tokens],
            [torch.from_numpy(mask) for mask in inputs.masks],
            torch.from_numpy(inputs.present),
            torch.from_numpy(inputs.age_s),
            torch.from_numpy(inputs.memory),
        )
        return CoreOutput(*(output.numpy() for output in outputs))

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.empty_tokens`."""
        shape = self._shapes[name]
        return np.zeros((1, 1, shape.dim), np.float32), np.zeros((1, 1), bool)


def _untrained(bundle: Bundle) -> AnyNetwork:
    """The network of a bundle with random weights."""
    stated = bundle.config["network"]
    if isinstance(stated, dict) and stated.get("kind") == "prompted":
        return PromptedNetwork(bundle.signature, PromptedSpec.model_validate(stated))
    return Network(bundle.signature, NetworkSpec.model_validate(stated), bundle.tokenizer())
