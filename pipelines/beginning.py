"""Beginning a run with what others have learnt."""

from pathlib import Path
from typing import Any

from torch import nn

from sensorimotor.errors import RecipeError
from sensorimotor.models.checkpoint import load_checkpoint
from sensorimotor.models.network import Network
from sensorimotor.perception.modality import Audio


def begin_with(part: str, name: str, runs: Path, network: Network, tutor: nn.Module) -> dict[str, Any]:
    """Take over what another run has learnt.

    Args:
        part: All of it (`network`), or one input's encoder and sense.
        name: Of the run.
        runs: The directory it is in.
        network: What takes it over.
        tutor: What takes over the lessons that belong to it.

    Returns:
        `steps` and `seconds` of that run.

    Raises:
        RecipeError: That run has no such part, learnt other words, or has other sizes.
        CheckpointError: There is no such run.
    """
    before = load_checkpoint(runs / name)
    mine = ("",) if part == "network" else (f"encoders.{part}.", f"core.fusion.senses.{part}.")
    weights = {key: value for key, value in before.network.state_dict().items() if key.startswith(mine)}
    words = [one and one.to_json() for one in (before.network.tokenizer, network.tokenizer)]
    if words[0] != words[1] or not weights or not weights.keys() <= network.state_dict().keys():
        raise RecipeError(f"start.{part} = {name!r}: that run has no such part, or learnt other words")
    theirs = before.network.signature.inputs
    hears = any(isinstance(modality, Audio) for key, modality in theirs.items() if part in ("network", key))
    lessons = (*(("reader.",) if part == "network" else ()), *(("speller.",) if hears else ()))
    try:
        network.load_state_dict(weights, strict=False)
        tutor.load_state_dict(
            {key: value for key, value in before.tutor.items() if key.startswith(lessons)}, strict=False
        )
    except RuntimeError as error:
        raise RecipeError(f"start.{part} = {name!r}: that run's network has other sizes: {error}") from error
    network.core.set_temperature(1.0)  # what it learns now is calibrated at its own end
    return {"steps": before.step, "seconds": before.record["seconds"]}
