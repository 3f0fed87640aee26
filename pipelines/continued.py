"""Whether the data of a run that goes on are still those it began with."""

import json
from collections.abc import Mapping
from typing import Any

from sensorimotor.errors import CheckpointError
from sensorimotor.models.signature import Signature

REMEDY = "put back what it began with (with the times of its files: `cp -a`, `rsync -a`), or begin another run"


def require_same(
    began: Signature, now: Signature, known: Mapping[str, str], found: Mapping[str, str], where: str
) -> None:
    """Refuse to continue a run on other data: what it learnt would mean something else from there on.

    Args:
        began: The signature of the run's network.
        now: The signature that the recipe makes of its data.
        known: Part of the data → its fingerprint when the run began.
        found: The same, as the data are.
        where: What to call the data in a message.

    Raises:
        CheckpointError: They differ; the message has both.
    """
    theirs, ours = _flat(began.to_json()), _flat(now.to_json())
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if theirs.get(key) != ours.get(key):
            raise CheckpointError(
                f"the run began with {key} = {_short(theirs.get(key))}, but {where} makes it {_short(ours.get(key))}: "
                f"{REMEDY}"
            )
    if began.names != now.names:
        raise CheckpointError(
            f"the run began with the inputs {', '.join(began.names)}, but now they are {', '.join(now.names)}: {REMEDY}"
        )
    for part, fingerprint in found.items():
        if known.get(part) != fingerprint:
            raise CheckpointError(
                f"{where} was changed since the run began: its fingerprint was {str(known.get(part))[:12]}…, now it is "
                f"{fingerprint[:12]}…: {REMEDY}"
            )


def _flat(form: Any, key: str = "") -> dict[str, Any]:
    """A JSON form with its mappings laid open: `inputs.camera.height` → 56."""
    if not isinstance(form, dict):
        return {key: form}
    flat: dict[str, Any] = {}
    for name, value in form.items():
        flat |= _flat(value, f"{key}.{name}" if key else name)
    return flat


def _short(value: Any) -> str:
    said = json.dumps(value)
    return said if len(said) <= 100 else said[:100] + "…"
