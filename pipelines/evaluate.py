"""Evaluation in closed loop: success, path length and attention to the instruction, over many seeds."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import gymnasium
import numpy as np

from sensorimotor.errors import UsageError
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.expert import expert_steps
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.rollout import Episode, observed_inputs, play
from sensorimotor.pipelines.worlds import BABYAI, make_world


@dataclass(frozen=True)
class Trial:
    """What to evaluate: everything a worker process needs to know.

    Attributes:
        policy: A bundle directory or a bundled name.
        level: The id of an environment; see `make_world`.
        inputs: What the policy is shown; None: everything.
        speakers: Who may speak, one drawn an episode; in BabyAI.
        swap_mission: Give, and score, the mission of another object of the room; in BabyAI.
        execution: How the policy's graphs are run.
    """

    policy: str
    level: str
    inputs: tuple[str, ...] | None
    speakers: tuple[str, ...]
    swap_mission: bool = False
    execution: Execution = ONE_THREAD

    def world(self) -> gymnasium.Env:
        """The world of this trial."""
        hears = self.inputs is None or "mic" in self.inputs
        return make_world(self.level, speakers=self.speakers if hears else (), swap_mission=self.swap_mission)

    @property
    def has_expert(self) -> bool:
        """Whether it is known how many steps an expert takes."""
        return self.level.startswith(BABYAI) and not self.swap_mission

    def run(self, seeds: Sequence[int], progress: Callable[[int], None] = lambda _: None) -> list[Episode]:
        """Play these seeds in this process."""
        policy, world = Policy.load(self.policy, execution=self.execution), self.world()
        inputs = observed_inputs(policy.signature, world, self.inputs)
        episodes = []
        for seed in seeds:
            episodes.append(play(policy, world, seed, inputs))
            progress(1)
        return episodes


def evaluate(
    trial: Trial, seeds: Sequence[int], *, workers: int = 1, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Play an episode of each seed and sum up.

    Args:
        trial: What to evaluate.
        seeds: Of the episodes.
        workers: Processes; each plays a share of the seeds.
        progress: Called with the number of episodes played since the last call.

    Returns:
        A JSON-able record; `success_rate` has a Wilson interval `ci95`; `spl` is the mean over episodes of success x
        expert steps / max(own steps, expert steps), with the BabyAI bot as expert (null elsewhere);
        `first_object_correct` is the part of all episodes in which the first object turned to was an instructed one
        (null elsewhere than on "go to").

    Raises:
        UsageError: Not a number of episodes, workers or a seed.
    """
    if not seeds or workers < 1 or min(seeds) < 0:
        raise UsageError(f"{len(seeds)} episodes with {workers} workers: both must be positive, and no seed negative")
    shown = observed_inputs(Bundle.load(trial.policy).signature, trial.world(), trial.inputs)
    trial = replace(trial, inputs=shown)
    if workers == 1:
        played = trial.run(seeds, progress)
        expert = expert_steps(trial.level, list(seeds)) if trial.has_expert else {}
    else:
        played, expert = [], {}
        shares = [list(seeds[i::workers]) for i in range(min(workers, len(seeds)))]
        with ProcessPoolExecutor(len(shares), mp_context=get_context("spawn")) as pool:
            plays = [pool.submit(trial.run, share) for share in shares]
            plans = [pool.submit(expert_steps, trial.level, share) for share in shares] if trial.has_expert else []
            for done in plays:
                played += done.result()
                progress(len(done.result()))
            for plan in plans:
                expert |= plan.result()
    return _summary(trial, played, expert)


def _summary(trial: Trial, played: list[Episode], expert: dict[int, int | None]) -> dict[str, Any]:
    count, successes = len(played), sum(episode.success for episode in played)
    looked = [episode.first_object_correct for episode in played]
    milliseconds = np.concatenate([episode.decision_ms for episode in played])
    solvable = [(episode, expert[episode.seed]) for episode in played if expert.get(episode.seed)]
    paths = [episode.success * steps / max(episode.steps, steps) for episode, steps in solvable if steps]
    hears = "mic" in (trial.inputs or ()) and trial.level.startswith(BABYAI)
    return {
        "policy": trial.policy,
        "env": trial.level,
        "inputs": list(trial.inputs or ()),
        "speaker": ", ".join(trial.speakers) if hears and trial.speakers else None,
        "swap_mission": trial.swap_mission,
        "episodes": count,
        "seed": min(episode.seed for episode in played),
        "successes": successes,
        "success_rate": successes / count,
        "ci95": list(wilson(successes, count)),
        "spl": float(np.mean(paths)) if paths else None,
        "first_object_correct": None if all(one is None for one in looked) else sum(map(bool, looked)) / count,
        "mean_steps": float(np.mean([episode.steps for episode in played])),
        "decision_ms": quantiles(milliseconds),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy", "minigrid", "espeakng-loader"),
    }


def wilson(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson score interval of a rate.

    >>> [round(bound, 3) for bound in wilson(97, 100)]
    [0.915, 0.99]
    """
    rate, scale = successes / count, 1 + z * z / count
    centre = (rate + z * z / (2 * count)) / scale
    spread = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / scale
    return max(0.0, centre - spread), min(1.0, centre + spread)


def quantiles(milliseconds: np.ndarray) -> dict[str, float]:
    """p50, p95, p99 and maximum of durations (ms)."""
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(np.max(milliseconds))}
