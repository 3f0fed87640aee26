"""The demonstration: the bundled policy hears a mission, sees a room and acts, and a film shows what happened."""

import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.actions.decision import Decision
from sensorimotor.files import require_writable, write_atomically
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.babyai import ACTIONS, EVALUATION_SEED, BabyAIWorld
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.film import Film, Scene
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.rollout import observed_inputs, play
from sensorimotor.pipelines.speech import speaker

LEVELS = (
    "BabyAI-GoToObj-v0",
    "BabyAI-GoToRedBall-v0",
    "BabyAI-GoToLocal-v0",
    "BabyAI-PickupLoc-v0",
    "BabyAI-PutNextLocal-v0",
)
SPEAKERS = ("espeak:en-us+f3", "espeak:en-gb-scotland", "espeak:en-us+Andrea", "espeak:en+belinda")
"""Voices that the bundled policy was not trained on."""
HEARING, READING = ("camera", "mic"), ("camera", "instruction")
"""What a policy is shown: by ear where it has one, else in writing."""
DEMO_SEED = EVALUATION_SEED + 7000
STEP_S, OUTCOME_S = 0.44, 1.2
"""How long the film shows a decision and the outcome of an episode."""


@dataclass(frozen=True)
class Begun:
    """An episode begins; its mission has been spoken."""

    level: str
    mission: str


@dataclass(frozen=True)
class Decided:
    """The policy has decided."""

    decision: Decision


@dataclass(frozen=True)
class Ended:
    """An episode has ended."""

    success: bool
    steps: int


Event = Begun | Decided | Ended


def demo(
    policy_source: str,
    out: Path,
    *,
    episodes: int = 2,
    seed: int = DEMO_SEED,
    speakers: tuple[str, ...] = SPEAKERS,
    levels: tuple[str, ...] = LEVELS,
    film: bool = True,
    watch: Callable[[Event], None] = lambda _: None,
) -> dict[str, Any]:
    """Play episodes of every level by ear and eye alone, and write `demo.mp4`, `decisions.jsonl` and `summary.json`.

    Args:
        policy_source: A bundle directory or a bundled name.
        out: Directory for the three files.
        episodes: Of each level.
        seed: Of the first episode of each level.
        speakers: Who speaks, one drawn an episode.
        levels: `BabyAI-*-v0` ids.
        film: Whether to make the film.
        watch: Told of everything as it happens.

    Returns:
        The content of `summary.json`.

    Raises:
        OutputPathError: `out` cannot be written.
        SensorimotorError: The policy, a level or a speaker cannot be had.
    """
    require_writable(out)
    policy, voices = Policy.load(policy_source), [speaker(spec) for spec in speakers]
    records: list[str] = []
    rows: list[dict[str, Any]] = []
    files = {"decisions": str(out / "decisions.jsonl"), "summary": str(out / "summary.json")}
    hears = "mic" in policy.signature.inputs
    worlds = [BabyAIWorld(level, speakers=voices if hears else (), written=not hears) for level in levels]
    if film:
        files["film"] = str(out / "demo.mp4")
        with Film(out / "demo.mp4") as reel:
            for world in worlds:
                rows.append(_show_level(policy, world, episodes, seed, records, _Cameraman(reel, world), watch))
    else:
        rows = [_show_level(policy, world, episodes, seed, records, None, watch) for world in worlds]
    summary = {
        "policy": policy_source,
        "fingerprint": policy.fingerprint,
        "inputs": list(HEARING if hears else READING),
        "speakers": list(speakers) if hears else [],
        "levels": rows,
        "files": files,
        "max_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy", "minigrid", "espeakng-loader", "av"),
    }
    write_atomically(out / "decisions.jsonl", "".join(records))
    write_atomically(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


class _Cameraman:
    """Turns what happens in a world into scenes of a film."""

    def __init__(self, reel: Film, world: BabyAIWorld):
        self._reel, self._world = reel, world
        self._last: Decision | None = None

    def listening(self) -> None:
        sound = self._world.spoken[:, 0]
        self._reel.add(self._scene("listening", None), len(sound) / self._reel.sample_rate, sound)

    def acting(self, decision: Decision) -> None:
        if decision.step == 0 and len(self._world.spoken):
            self.listening()
        self._last = decision
        self._reel.add(self._scene("acting", decision), STEP_S)

    def ended(self, success: bool) -> None:
        self._reel.add(self._scene("solved" if success else "missed", self._last), OUTCOME_S)

    def _scene(self, outcome: Any, decision: Decision | None) -> Scene:
        world = self._world
        return Scene(
            camera=world.frame(),
            room=world.room(),
            level=world.level.removeprefix("BabyAI-").removesuffix("-v0"),
            words=world.mission,
            waveform=world.spoken[:, 0],
            heard_s=0.0 if outcome == "listening" else len(world.spoken) / self._reel.sample_rate,
            labels=ACTIONS,
            probabilities=decision.probabilities if decision else None,
            chosen=decision.selected if decision else None,
            confidence=decision.confidence if decision else None,
            decision_ms=decision.timings_ms["total"] if decision else None,
            step=decision.step + 1 if decision else 0,
            outcome=outcome,
        )


def _show_level(
    policy: Policy,
    world: BabyAIWorld,
    episodes: int,
    first_seed: int,
    records: list[str],
    cameraman: _Cameraman | None,
    watch: Callable[[Event], None],
) -> dict[str, Any]:
    """Play the episodes of one level; returns its row of the summary."""
    inputs = observed_inputs(policy.signature, world, HEARING if world.speakers else READING)
    solved, steps, milliseconds = 0, [], []
    for seed in range(first_seed, first_seed + episodes):

        def note(_: Sensed, decision: Decision, seed: int = seed) -> None:
            if decision.step == 0:
                watch(Begun(world.level, world.mission))
            watch(Decided(decision))
            context = {"level": world.level, "seed": seed, "mission": world.mission}
            records.append(json.dumps(context | decision.to_json()) + "\n")
            if cameraman:
                cameraman.acting(decision)

        episode = play(policy, world, seed, inputs, watch=note)
        if cameraman:
            cameraman.ended(episode.success)
        watch(Ended(episode.success, episode.steps))
        solved += episode.success
        steps.append(episode.steps)
        milliseconds.append(episode.decision_ms)
    return {
        "level": world.level,
        "played": episodes,
        "solved": solved,
        "mean_steps": float(np.mean(steps)),
        "decision_ms": quantiles(np.concatenate(milliseconds)),
    }
