"""What the ear owes to which synthesiser: as it is shipped, and trained without one, it is asked for every word.

    python benchmarks/synthesisers.py                     # hours
    python benchmarks/synthesisers.py --without           # only what is trained already

Takes the voices of `recipes/ear.toml`, and those that `voices/record.py` has recorded, which are never trained with.
Writes `benchmarks/results/synthesisers.json`, row by row; runs that were interrupted continue.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorimotor.files import write_atomically
from sensorimotor.models.checkpoint import load_checkpoint
from sensorimotor.pipelines.batches import as_they_are
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.judging import AT_ONCE, understood
from sensorimotor.pipelines.material import Material, gather
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.recipe import load_recipe
from sensorimotor.pipelines.recordings import INDEX
from sensorimotor.pipelines.speech_bank import Script, SpeechBank, speech_bank
from sensorimotor.pipelines.train import train
from sensorimotor.pipelines.tutor import Tutor

RESULTS = Path(__file__).parent / "results" / "synthesisers.json"
CACHE = Path("~/.cache/sensorimotor").expanduser()
KINDS = ("espeak", "flite", "festival")


def kind(speaker: str) -> str:
    """The synthesiser of a speaker."""
    return speaker.partition(":")[0]


def recorded(folder: Path, limit_s: float) -> SpeechBank:
    """All recordings of the voices of one synthesiser that lie in folders `NAME-VOICE`."""
    folders = sorted(folder.parent.glob(f"{folder.name}-*"))
    texts = tuple(sorted({line.partition("\t")[2] for line in (folders[0] / INDEX).read_text().splitlines()}))
    speakers = tuple(f"recordings: {one}" for one in folders)
    script = Script(texts, speakers, {}, len(texts) * len(folders), (165, 165), (50, 50), limit_s, 0)
    return speech_bank(script, CACHE / "speech")


def words_right(run: Path, recipe: MissionRecipe, material: Material, bank: SpeechBank) -> float:
    """Which part of all utterances of a bank is read right, word for word."""
    checkpoint = load_checkpoint(run)
    tutor = Tutor(recipe.network, material.tokenizer)
    tutor.load_state_dict(checkpoint.tutor)
    starts = range(0, len(bank), AT_ONCE)
    parts = (np.arange(start, min(start + AT_ONCE, len(bank))) for start in starts)
    utterances = (as_they_are(bank, part, material.tokenizer) for part in parts)
    return understood(checkpoint.network, tutor, utterances, torch.device("cpu"))


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shipped", type=Path, default=Path("runs/default"), help="the run of the bundled policy")
    parser.add_argument("--ear", type=Path, default=Path("runs/ear"), help="the run of recipes/ear.toml")
    parser.add_argument("--without", nargs="*", default=list(KINDS), choices=KINDS, help="which to leave out, in turn")
    parser.add_argument("--runs", type=Path, default=Path("runs/synthesisers"))
    parser.add_argument("--voices", type=Path, default=CACHE / "voices")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.workers)
    recipe = load_recipe(Path("recipes/ear.toml"))
    material = gather(recipe, CACHE, arguments.workers, lambda *_: None)
    assert recipe.speech is not None
    assert material.bank is not None
    assert material.held_out_bank is not None
    tests = {name: material.held_out_bank.only(lambda speaker, name=name: kind(speaker) == name) for name in KINDS}
    for name in sorted({folder.name.partition("-")[0] for folder in arguments.voices.glob("*-*")}):
        tests[name] = recorded(arguments.voices / name, recipe.speech.utterance_s)
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"heard": {}}
    for name, left, out in (
        ("shipped", None, arguments.shipped),
        ("all", None, arguments.ear),
        *((f"without {left}", left, arguments.runs / left) for left in arguments.without),
    ):
        if name in report["heard"]:
            continue
        if left:
            kept = replace(material, bank=material.bank.only(lambda speaker, left=left: kind(speaker) != left))
            resume = (out / "checkpoint.safetensors").exists()
            trained = train(recipe, out, cache=CACHE, resume=resume, material=kept)
            assert trained.step == trained.steps, "interrupted: call again to continue"
        heard = {test: words_right(out, recipe, material, bank) for test, bank in tests.items()}
        report["heard"][name] = {"understood": heard, "steps": load_checkpoint(out).step}
        report |= {
            "utterances": dict(Counter(kind(str(speaker)) for speaker in material.bank.speakers)),
            "tested": {name: len(bank) for name, bank in tests.items()},
            "date": today(),
            "hardware": describe_machine(),
            "versions": versions("torch", "numpy", "espeakng-loader"),
        }
        write_atomically(RESULTS, json.dumps(report, indent=1) + "\n")
        print(name, heard, flush=True)


if __name__ == "__main__":
    main()
