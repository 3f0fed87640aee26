"""What keeping the tokens of a frozen encoder is worth: samples a second of training with the cache and without it.

    python benchmarks/token_cache.py

Pictures from a manifest, a frozen ViT-B/32 of open_clip (random weights: nothing is downloaded, and how long a matrix
product takes does not depend on what is in it), and everything behind it is trained as `sensorimotor train` does. With
the cache, the first epoch pays for the tokens of all pictures, and the next ones read them. Both take turns in one run,
an epoch at a time, on the same batches and one thread. Writes `benchmarks/results/token_cache.json`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from encoders import CLIP_MODEL, clip_architecture, ratio
from torch import nn

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.cloning import EpisodeLesson
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.examples import Example
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.token_table import TokenTable

RESULTS = Path(__file__).parent / "results" / "token_cache.json"
HEIGHT, WIDTH = 240, 320
LABELS = ("left", "right", "wait")
BATCH = 32


def manifest(folder: Path, pictures: int) -> Path:
    """Pictures of blurred noise and a label for each, as JSON Lines."""
    rng, lines = np.random.default_rng(0), []
    for i in range(pictures):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        file = folder / f"{i:04}.jpg"
        cv2.imwrite(str(file), cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
        lines.append(json.dumps({"camera": file.name, "action": LABELS[int(rng.integers(len(LABELS)))]}))
    path = folder / "pictures.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def recipe(path: Path, tokens: str) -> EpisodeRecipe:
    """Pictures to labels, behind a frozen ViT-B/32."""
    content = {
        "name": "token-cache",
        "data": {"kind": "manifest", "path": str(path)},
        "signature": {"inputs": {"camera": {}}, "action": {"feature": "action"}, "safe_action": "wait"},
        "network": {
            "encoders": {"camera": {"kind": "open_clip", "tokens": tokens, "architecture": clip_architecture()}}
        },
        "training": {"steps": 1, "batch_episodes": BATCH},
    }
    found = parse_recipe(content, "the benchmark")
    assert isinstance(found, EpisodeRecipe)
    return found


class Cached(EpisodeLesson):
    """A lesson that notes how long its token tables took (s)."""

    tables_s = 0.0

    def _tables(self, source: Source, some: Sequence[Example], cache: Path, report: Any) -> dict[str, TokenTable]:
        began = time.perf_counter()
        tables = super()._tables(source, some, cache, report)
        self.tables_s += time.perf_counter() - began
        return tables


class Uncached(EpisodeLesson):
    """A lesson that encodes every picture whenever it comes."""

    def _tables(self, source: Source, some: Sequence[Example], cache: Path, report: Any) -> dict[str, TokenTable]:
        return {}


class Run:
    """A run that goes on an epoch at a time."""

    def __init__(self, lesson: EpisodeLesson, steps: int):
        self.lesson, self.steps, self.step = lesson, steps, 0
        self.parameters = [one for one in lesson.network.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4)
        self.losses: list[float] = []

    def epoch(self) -> float:
        """Samples a second."""
        began, samples = time.perf_counter(), 0.0
        self.lesson.network.train()
        for _ in range(self.steps):
            loss, numbers = self.lesson.losses(self.step)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.step, samples = self.step + 1, samples + numbers["samples"]
            self.losses.append(float(loss.detach()))
        return samples / (time.perf_counter() - began)


def measured(tokens: str, path: Path, cache: Path, pictures: int, rounds: int) -> dict[str, Any]:
    """One kind of tokens: first epochs, and later ones in turns."""
    chosen, device = recipe(path, tokens), torch.device("cpu")
    lessons = [kind(chosen, cache, None, {}, device, lambda *_: None) for kind in (Cached, Uncached)]
    steps = pictures // BATCH
    runs = [Run(lesson, steps) for lesson in lessons]
    first = [run.epoch() for run in runs]
    samples = steps * BATCH
    later = np.array([[run.epoch() for run in runs] for _ in range(rounds)])
    apart = max(abs(a - b) for a, b in zip(*(run.losses for run in runs), strict=True))
    if apart > 0.05:
        raise SystemExit(f"with the cache another loss is minimised: they differ by {apart:.3f}")
    with_s = samples / first[0] + lessons[0].tables_s  # type: ignore[attr-defined]
    return {
        "samples_per_s": {
            "with, first epoch": samples / with_s,
            "without, first epoch": first[1],
            "with": sorted(later[:, 0]),
            "without": sorted(later[:, 1]),
        },
        "times_as_fast": ratio(later[:, :1], later[:, 1:]),
        "epochs": rounds,
        "samples_an_epoch": samples,
        "cache_bytes": sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()),
        "largest_difference_of_losses": apart,
    }


def main() -> None:
    """Measure both kinds of tokens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=5, help="of each, after the first one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"model": CLIP_MODEL, "weights": "random", "threads": 1, "batch": BATCH}
    report |= {"pictures": arguments.pictures, "picture": [HEIGHT, WIDTH], "tokens": {}}
    with TemporaryDirectory() as folder:
        path = manifest(Path(folder), arguments.pictures)
        for tokens in ("pooled", "patches"):
            cache = Path(folder) / tokens
            row = measured(tokens, path, cache, arguments.pictures, arguments.epochs)
            report["tokens"][tokens] = row
            print(tokens, json.dumps(row, indent=1), flush=True)
    report |= {
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("torch", "open_clip_torch", "opencv-python-headless", "numpy"),
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
