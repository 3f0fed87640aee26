"""What a training run is about: which network, what it is taught at each step, and how it is judged."""

from typing import Any, Protocol

from torch import Tensor, nn

from sensorimotor.models.network import Network


class Lesson(Protocol):
    """What one recipe teaches; the run around it counts steps, keeps checkpoints and can be interrupted.

    Attributes:
        network: What is taught; on the run's device before the first step.
    """

    network: Network

    @property
    def tutor(self) -> nn.Module:
        """Layers that only teaching needs; with no parameters where it needs none."""
        ...

    def losses(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one step, and numbers to be seen, among them `samples`, how many decisions it is about."""
        ...

    def judge(self, board: Any, step: int, final: bool) -> dict[str, Any]:
        """What is known on what is held out; goes into the record, and to TensorBoard's `board`.

        Where there is a `score` in it, the run keeps the checkpoint with the smallest.
        """
        ...

    def calibrate(self) -> dict[str, Any] | None:
        """Make confidences honest on what is held out; what that took, or None where there are none."""
        ...
