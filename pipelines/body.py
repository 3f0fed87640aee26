"""A simulated body: a Gymnasium environment as sensors and an actuator, moving at the pace of the policy."""

import queue
from collections.abc import Callable, Collection
from typing import Any

import gymnasium
import numpy as np

from sensorimotor.actions.actuator import Command
from sensorimotor.clock import Clock
from sensorimotor.errors import ActuatorError
from sensorimotor.perception.sensor import Losses, Sample, Sensor
from sensorimotor.pipelines.rollout import name_of
from sensorimotor.pipelines.worlds import succeeded

WAITING = 64
"""Samples that wait to be read, at most; the oldest go first."""


class Body:
    """Plays episode after episode; an `Actuator`. A step of the environment is what one action does.

    Args:
        world: The environment, whose observations are named like the inputs.
        inputs: Which of them are sensed.
        clock: Stamps samples.
        seed: Of the first episode; the next ones count up.
        told: Takes `(seed, mission, success, steps)` of each episode that ends.

    Attributes:
        over: Whether an episode has ended and the next one has not begun.
        episodes: How many have ended.
        successes: How many of them were done in time.
    """

    def __init__(
        self,
        world: gymnasium.Env,
        inputs: Collection[str],
        clock: Clock,
        *,
        seed: int = 0,
        told: Callable[[int, str, bool, int], object] = lambda seed, mission, success, steps: None,
    ):
        self._world, self._clock, self._seed, self._told = world, clock, seed, told
        self.target = name_of(world)
        self._senses = {name: _Sense(f"{self.target} {name}") for name in inputs}
        self._mission, self._steps = "", 0
        self.over, self.episodes, self.successes = True, 0, 0

    @property
    def sensors(self) -> dict[str, Sensor]:
        """Input → what is sensed of it."""
        return dict(self._senses)

    def begin(self) -> None:
        """Begin the next episode: its first observation is sensed."""
        raw, info = self._world.reset(seed=self._seed)
        self._mission, self._steps, self.over = str(info.get("mission", "")), 0, False
        self._sense(raw)

    def open(self) -> None:
        """Nothing to do."""

    def send(self, command: Command, timeout_s: float) -> None:
        """Take one step; a hold that is left to the device, and what comes between episodes, is none.

        Raises:
            ActuatorError: The environment raised something.
        """
        if self.over or command.action is None:
            return
        try:
            raw, _, terminated, truncated, info = self._world.step(command.action)
        except Exception as error:  # noqa: BLE001 (anybody's environment may raise anything)
            raise ActuatorError(f"{self.target} raised {type(error).__name__}: {error}") from error
        self._steps += 1
        if terminated or truncated:
            self.over = True
            self.episodes += 1
            self.successes += succeeded(info)
            self._told(self._seed, self._mission, succeeded(info), self._steps)
            self._seed += 1
        else:
            self._sense(raw)

    def close(self) -> None:
        """Nothing to do: who made the environment closes it."""

    def _sense(self, raw: dict[str, Any]) -> None:
        now_ns = self._clock.now_ns()
        for name, sense in self._senses.items():
            if name in raw:
                value = raw[name]
                sense.put(value.copy() if isinstance(value, np.ndarray) else value, now_ns)


class _Sense:
    """One input of a body; a `Sensor`."""

    paced: bool = True
    noisy: bool = False
    reopens: bool = False
    interval_s: float | None = None

    def __init__(self, source: str):
        self.source: str = source
        self.losses: Losses = Losses()
        self._waiting: queue.Queue[tuple[Any, int]] = queue.Queue(WAITING)
        self._sequence = -1

    def put(self, value: Any, captured_ns: int) -> None:
        """Have a value be read next."""
        while True:
            try:
                self._waiting.put_nowait((value, captured_ns))
                return
            except queue.Full:
                self.losses.count("overflow")
                self._waiting.get_nowait()

    def open(self) -> None:
        """Nothing to do."""

    def read(self, timeout_s: float) -> Sample | None:
        """See `Sensor`."""
        try:
            value, captured_ns = self._waiting.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._sequence += 1
        return Sample(value, captured_ns, self._sequence)

    def close(self) -> None:
        """Nothing to do."""
