"""How well a policy plays: the table of success, path length and attention, with chance and the experts beside it.

    python benchmarks/babyai.py default --workers 2

Writes `benchmarks/results/babyai.json`, row by row; rows that are there already for the same bundle are kept.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.files import write_atomically
from sensorimotor.models.bundle import Bundle
from sensorimotor.pipelines.babyai import ACTIONS, EVALUATION_SEED, BabyAIWorld, make_level, quietly
from sensorimotor.pipelines.demo import SPEAKERS
from sensorimotor.pipelines.evaluate import Trial, evaluate, wilson
from sensorimotor.pipelines.expert import play_expert
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).parent / "results" / "babyai.json"
LEVELS = ("BabyAI-GoToObj-v0", "BabyAI-GoToRedBall-v0", "BabyAI-GoToLocal-v0")
LOCAL = LEVELS[-1]
TEXT, SPEECH = ("camera", "instruction"), ("camera", "mic")


def outsiders(level: str, episodes: int, act: str) -> dict[str, Any]:
    """Chance (`act` = "random") or an expert ("bot", "considerate") on the seeds of evaluation."""
    if act == "random":
        successes, firsts, steps = _random_play(level, episodes)
    else:
        successes, firsts, steps = _expert_play(level, episodes, considerate=act == "considerate")
    return {
        "policy": act,
        "env": level,
        "episodes": episodes,
        "seed": EVALUATION_SEED,
        "successes": successes,
        "success_rate": successes / episodes,
        "ci95": list(wilson(successes, episodes)),
        "first_object_correct": firsts / episodes,
        "mean_steps": steps / episodes,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("numpy", "minigrid"),
    }


def _random_play(level: str, episodes: int) -> tuple[int, int, int]:
    world, rng = BabyAIWorld(level), np.random.default_rng(0)
    successes = firsts = steps = 0
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + episodes):
        world.reset(seed=seed)
        ended = False
        while not ended:
            _, _, terminated, truncated, info = world.step(int(rng.integers(len(ACTIONS))))
            ended, steps = terminated or truncated, steps + 1
        successes += info["success"]
        firsts += bool(world.first_object_correct)
    return successes, firsts, steps


def _expert_play(level: str, episodes: int, considerate: bool) -> tuple[int, int, int]:
    from sensorimotor.pipelines.babyai import Gaze

    game = make_level(level)
    successes = firsts = steps = 0
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + episodes):
        with quietly():
            game.reset(seed=seed)
        gaze = Gaze(game)
        _, actions, success = play_expert(game, considerate=considerate, after_step=gaze.look)
        successes, steps, firsts = successes + success, steps + len(actions), firsts + bool(gaze.first_object_correct)
    return successes, firsts, steps


def rows(policy: str, episodes: int, workers: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """Row name → what measures it."""

    def trying(
        level: str, inputs: tuple[str, ...], speakers: tuple[str, ...] = SPEAKERS, swap: bool = False
    ) -> Callable[[], dict[str, Any]]:
        return lambda: evaluate(
            Trial(policy, level, inputs, speakers, swap), episodes, EVALUATION_SEED, workers=workers
        )

    table: dict[str, Callable[[], dict[str, Any]]] = {}
    for level in LEVELS:
        short = level.removeprefix("BabyAI-").removesuffix("-v0")
        table[f"{short} / chance"] = lambda level=level: outsiders(level, episodes, "random")
        table[f"{short} / BabyAI bot"] = lambda level=level: outsiders(level, episodes, "bot")
        table[f"{short} / considerate expert"] = lambda level=level: outsiders(level, episodes, "considerate")
        table[f"{short} / camera only"] = trying(level, ("camera",))
        table[f"{short} / camera + text"] = trying(level, TEXT)
        table[f"{short} / camera + speech"] = trying(level, SPEECH)
        table[f"{short} / all"] = trying(level, ("camera", "mic", "instruction"))
    table["GoToLocal / camera + text, swapped mission"] = trying(LOCAL, TEXT, swap=True)
    table["GoToLocal / camera + speech, swapped mission"] = trying(LOCAL, SPEECH, swap=True)
    for voice in SPEAKERS:
        table[f"GoToLocal / camera + speech, {voice}"] = trying(LOCAL, SPEECH, (voice,))
    return table


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", default="default")
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    fingerprint = Bundle.load(arguments.policy).fingerprint
    report: dict[str, Any] = {"fingerprint": fingerprint, "rows": {}}
    if arguments.out.exists() and (before := json.loads(arguments.out.read_text()))["fingerprint"] == fingerprint:
        report = before
    for name, measure in rows(arguments.policy, arguments.episodes, arguments.workers).items():
        if name not in report["rows"]:
            report["rows"][name] = row = measure()
            write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
            print(f"{name:55} {row['success_rate']:.1%}  first {row['first_object_correct']:.1%}", flush=True)


if __name__ == "__main__":
    main()
