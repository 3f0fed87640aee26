"""Worlds that a policy can be played in, by name: the rooms of BabyAI, and any Gymnasium environment like them.

What an environment needs: a `Dict` of observations named like the policy's inputs, and `success` (or `is_success`) in
the `info` of a step. `info["mission"]` of a reset says what is asked; a method `expert_action()`, what should be done;
a method `signature()`, what its values are called and measured in.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces

from sensorimotor.errors import UsageError, WorldError
from sensorimotor.pipelines.babyai import BabyAIWorld
from sensorimotor.pipelines.speech import speaker

BABYAI = "BabyAI-"
OWN = "sensorimotor/"


def make_world(
    name: str,
    *,
    speakers: Sequence[str] = (),
    swap_mission: bool = False,
    options: Mapping[str, Any] | None = None,
) -> gymnasium.Env:
    """A world by the id of its environment.

    Args:
        name: `BabyAI-*-v0`, `sensorimotor/Reach-v0`, or any other id; `module:id` imports the module first.
        speakers: Who speaks the missions; only in BabyAI.
        swap_mission: Give, and score, the mission of another object; only in BabyAI.
        options: What the environment is made with; not in BabyAI.

    Raises:
        WorldError: There is no such environment, it cannot be made, or its observations are no `Dict`.
        UsageError: Missions are to be swapped where there are none.
    """
    if name.startswith(BABYAI):
        return BabyAIWorld(name, speakers=[speaker(one) for one in speakers], written=True, swap_mission=swap_mission)
    if swap_mission:
        raise UsageError(f"{name}: only missions of BabyAI can be swapped")
    if name.startswith(OWN):
        from sensorimotor.pipelines import reach  # noqa: F401  (registers it)
    try:
        world = gymnasium.make(name, **(options or {}))
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        reason = "it is a file, and policies are evaluated in environments" if Path(name).exists() else error
        raise WorldError(f"the environment {name!r} cannot be made: {reason}") from error
    if not isinstance(world.observation_space, spaces.Dict):
        raise WorldError(f"{name} gives {world.observation_space}; a policy needs a Dict of named inputs")
    return world


def succeeded(info: dict[str, Any]) -> bool:
    """Whether a step's `info` says that what was asked is done."""
    return bool(info.get("success", info.get("is_success", False)))


def require_success(name: str, info: dict[str, Any]) -> None:
    """Refuse an environment that does not say how an episode went.

    Raises:
        WorldError: There is neither `success` nor `is_success` in the `info` of a step.
    """
    if not {"success", "is_success"} & set(info):
        raise WorldError(f"{name} does not say in the info of its steps whether it was a success")
