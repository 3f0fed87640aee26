"""What each idea is worth: small runs that differ in one thing, trained and played on the seeds of evaluation.

    python benchmarks/experiments.py                     # all of them; hours
    python benchmarks/experiments.py "10k demonstrations" "without pointing"

Writes `benchmarks/results/experiments.json`, row by row: rows that are there are kept, and runs that were
interrupted continue.
"""

import argparse
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.babyai import EVALUATION_SEED, make_level, quietly
from sensorimotor.pipelines.evaluate import Trial, evaluate
from sensorimotor.pipelines.export import export_checkpoint
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.train import train

RESULTS = Path(__file__).parent / "results" / "experiments.json"
CACHE = Path("~/.cache/sensorimotor").expanduser()
LOCAL, PUT_NEXT = "BabyAI-GoToLocal-v0", "BabyAI-PutNextLocal-v0"
TEXT, SPEECH = ("camera", "instruction"), ("camera", "mic")
NOVEL = ("red ball", "green key", "blue box")
"""Their colours are still asked for with two other types each, their types with five other colours."""


def _recipe(level: str, demonstrations: int, steps: int, **training: Any) -> dict[str, Any]:
    """A small run that reads and sees; everything else stands in its changes."""
    return {
        "name": "experiment",
        "data": {
            "expert": "considerate",
            "levels": [{"id": level, "episodes": demonstrations}],
        },
        "training": {
            "steps": steps,
            "evaluate_every": 500,
            "precision": "bfloat16",
            "senses": [{"inputs": ["camera", "instruction"], "weight": 12}, {"inputs": ["camera"], "weight": 1}],
            **training,
        },
    }


def _changed(recipe: dict[str, Any], **tables: dict[str, Any]) -> dict[str, Any]:
    """A recipe with other keys in some of its tables."""
    return deepcopy(recipe) | {name: {**recipe.get(name, {}), **content} for name, content in tables.items()}


CURVE_STEPS = 1000
SPOKEN = {
    "utterances": 3000,
    "held_out_utterances": 500,
    "speakers": [
        "espeak:en-us", "espeak:en", "espeak:en-029", "espeak:en-gb-x-rp", "espeak:en-us+m1", "espeak:en-us+m2",
        "espeak:en+m3", "espeak:en-us+f1", "espeak:en+f2", "espeak:en-us+klatt", "espeak:en+klatt3",
        "espeak:en-us+Alex",
    ],
    "held_out_speakers": ["espeak:en-us+f3", "espeak:en-gb-scotland", "espeak:en-us+Andrea", "espeak:en+belinda"],
}  # fmt: skip
HEARS = [
    {"inputs": ["camera", "mic"], "weight": 6},
    {"inputs": ["camera", "instruction"], "weight": 6},
    {"inputs": ["camera"], "weight": 1},
]


def experiments() -> dict[str, tuple[dict[str, Any], tuple[tuple[str, ...], ...]]]:
    """Name → recipe, and with which senses to play."""
    plain = {f"{n}k demonstrations": _recipe(LOCAL, 1000 * n, CURVE_STEPS) for n in (1, 5, 10, 50)}
    moving = _recipe(PUT_NEXT, 20_000, 1500, batch_episodes=32)
    hearing = _changed(
        _recipe(LOCAL, 10_000, 1000, senses=HEARS, batch_episodes=32, alignment_utterances=32),
        speech=SPOKEN,
        data={"novel": NOVEL},
    )
    texts = {
        **plain,
        "put next": moving,
        "put next without pointing": _changed(moving, training={"pointing": 0.0}),
    }
    both = {
        "novel": hearing,
        "novel without pointing": _changed(hearing, training={"pointing": 0.0}),
        "novel without alignment": _changed(hearing, training={"alignment": 0.0}),
    }
    return {
        **{name: (recipe, (TEXT,)) for name, recipe in texts.items()},
        **{name: (recipe, (TEXT, SPEECH)) for name, recipe in both.items()},
    }


def seeds(level: str, episodes: int, about: tuple[str, ...] | None = None, without: tuple[str, ...] = ()) -> list[int]:
    """The first seeds of evaluation whose missions are about some objects, or about none of some others."""
    found: list[int] = []
    game, seed = make_level(level), EVALUATION_SEED
    while len(found) < episodes:
        with quietly():
            game.reset(seed=seed)
        wanted = about is None or any(thing in game.mission for thing in about)
        if wanted and not any(thing in game.mission for thing in without):
            found.append(seed)
        seed += 1
    return found


def run(name: str, episodes: int, runs: Path, workers: int) -> dict[str, Any]:
    """Train, export and play one experiment."""
    content, senses = experiments()[name]
    recipe = parse_recipe(content, name)
    out = runs / name.replace(" ", "-").replace(",", "").replace("'", "")
    trained = train(recipe, out, cache=CACHE, resume=(out / "checkpoint.safetensors").exists(), workers=workers)
    assert trained.step == trained.steps, "interrupted: call again to continue"
    if not (out / "bundle").exists():
        export_checkpoint(out, out / "bundle")
    level = recipe.data.levels[0].id
    voices = recipe.speech.held_out_speakers if recipe.speech else ()
    played = {"": seeds(level, episodes)}
    if recipe.data.novel:
        played = {
            ", seen": seeds(level, episodes, without=recipe.data.novel),
            ", novel": seeds(level, episodes, about=recipe.data.novel),
        }
    rows = {
        " + ".join(inputs) + which: evaluate(
            Trial(str(out / "bundle"), level, inputs, voices), numbers, workers=workers
        )
        for inputs in senses
        for which, numbers in played.items()
    }
    return {
        "recipe": recipe.model_dump(mode="json"),
        "hours": trained.seconds / 3600,
        "held_out": trained.held_out,
        "rows": rows,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("torch", "onnxruntime", "minigrid"),
    }


def main() -> None:
    """Do the experiments that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which; without, all")
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.workers)
    for name in arguments.names or experiments():
        report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        if name in report:
            continue
        row = run(name, arguments.episodes, arguments.runs, arguments.workers)
        report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}  # another process may have written
        write_atomically(RESULTS, json.dumps({**report, name: row}, indent=1) + "\n")
        for senses, result in row["rows"].items():
            first = result["first_object_correct"]
            print(
                f"{name:35} {senses:30} {result['success_rate']:.1%}" + (f"  {first:.1%}" if first else ""), flush=True
            )


if __name__ == "__main__":
    main()
