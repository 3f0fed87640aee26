"""Labels for clips, end to end from a table: what each set of inputs is good for where two must be put together.

    python benchmarks/clips.py
    python benchmarks/clips.py --write clips    # only the clips: pictures, sounds and two tables

A red ball lies on the left or on the right; the picture shows it and the caption says it. Where a tone rises, or the
pressure is low, the way to the ball is free and its side is the right label; otherwise the other side is.
So either tells nothing without the other: one half is chance. Writes `benchmarks/results/clips.json`.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import soundfile

from sensorimotor.files import write_atomically
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.evaluate import wilson
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).parent / "results" / "clips.json"
RECIPE = Path(__file__).with_suffix(".toml")
SIDES = ("left", "right")
SIDE_PIXELS, BALL_PIXELS = 40, 5
SAMPLE_RATE, SOUND_S, TONE_S = 8_000, 0.4, 0.25
COLOURS = {"blue": (60, 80, 220), "green": (40, 180, 70), "grey": (150, 150, 150), "yellow": (220, 200, 40)}
RED = (220, 40, 40)
CAPTIONS = ("ball on the {}", "{} of the middle", "{}, with others", "red, {} side")


def picture(side: int, rng: np.random.Generator) -> np.ndarray:
    """A red ball on one side among balls of other colours anywhere, uint8 `(height, width, 3)`."""
    frame = rng.integers(20, 60, (SIDE_PIXELS, SIDE_PIXELS, 3)).astype(np.uint8)
    for colour in rng.choice(sorted(COLOURS), rng.integers(4), replace=False):
        column, row = rng.integers(BALL_PIXELS, SIDE_PIXELS - BALL_PIXELS, 2)
        cv2.circle(frame, (int(column), int(row)), BALL_PIXELS, COLOURS[str(colour)], -1)
    middle = SIDE_PIXELS // 2
    column = rng.integers(BALL_PIXELS, middle - 2) + side * (middle - BALL_PIXELS + 2)
    cv2.circle(frame, (int(column), int(rng.integers(BALL_PIXELS, SIDE_PIXELS - BALL_PIXELS))), BALL_PIXELS, RED, -1)
    return frame


def sound(free: bool, rng: np.random.Generator) -> np.ndarray:
    """A tone that rises or falls by half an octave or more, anywhere in some noise, float32 `(samples,)`."""
    samples = round(SOUND_S * SAMPLE_RATE)
    wave = 10 ** (rng.uniform(-60, -40) / 20) * rng.standard_normal(samples)
    seconds = np.arange(round(TONE_S * SAMPLE_RATE)) / SAMPLE_RATE
    low, octaves = rng.uniform(300, 1200), rng.uniform(0.5, 1.0)
    at = seconds / TONE_S if free else 1 - seconds / TONE_S
    phase = 2 * np.pi * np.cumsum(low * 2 ** (octaves * at)) / SAMPLE_RATE
    tone = rng.uniform(0.1, 0.5) * np.sin(phase) * np.hanning(len(seconds)) ** 0.25
    start = rng.integers(samples - len(tone))
    wave[start : start + len(tone)] += tone
    return wave.astype(np.float32)


def gauges(free: bool, rng: np.random.Generator) -> tuple[float, float]:
    """The pressure in the way (bar), below 2 where it is free; and the temperature (degrees), which says nothing."""
    return round(2 + rng.uniform(0.1, 1.5) * (-1 if free else 1), 3), round(rng.uniform(15, 25), 1)


def write_clips(folder: Path, name: str, count: int, seed: int) -> Path:
    """Write clips into a folder: a table `NAME.csv`, with pictures and sounds beside it."""
    rng = np.random.default_rng(seed)
    media = folder / name
    media.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        side, free = int(rng.integers(2)), bool(rng.integers(2))
        shown, heard = f"{name}/{i:05}.png", f"{name}/{i:05}.flac"
        cv2.imwrite(str(folder / shown), cv2.cvtColor(picture(side, rng), cv2.COLOR_RGB2BGR))
        soundfile.write(folder / heard, sound(free, rng), SAMPLE_RATE)
        caption = str(rng.choice(CAPTIONS)).format(SIDES[side])
        action = SIDES[side if free else 1 - side]
        pressure, temperature = gauges(free, rng)
        rows.append([shown, heard, caption, pressure, temperature, action])
    table = folder / f"{name}.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["camera", "mic", "caption", "pressure", "temperature", "action"])
        writer.writerows(rows)
    return table


def read_clips(table: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The clips of a table as a policy takes them, and their labels; read without this library."""
    with table.open() as file:
        rows = list(csv.DictReader(file))
    clips = [
        {
            "camera": cv2.cvtColor(cv2.imread(str(table.parent / row["camera"])), cv2.COLOR_BGR2RGB),
            "mic": soundfile.read(table.parent / row["mic"], dtype="float32")[0],
            "caption": row["caption"],
            "gauges": [row["pressure"], row["temperature"]],
        }
        for row in rows
    ]
    return clips, [row["action"] for row in rows]


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of inputs, all of them first."""
    return [some for size in range(len(names), 0, -1) for some in combinations(names, size)]


def judge(policy: Policy, clips: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Set of inputs → how many of the clips a policy labels right with these alone."""
    judged = {}
    for inputs in subsets(policy.signature.names):
        policy.reset()  # each clip stands alone
        shown = [{name: clip[name] for name in inputs} for clip in clips]
        said = [decision.label for decision in policy.act_batch(shown)]
        right = sum(one == label for one, label in zip(said, labels, strict=True))
        judged[" + ".join(inputs)] = {"accuracy": right / len(clips), "ci95": list(wilson(right, len(clips)))}
    return judged


