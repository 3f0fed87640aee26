"""The production back end: ONNX Runtime on the graphs of a bundle."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError, MissingExtraError
from sensorimotor.models.backend import CoreInput, CoreOutput
from sensorimotor.models.bundle import CORE, Bundle, encoder_file
from sensorimotor.models.execution import ONE_THREAD, Execution

ENCODED, DECIDED = ["tokens", "mask"], ["parameters", "embedding", "memory_out"]
"""Names of what the graphs give."""


def runtime() -> Any:
    """The `onnxruntime` module.

    Raises:
        MissingExtraError: Neither of the two packages that bring it is installed.
    """
    # Importing ONNX Runtime 1.32 writes a device id and a telemetry data base into the user's home, unless told not to
    # before it is imported. A policy on somebody's robot has nothing to report; whoever wants it can set this to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("ONNX Runtime", ("cpu", "gpu"), "running a policy") from error
    return onnxruntime


class OnnxBackend:
    """Sessions for all graphs of a bundle.

    Args:
        bundle: Checked already.
        execution: How they are run.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        UsageError: A provider is not available.
        BundleError: A graph cannot be loaded, or does not fit the others.
    """

    def __init__(self, bundle: Bundle, execution: Execution = ONE_THREAD):
        ort = runtime()
        options, providers = execution.session_options(ort), execution.providers
        self.memory_size = bundle.memory_size
        self._names = bundle.signature.names
        self._shapes = {name: bundle.config["encoders"][name] for name in self._names}
        self._encoders = {name: _session(ort, bundle, encoder_file(name), options, providers) for name in self._names}
        self._arguments = {name: [one.name for one in self._encoders[name].get_inputs()] for name in self._names}
        self._core = _session(ort, bundle, CORE, options, providers)
        self._try(bundle)

    def _try(self, bundle: Bundle) -> None:
        """Take one step without any input: what does not fit together is found now, and not while acting."""
        absent = [self.empty_tokens(name) for name in self._names]
        tokens, masks = [one for one, _ in absent], [mask for _, mask in absent]
        zeros = np.zeros((1, len(absent)), np.float32)
        nothing = CoreInput(tokens, masks, zeros > 0, zeros, np.zeros((1, self.memory_size), np.float32))
        try:
            memory = self.step(nothing).memory
        except Exception as error:  # noqa: BLE001 (as in _session)
            reason = " ".join(str(error).split())
            raise BundleError(f"{bundle.file(CORE)} does not fit the rest of the bundle: {reason}") from error
        if memory.shape != (1, self.memory_size):
            raise BundleError(f"{bundle.file(CORE)} does not fit the rest of the bundle: it has another memory")

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        tokens, mask = self._encoders[name].run(ENCODED, dict(zip(self._arguments[name], values, strict=True)))
        return tokens, mask

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        return CoreOutput(*self._core.run(DECIDED, core_feeds(self._names, inputs)))

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.empty_tokens`."""
        shape = self._shapes[name]
        return np.zeros((1, 1, shape["dim"]), np.float32), np.zeros((1, 1), bool)


def core_feeds(names: Sequence[str], inputs: CoreInput) -> dict[str, np.ndarray]:
    """What the core's graph takes, by the names that it has for it; `names` are those of the inputs."""
    feeds = {"present": inputs.present, "age_s": inputs.age_s, "memory": inputs.memory}
    for name, tokens, mask in zip(names, inputs.tokens, inputs.masks, strict=True):
        feeds[f"{name}.tokens"], feeds[f"{name}.mask"] = tokens, mask
    return feeds


def _session(ort: Any, bundle: Bundle, file: str, options: Any, providers: Sequence[str]) -> Any:
    try:
        return ort.InferenceSession(str(bundle.file(file)), options, providers=list(providers))
    except Exception as error:  # noqa: BLE001 (ONNX Runtime raises half a dozen types without a common base)
        raise BundleError(f"{bundle.file(file)} cannot be loaded by ONNX Runtime: {error}") from error
