"""The headline again: all runs of the bundled policy with other training seeds, on the same demonstrations and voices.

    python benchmarks/seeds.py                     # hours
    python benchmarks/seeds.py 1

Writes `benchmarks/results/seeds.json`, seed by seed; runs that were interrupted continue. The recipes' own seed is the
bundled policy, whose rows are in `babyai.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from babyai import LOCAL, SPEECH, TEXT, UNHEARD

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.babyai import EVALUATION_SEED
from sensorimotor.pipelines.evaluate import Trial, evaluate
from sensorimotor.pipelines.export import export_checkpoint
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.material import gather
from sensorimotor.pipelines.recipe import load_recipe
from sensorimotor.pipelines.train import train

RESULTS = Path(__file__).parent / "results" / "seeds.json"
CACHE = Path("~/.cache/sensorimotor").expanduser()
RUNS = ("eyes", "ear", "default")
"""In the order in which they begin with each other."""


def run(seed: int, episodes: int, runs: Path, workers: int) -> dict[str, Any]:
    """Train, export and play with one seed."""
    for name in RUNS:
        recipe, out = load_recipe(Path("recipes") / f"{name}.toml"), runs / name
        material = gather(recipe, CACHE, workers, lambda *_: None)
        trained = train(
            recipe.model_copy(update={"seed": seed}),
            out,
            cache=CACHE,
            material=material,
            resume=(out / "checkpoint.safetensors").exists(),
        )
        assert trained.step == trained.steps, "interrupted: call again to continue"
    bundle = runs / "bundle"
    if not bundle.exists():
        export_checkpoint(runs / RUNS[-1], bundle)
    numbers = range(EVALUATION_SEED, EVALUATION_SEED + episodes)
    return {
        "rows": {
            " + ".join(inputs): evaluate(
                Trial(str(bundle), f"BabyAI-{LOCAL}-v0", inputs, UNHEARD), numbers, workers=workers
            )
            for inputs in (TEXT, SPEECH)
        },
        "hours": trained.seconds / 3600,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("torch", "onnxruntime", "minigrid"),
    }


def main() -> None:
    """Do the seeds that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.workers)
    for seed in arguments.seeds:
        report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        if str(seed) in report:
            continue
        row = run(seed, arguments.episodes, arguments.runs / f"seed-{seed}", arguments.workers)
        report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}  # another process may have written
        write_atomically(RESULTS, json.dumps({**report, str(seed): row}, indent=1) + "\n")
        for senses, result in row["rows"].items():
            print(f"seed {seed} {senses:25} {result['success_rate']:.1%}  {result['first_object_correct']:.1%}")


if __name__ == "__main__":
    main()