def run(seed: int, folder: Path, senses: Sequence[str] = ()) -> dict[str, Any]:
    """Train, export and judge with one seed, on the clips of a folder; `senses`: with these inputs only."""
    from sensorimotor.pipelines.export import export_checkpoint
    from sensorimotor.pipelines.recipe import load_recipe
    from sensorimotor.pipelines.recipe_tables import Senses
    from sensorimotor.pipelines.train import train

    recipe = load_recipe(RECIPE)
    places = {key: str(folder / f"{name}.csv") for key, name in (("path", "train"), ("held_out_path", "held_out"))}
    only = {"senses": (Senses(inputs=tuple(senses), weight=1),)} if senses else {}
    changes = {"seed": seed, "data": recipe.data.model_copy(update=places)}
    recipe = recipe.model_copy(update=changes | {"training": recipe.training.model_copy(update=only)})
    out = folder / f"seed-{seed}{'-only' if senses else ''}"
    trained = train(recipe, out / "run", cache=folder / "cache")
    export_checkpoint(out / "run", out / "bundle")
    rows = judge(Policy.load(out / "bundle"), *read_clips(folder / "held_out.csv"))
    printed = {inputs: row["accuracy"] for inputs, row in trained.held_out.items()}
    return {"rows": rows, "printed_by_training": printed, "steps": trained.step, "seconds": trained.seconds}


def main() -> None:
    """Write clips, or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="only write the clips, into this folder")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.write or Path(temporary)
        write_clips(folder, "train", arguments.clips, seed=1)
        write_clips(folder, "held_out", arguments.held_out, seed=2)
        if arguments.write:
            return
        import torch

        torch.set_num_threads(1)
        seeds = {}
        for seed in range(arguments.seeds):
            seeds[str(seed)] = run(seed, folder)
            print(seed, {inputs: row["accuracy"] for inputs, row in seeds[str(seed)]["rows"].items()}, flush=True)
        alone = run(0, folder, ("camera", "mic"))["rows"]["camera + mic"]
        _, labels = read_clips(folder / "held_out.csv")
    report = {
        "clips": arguments.clips,
        "held_out": arguments.held_out,
        "majority": max(labels.count(side) for side in SIDES) / len(labels),
        "seeds": seeds,
        "taught_with_camera_and_mic_only": alone,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("torch", "onnxruntime", "numpy", "opencv-python-headless", "soundfile"),
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
