"""Voices of synthesisers that no policy was trained with: records every mission of the bundled policy's levels.

    cd benchmarks/voices && npm install      # and put the files of Debian's libttspico-data into pico-lang/
    python benchmarks/voices/record.py ~/.cache/sensorimotor/voices

Writes a directory for every voice, which `--speaker "recordings: DIR"` then speaks with. SVOX Pico (Apache-2.0) has
hidden Markov models of its own, gnuspeech (GPL-3) models a vocal tract.
"""

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.babyai import EVALUATION_SEED, make_level, quietly
from sensorimotor.pipelines.recordings import INDEX

HERE = Path(__file__).parent
VOICES = {
    "pico-en-US": ("pico.mjs", "en-US"),
    "pico-en-GB": ("pico.mjs", "en-GB"),
    "gnuspeech-male": ("gnuspeech.mjs", "male"),
    "gnuspeech-female": ("gnuspeech.mjs", "female"),
}
LEVELS = ("GoToObj", "GoToRedBall", "GoToLocal", "PickupLoc", "PutNextLocal")
RATES, PITCHES = (0.85, 1.15), (0.9, 1.15)
"""Relative to the voice's own; drawn for every text."""


def missions(episodes: int) -> list[str]:
    """Every mission of the first episodes of evaluation, in alphabetical order."""
    found = set()
    for level in LEVELS:
        game = make_level(f"BabyAI-{level}-v0")
        for seed in range(EVALUATION_SEED, EVALUATION_SEED + episodes):
            with quietly():
                game.reset(seed=seed)
            found.add(str(game.mission))
    return sorted(found)


def record(texts: Sequence[str], script: str, voice: str, out: Path) -> None:
    """Let a voice say all texts."""
    rng = np.random.default_rng(0)
    names = [f"{number:03}" for number in range(len(texts))]
    lines = [
        f"{name}\t{rng.uniform(*RATES):.3f}\t{rng.uniform(*PITCHES):.3f}\t{text}\n"
        for name, text in zip(names, texts, strict=True)
    ]
    call = ["node", str(HERE / script), voice, str(out)]
    subprocess.run(call, input="".join(lines), text=True, check=True, timeout=600)
    index = "".join(f"{name}.wav\t{text}\n" for name, text in zip(names, texts, strict=True))
    write_atomically(out / INDEX, index)


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=int, default=1024)
    arguments = parser.parse_args()
    texts = missions(arguments.episodes)
    for name, (script, voice) in VOICES.items():
        if not (arguments.out / name / INDEX).exists():
            record(texts, script, voice, arguments.out / name)


if __name__ == "__main__":
    main()
