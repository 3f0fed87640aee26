"""The closed loop: a world, the buffers of the senses, and a policy, one episode at a time."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium import spaces

from sensorimotor.actions.decision import Decision
from sensorimotor.errors import UsageError, WorldError
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Buffers, Sensed
from sensorimotor.perception.modality import Image, State
from sensorimotor.pipelines.worlds import require_success, succeeded

Watcher = Callable[[Sensed, Decision], None]
"""Told what each decision saw and was, before it is carried out."""


@dataclass(frozen=True)
class Episode:
    """How an episode went.

    Attributes:
        seed: Of the world.
        mission: What was asked.
        success: Whether it was done in time.
        steps: How many it took.
        first_object_correct: Whether the first object turned to was an instructed one; None where not defined.
        decision_ms: Duration of every decision, float64 `(steps,)`.
    """

    seed: int
    mission: str
    success: bool
    steps: int
    first_object_correct: bool | None
    decision_ms: np.ndarray


def play(
    policy: Policy,
    world: gymnasium.Env,
    seed: int,
    inputs: Collection[str],
    *,
    watch: Watcher | None = None,
    stream: str = "main",
) -> Episode:
    """Play one episode with arg-max actions.

    Args:
        policy: Its stream is reset first.
        world: A world that gives the inputs.
        seed: Of the episode.
        inputs: What the policy is shown; the rest is missing.
        watch: Told of every decision.
        stream: Which of the policy's streams to use.
    """
    policy.reset(stream)
    buffers = Buffers({name: policy.signature.inputs[name] for name in inputs})
    raw, info = world.reset(seed=seed)
    decision_ms: list[float] = []
    while True:
        now_s = len(decision_ms) / policy.signature.rate_hz
        for name in inputs:
            if name in raw:
                buffers.feed(name, raw[name], now_s)
        sensed = buffers.observe(now_s)
        decision = policy.act(sensed.observation, ages_s=sensed.ages_s, sequences=sensed.sequences, stream=stream)
        decision_ms.append(decision.timings_ms["total"])
        if watch:
            watch(sensed, decision)
        raw, _, terminated, truncated, outcome = world.step(decision.executed)
        if terminated or truncated:
            require_success(name_of(world), outcome)
            first, mission = outcome.get("first_object_correct"), str(info.get("mission", ""))
            return Episode(seed, mission, succeeded(outcome), len(decision_ms), first, np.array(decision_ms))


def observed_inputs(signature: Signature, world: gymnasium.Env, asked: Collection[str] | None) -> tuple[str, ...]:
    """The inputs that a policy is to be shown in a world, in the signature's order.

    Args:
        signature: The policy's.
        world: The world.
        asked: Names of inputs; None: all that the world has.

    Raises:
        UsageError: One is asked for that policy or world do not have.
        WorldError: The policy does not fit the world.
    """
    level, given = name_of(world), world.observation_space
    assert isinstance(given, spaces.Dict)
    wanted = list(given) if asked is None else list(asked)
    if unknown := [name for name in wanted if name not in signature.inputs and asked is not None]:
        raise UsageError(f"the policy has no input {', '.join(unknown)}; it has {', '.join(signature.inputs)}")
    if missing := [name for name in wanted if name not in given.spaces]:
        raise UsageError(f"{level} gives no {', '.join(missing)}; it gives {', '.join(given)}")
    if not _acts_alike(signature.action_space.space, world.action_space):
        raise WorldError(f"{level} acts in {world.action_space}, the policy in {signature.action_space.space}")
    inputs = tuple(name for name in signature.names if name in wanted)
    if not inputs:
        raise UsageError("no input is left that the policy could act on")
    for name in inputs:
        modality, shown = signature.inputs[name], given[name]
        expected = modality.one_frame if isinstance(modality, Image) else modality.to_space().shape
        if isinstance(modality, Image | State) and shown.shape != expected:
            raise WorldError(f"{level} gives a {name} of {shown.shape}, the policy takes {expected}")
    return inputs


def _acts_alike(ours: spaces.Space, theirs: spaces.Space) -> bool:
    """Whether whatever a policy does can be done in a world; its limits may be narrower."""
    match ours, theirs:
        case spaces.Discrete(n=n), spaces.Discrete(n=m):
            return bool(n == m)
        case spaces.Box(), spaces.Box():
            same = ours.shape == theirs.shape
            return bool(same and np.all(ours.low >= theirs.low - 1e-6) and np.all(ours.high <= theirs.high + 1e-6))
        case spaces.MultiBinary(n=n), spaces.MultiBinary(n=m):
            return bool(n == m)
    return False


def name_of(world: gymnasium.Env) -> str:
    """What to call a world in a message."""
    return world.spec.id if world.spec else str(getattr(world, "level", type(world).__name__))
