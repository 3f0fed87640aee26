"""sensorimotor: train a policy that sees, hears and reads; export it once; run it on live sensors.

>>> import sensorimotor as sm
>>> sm.Discrete(2, labels=("wait", "go")).labels
('wait', 'go')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensorimotor.actions.decision import Decision as Decision
    from sensorimotor.actions.space import ActionSpace as ActionSpace
    from sensorimotor.actions.space import Box as Box
    from sensorimotor.actions.space import Discrete as Discrete
    from sensorimotor.actions.space import MultiBinary as MultiBinary
    from sensorimotor.errors import SensorimotorError as SensorimotorError
    from sensorimotor.models.bundle import Bundle as Bundle
    from sensorimotor.models.policy import Policy as Policy
    from sensorimotor.models.signature import Signature as Signature
    from sensorimotor.perception.modality import Audio as Audio
    from sensorimotor.perception.modality import Image as Image
    from sensorimotor.perception.modality import State as State
    from sensorimotor.perception.modality import Text as Text

_PUBLIC = {
    "ActionSpace": "actions.space",
    "Audio": "perception.modality",
    "Box": "actions.space",
    "Bundle": "models.bundle",
    "Decision": "actions.decision",
    "Discrete": "actions.space",
    "Image": "perception.modality",
    "MultiBinary": "actions.space",
    "Policy": "models.policy",
    "SensorimotorError": "errors",
    "Signature": "models.signature",
    "State": "perception.modality",
    "Text": "perception.modality",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import sensorimotor` stays cheap."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sensorimotor")
    if name in _PUBLIC:
        return getattr(import_module(f"sensorimotor.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'sensorimotor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
