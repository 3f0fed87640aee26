"""How well a policy plays: the table of success, path length and attention, with chance and the experts beside it.

    python benchmarks/babyai.py default --workers 2

Writes `benchmarks/results/babyai.json`, row by row; rows that are there already for the same bundle are kept.
"""

import argparse
import json
from collections.abc import Callable, Sequence
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
VOICES = Path("~/.cache/sensorimotor/voices").expanduser()
"""Where `voices/record.py` has put the voices of synthesisers that nobody was trained with."""
LEVELS = ("GoToObj", "GoToRedBall", "GoToLocal", "PickupLoc", "PutNextLocal")
LOCAL, PUT_NEXT = "GoToLocal", "PutNextLocal"
TEXT, SPEECH = ("camera", "instruction"), ("camera", "mic")
SUBSETS = (("camera",), TEXT, SPEECH, ("camera", "mic", "instruction"))
BLIND = (("mic",), ("instruction",), ("mic", "instruction"))
UNHEARD = (*SPEAKERS, "flite:awb", "flite:rms", "festival:ked_diphone")
"""Voices that the bundled policy was not trained with, of synthesisers that it was."""


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
        "first_object_correct": firsts / episodes if "GoTo" in level else None,
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
        lesson = play_expert(game, considerate=considerate, after_step=gaze.look)
        successes, steps = successes + lesson.success, steps + len(lesson.advice)
        firsts += bool(gaze.first_object_correct)
    return successes, firsts, steps


def rows(policy: str, episodes: int, workers: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """Row name → what measures it."""

    def trying(
        level: str, inputs: tuple[str, ...], speakers: Sequence[str] = UNHEARD, swap: bool = False
    ) -> Callable[[], dict[str, Any]]:
        trial = Trial(policy, f"BabyAI-{level}-v0", inputs, tuple(speakers), swap)
        return lambda: evaluate(trial, range(EVALUATION_SEED, EVALUATION_SEED + episodes), workers=workers)

    def outside(level: str, act: str) -> Callable[[], dict[str, Any]]:
        return lambda: outsiders(f"BabyAI-{level}-v0", episodes, act)

    table: dict[str, Callable[[], dict[str, Any]]] = {}
    for level in LEVELS:
        table[f"{level} / chance"] = outside(level, "random")
        table[f"{level} / BabyAI bot"] = outside(level, "bot")
        if level.startswith("GoTo"):
            table[f"{level} / considerate expert"] = outside(level, "considerate")
        for inputs in (*SUBSETS, *(BLIND if level in (LOCAL, PUT_NEXT) else ())):
            table[f"{level} / {' + '.join(inputs)}"] = trying(level, inputs)
    for inputs in (TEXT, SPEECH):
        table[f"{LOCAL} / {' + '.join(inputs)}, swapped mission"] = trying(LOCAL, inputs, swap=True)
    for voice in UNHEARD:
        table[f"{LOCAL} / camera + mic, {voice}"] = trying(LOCAL, SPEECH, (voice,))
    for folder in sorted(VOICES.glob("*/")):
        for level in (LOCAL, PUT_NEXT):
            table[f"{level} / camera + mic, recorded:{folder.name}"] = trying(level, SPEECH, (f"recordings: {folder}",))
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
    if arguments.out.exists():
        before = json.loads(arguments.out.read_text())
        # What does not depend on the policy, chance and experts, is kept.
        same = before["fingerprint"] == fingerprint
        report["rows"] = {
            n: r for n, r in before["rows"].items() if same or r["policy"] in ("random", "bot", "considerate")
        }
    for name, measure in rows(arguments.policy, arguments.episodes, arguments.workers).items():
        if name not in report["rows"]:
            row = measure()
            if "recorded:" in name:
                row["speaker"] = name.partition("recorded:")[2]  # and not where it lies on this machine
            report["rows"][name] = row
            write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
            first = row["first_object_correct"]
            print(
                f"{name:55} {row['success_rate']:.1%}" + (f"  first {first:.1%}" if first is not None else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
