"""Recording demonstrations: an environment's own expert acts, and what it saw and did is kept."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces

from sensorimotor.errors import SignatureError, WorldError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Image, State, Text, from_space
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.interrupts import interruptible
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.rollout import name_of
from sensorimotor.pipelines.worlds import make_world, require_success, succeeded


@dataclass(frozen=True)
class Recorded:
    """What a recording has come to.

    Attributes:
        path: The directory.
        episodes: How many it has in all.
        kept: How many were added now.
        failed: How many the expert failed; they are not kept.
        steps: Of those that were added.
        recovered: What was lost when an earlier recording was cut off; None: nothing.
    """

    path: Path
    episodes: int
    kept: int
    failed: int
    steps: int
    recovered: str | None


def record_expert(
    env: str,
    out: Path,
    episodes: int,
    *,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Recorded:
    """Let the expert of an environment act, and record it.

    Args:
        env: The id of an environment that has a method `expert_action()`; see `make_world`.
        out: A new directory, or one of the same recording, which is continued.
        episodes: How many to add; episodes that the expert fails are not kept, and not counted.
        seed: Of the first one; None: where the recording ends.
        options: Of the environment.
        progress: Told how many episodes have been kept since the last call.

    Raises:
        WorldError: There is no such environment, it has no expert, or its expert fails ten times in a row.
        DataError, OutputPathError: See `Recorder`.
    """
    world = make_world(env, options=options)
    expert = getattr(world.unwrapped, "expert_action", None)
    if expert is None:
        raise WorldError(f"{env} has no expert: give its class a method expert_action() that says what to do next")
    names = recorded_names(world)
    rate_hz = float(world.metadata.get("render_fps", 10))
    kept = failed = in_a_row = steps = 0
    with interruptible() as check, Recorder(out, features_of(world), rate_hz, robot_type=env) as recorder:
        number = recorder.episodes if seed is None else seed
        while kept < episodes:
            count, task, success = _episode(world, expert, names, recorder, number, rate_hz, check)
            number += 1
            if not success:
                recorder.discard()
                failed, in_a_row = failed + 1, in_a_row + 1
                if in_a_row == 10:
                    raise WorldError(f"the expert of {env} failed ten times in a row, last with seed {number - 1}")
                continue
            recorder.commit(task)
            kept, steps, in_a_row = kept + 1, steps + count, 0
            progress(1)
        return Recorded(out, recorder.episodes, kept, failed, steps, recorder.recovered)


def _episode(
    world: gymnasium.Env,
    expert: Callable[[], Any],
    names: Mapping[str, str],
    recorder: Recorder,
    seed: int,
    rate_hz: float,
    check: Callable[[], None],
) -> tuple[int, str, bool]:
    """Record one episode: how many steps it took, what it was about, and whether it succeeded."""
    shown, info = world.reset(seed=seed)
    task = str(info.get("mission") or next((one for one in shown.values() if isinstance(one, str)), name_of(world)))
    step = 0
    while True:
        check()
        action = expert()
        values = {feature: shown[name] for name, feature in names.items()}
        recorder.add({**values, "action": action}, step / rate_hz)
        shown, _, terminated, truncated, info = world.step(action)
        step += 1
        if terminated or truncated:
            require_success(name_of(world), info)
            return step, task, succeeded(info)


def recorded_names(world: gymnasium.Env) -> dict[str, str]:
    """Observation → feature, by the names of LeRobot; an instruction is the task of its episode, and is left out."""
    assert isinstance(world.observation_space, spaces.Dict)
    names = {}
    for name, space in world.observation_space.items():
        modality = from_space(name, space)
        if not isinstance(modality, Text):
            names[name] = f"observation.{'images.' if isinstance(modality, Image) else ''}{name}"
    return names


def features_of(world: gymnasium.Env) -> dict[str, Feature]:
    """What is recorded of a world; an environment with a method `signature()` says names and units.

    Raises:
        SignatureError: An observation is of no known kind.
        WorldError: Its actions are neither vectors nor choices.
    """
    assert isinstance(world.observation_space, spaces.Dict)
    stated = _stated(world)
    features = {}
    for name, feature in recorded_names(world).items():
        known = stated.inputs.get(name) if stated else None
        match known or from_space(name, world.observation_space[name]):
            case Image(one_frame=shape):
                features[feature] = Feature("image", shape)
            case State(size=size, names=names, units=units):
                features[feature] = Feature("vector", (size,), names, units)
    match world.action_space:
        case spaces.Box(shape=(size,)):
            space = stated.action_space if stated else None
            names, units = (space.labels, space.units) if space else ((), ())
            features["action"] = Feature("vector", (size,), names, units)
        case spaces.Discrete():
            features["action"] = Feature("choice")
        case other:
            raise WorldError(f"{name_of(world)} acts in {other}; vectors and choices can be recorded")
    return features


def _stated(world: gymnasium.Env) -> Signature | None:
    """What an environment says of itself, if it does."""
    with suppress(AttributeError, TypeError, SignatureError):
        found = world.unwrapped.signature()  # type: ignore[attr-defined]
        return found if isinstance(found, Signature) else None
    return None
