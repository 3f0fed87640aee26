"""What a policy does with instructions that are written differently: `paraphrases.tsv`, kind by kind.

    python benchmarks/paraphrases.py default

Every paraphrase is played in rooms whose own mission has the same meaning, and beside it the mission itself. Writes
`benchmarks/results/paraphrases.json`.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.actions.decision import Decision
from sensorimotor.files import write_atomically
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.babyai import EVALUATION_SEED, BabyAIWorld, make_level, quietly
from sensorimotor.pipelines.evaluate import wilson
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.rollout import Episode, play

HERE = Path(__file__).parent
LEVELS = {"go": "BabyAI-GoToLocal-v0", "pick": "BabyAI-PickupLoc-v0", "put": "BabyAI-PutNextLocal-v0"}
KINDS = ("verb", "filler", "order", "colour", "type", "all")


class Reworded(BabyAIWorld):
    """A level whose instruction is given in other words, or not at all."""

    wording: str | None = None

    def _observe(self) -> dict[str, Any]:
        observation = super()._observe()
        if self.wording is not None:
            observation["instruction"] = self.wording
        return observation


@dataclass(frozen=True)
class Played:
    """An episode, and how sure the policy was of its first decision."""

    episode: Episode
    confidence: float
    unknown: int


def rooms(level: str, missions: set[str], each: int) -> dict[str, list[int]]:
    """Mission (with definite articles) → the first seeds of evaluation that have it."""
    game, found, seed = make_level(level), defaultdict(list), EVALUATION_SEED
    while any(len(found[mission]) < each for mission in missions):
        with quietly():
            game.reset(seed=seed)
        mission = game.mission.replace(" a ", " the ")
        if mission in missions and len(found[mission]) < each:
            found[mission].append(seed)
        seed += 1
    return found


def played(
    policy: Policy, world: Reworded, seed: int, wording: str | None, inputs: Sequence[str] = ("camera", "instruction")
) -> Played:
    """One episode with the instruction in these words; None: in the world's own."""
    world.wording = wording
    sure: list[float] = []
    told: list[str] = []

    def note(sensed: Sensed, decision: Decision) -> None:
        sure.append(decision.confidence or 0.0)
        told.append(sensed.observation.get("instruction", ""))

    episode = play(policy, world, seed, inputs, watch=note)
    return Played(episode, sure[0], len(policy.unknown_words(told[0])))


def summary(results: Sequence[Played]) -> dict[str, Any]:
    """Rates and mean confidence of some episodes."""
    count, successes = len(results), sum(one.episode.success for one in results)
    looked = [one.episode.first_object_correct for one in results if one.episode.first_object_correct is not None]
    return {
        "episodes": count,
        "success_rate": successes / count,
        "ci95": list(wilson(successes, count)),
        "first_object_correct": sum(looked) / len(looked) if looked else None,
        "confidence": float(np.mean([one.confidence for one in results])),
    }


def measure(policy: Policy, sentences: Sequence[Mapping[str, str]], each: int) -> dict[str, Any]:
    """Play all sentences, and their missions as they are."""
    own: list[Played] = []
    untold: list[Played] = []
    other = defaultdict(list)
    for verb, level in LEVELS.items():
        mine = [one for one in sentences if one["mission"].startswith(verb)]
        places, world = rooms(level, {one["mission"] for one in mine}, each), Reworded(level)
        for seed in sorted({seed for found in places.values() for seed in found}):
            own.append(played(policy, world, seed, None))
            untold.append(played(policy, world, seed, None, ("camera",)))
        for one in mine:
            other[one["kind"]] += [played(policy, world, seed, one["paraphrase"]) for seed in places[one["mission"]]]
    everything = [*own, *(one for kind in KINDS for one in other[kind])]
    unknown = {n: [one for one in everything if min(one.unknown, 4) == n] for n in range(5)}
    return {
        "kinds": {
            "BabyAI's own words": summary(own),
            **{kind: summary(other[kind]) for kind in KINDS},
            "no instruction": summary(untold),
        },
        "unknown_words": {str(n): summary(results) for n, results in unknown.items() if results},
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", default="default")
    parser.add_argument("--rooms", type=int, default=5, help="for each sentence")
    arguments = parser.parse_args()
    policy = Policy.load(arguments.policy)
    with (HERE / "paraphrases.tsv").open() as file:
        sentences = list(csv.DictReader(file, delimiter="\t"))
    report = {
        "fingerprint": policy.fingerprint,
        "sentences": len(sentences),
        "rooms": arguments.rooms,
        **measure(policy, sentences, arguments.rooms),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy", "minigrid"),
    }
    write_atomically(HERE / "results" / "paraphrases.json", json.dumps(report, indent=1) + "\n")
    for name, row in {**report["kinds"], **report["unknown_words"]}.items():
        print(f"{name:20} {row['success_rate']:.1%}  confidence {row['confidence']:.3f}  n={row['episodes']}")


if __name__ == "__main__":
    main()
