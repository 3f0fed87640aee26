"""Which back end runs a policy in production."""

from sensorimotor.models.backend import Backend
from sensorimotor.models.bound_backend import BoundBackend
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import CUDA, ONE_THREAD, Execution
from sensorimotor.models.onnx_backend import OnnxBackend


def backend_for(bundle: Bundle, execution: Execution = ONE_THREAD) -> Backend:
    """On a GPU one whose tokens stay there; on the CPU, where there is nothing to stay on, the plain one.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        UsageError: A device or provider is not available.
        BundleError: A graph cannot be loaded, or does not fit the others.
    """
    return BoundBackend(bundle, execution) if execution.providers[0] == CUDA else OnnxBackend(bundle, execution)
