"""What encoders cost: ONNX Runtime against eager torch, and two seconds of sound against Whisper's usual thirty.

    python benchmarks/encoders.py

Encoders have the architecture of the models that they are named after and random weights: nothing is downloaded, and
how long a matrix product takes does not depend on what is in it. Every one is exported as for a bundle. All that are
compared take turns on the same input, a block of calls at a time, batch 1, one thread each, and must give the same
tokens. Writes `benchmarks/results/encoders.json`.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer as Words
from tokenizers.models import WordPiece

from sensorimotor.actions.space import Discrete
from sensorimotor.files import write_atomically
from sensorimotor.models.bundle import encoder_file
from sensorimotor.models.export import write_graphs
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.onnx_backend import runtime
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.perception.whisper_encoder import SAMPLE_RATE, WhisperSpec
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).parent / "results" / "encoders.json"
BLOCK_S = 1.0
"""About how long one of those compared calculates before the next has its turn."""
MAX_BLOCK = 50
SAME = 1e-3
"""Largest difference of any token that still counts as the same, fp32, after up to twelve layers."""
CLIP_MODEL, CLIP_TAG = "ViT-B-32-256", "datacomp_s34b_b86k"
WHISPER_TINY = {
    "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 384, "n_audio_head": 6, "n_audio_layer": 4,
    "n_vocab": 51865, "n_text_ctx": 448, "n_text_state": 384, "n_text_head": 6, "n_text_layer": 4,
}  # fmt: skip
MINILM = {
    "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
    "vocab_size": 30522, "max_position_embeddings": 512,
}  # fmt: skip
"""As in the `config.json` of sentence-transformers/all-MiniLM-L6-v2."""

Run = Callable[[], np.ndarray]


class Case(NamedTuple):
    """An encoder, exported and not."""

    modality: Any
    values: tuple[np.ndarray, ...]
    encoder: Any
    runtime: Run
    eager: Run


def prepared(modality: Any, values: tuple[np.ndarray, ...], spec: Any = None, words: Tokenizer | None = None) -> Case:
    """Build an encoder with random weights, export it, and give both ways to run it."""
    torch.manual_seed(0)
    signature = Signature({"one": modality}, Discrete(2), Constant(0), 10.0)
    network = Network(signature, NetworkSpec(encoders={"one": spec} if spec else {}), words).eval()
    ort = runtime()
    options = ort.SessionOptions()  # as in models/onnx_backend.py
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        write_graphs(network, Path(folder))
        graph = str(Path(folder) / encoder_file("one"))
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    rows = tuple(value[None] for value in values)

    def eager() -> np.ndarray:
        with torch.inference_mode():
            return network.encoders["one"](*(torch.from_numpy(row) for row in rows))[0].numpy()

    return Case(
        modality,
        values,
        network.encoders["one"],
        lambda: session.run(["tokens"], dict(zip(names, rows, strict=True)))[0],
        eager,
    )


def clip_architecture() -> dict[str, Any]:
    """What a checkpoint of the default model says of itself."""
    import open_clip

    model, tag = open_clip.get_model_config(CLIP_MODEL), open_clip.get_pretrained_cfg(CLIP_MODEL, CLIP_TAG)
    shown = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    return {"model_cfg": model, "preprocess_cfg": {"size": model["vision_cfg"]["image_size"], **shown}}


def padding_words(size: int, tokens: int) -> Tokenizer:
    """A tokenizer that knows nothing but how many ids there are and which is padding: ids are made up here."""
    inner = Words(WordPiece({"[PAD]": 0, "[UNK]": 100, **{f"w{i}": i for i in range(size) if i not in (0, 100)}}))
    inner.enable_padding(pad_id=0, pad_token="[PAD]")
    return Tokenizer(inner, tokens)


def noise(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Sound, float32 `(samples, 1)`, and its length."""
    samples = round(seconds * SAMPLE_RATE)
    sound = 0.1 * np.random.default_rng(0).standard_normal((samples, 1)).astype(np.float32)
    return sound.clip(-1, 1), np.array(samples)


def kinds() -> dict[str, Callable[[], Case]]:
    """Every kind of encoder; built one at a time, for the memory's sake."""
    rng = np.random.default_rng(0)

    def picture(height: int, width: int) -> tuple[np.ndarray]:
        return (rng.integers(0, 256, (height, width, 3)).astype(np.uint8),)

    def ids(count: int, size: int) -> tuple[np.ndarray]:
        return (rng.integers(103, size, count),)

    def clip() -> ClipSpec:
        return ClipSpec(architecture=clip_architecture())

    tiny, minilm = WhisperSpec(architecture=WHISPER_TINY), {"model_type": "bert", **MINILM}
    return {
        "open_clip ViT-B-32-256, picture": lambda: prepared(Image(height=480, width=640), picture(480, 640), clip()),
        "open_clip ViT-B-32-256, text": lambda: prepared(Text(max_tokens=32), ids(32, 49408), clip()),
        "Whisper tiny": lambda: prepared(Audio(seconds=2), noise(2), tiny),
        "MiniLM-L6": lambda: prepared(
            Text(max_tokens=32), ids(32, 30522), LanguageSpec(architecture=minilm), padding_words(30522, 32)
        ),
        "small, picture": lambda: prepared(Image(height=56, width=56), picture(56, 56)),
        "small, sound": lambda: prepared(Audio(seconds=2), noise(2)),
        "small, text": lambda: prepared(Text(max_tokens=32), ids(32, 200), words=padding_words(200, 32)),
        "small, state": lambda: prepared(State(size=8), (rng.standard_normal(8).astype(np.float32),)),
    }


def in_turns(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Name → durations `(rounds, block)` (ms). A first round warms up and is left out."""
    slowest = 0.0
    for run in runs.values():
        run()
        began = time.perf_counter()
        run()
        slowest = max(slowest, time.perf_counter() - began)
    block = int(np.clip(BLOCK_S / slowest, 2, MAX_BLOCK))
    taken: dict[str, list[list[float]]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            durations = []
            for _ in range(block):
                began = time.perf_counter()
                run()
                durations.append((time.perf_counter() - began) * 1e3)
            taken[name].append(durations)
    return {name: np.array(blocks[1:]) for name, blocks in taken.items()}


def ratio(longer: np.ndarray, shorter: np.ndarray) -> dict[str, float]:
    """How many times as long one took as the other, over pairs of blocks that followed each other."""
    pairs = np.median(longer, 1) / np.median(shorter, 1)
    return {"median": float(np.median(pairs)), "min": float(pairs.min()), "max": float(pairs.max())}


def summary(taken: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How much was measured, and the durations (ms)."""
    one = next(iter(taken.values()))
    return {"n": one.size, "blocks": len(one), "ms": {name: quantiles(t.ravel()) for name, t in taken.items()}}


def difference(case: Case) -> float:
    """The largest difference of any token between the two ways to run an encoder; a large one ends the measurement."""
    found = float(np.abs(case.runtime() - case.eager()).max())
    if not found < SAME:
        raise SystemExit(f"the exported encoder gives other tokens: they differ by {found:.2e}")
    return found


def runtime_against_eager(case: Case, rounds: int) -> dict[str, Any]:
    """One encoder both ways."""
    taken = in_turns({"ONNX Runtime": case.runtime, "eager torch": case.eager}, rounds)
    return {
        "input": str(case.modality),
        "tokens": [case.encoder.tokens, case.encoder.dim],
        "parameters": sum(parameter.numel() for parameter in case.encoder.parameters()),
        "max_difference": difference(case),
        **summary(taken),
        "eager_over_runtime": ratio(taken["eager torch"], taken["ONNX Runtime"]),
    }


def two_seconds_against_thirty(rounds: int) -> dict[str, Any]:
    """Whisper tiny on two seconds as they are, padded to thirty, and padded and run by its own package."""
    import whisper

    tiny = WhisperSpec(architecture=WHISPER_TINY)
    sound, length = noise(2)
    padded = np.concatenate([sound, np.zeros((28 * SAMPLE_RATE, 1), np.float32)])
    short = prepared(Audio(seconds=2), (sound, length), tiny)
    long = prepared(Audio(seconds=30), (padded, np.array(len(padded))), tiny)
    torch.manual_seed(0)
    own = whisper.model.Whisper(whisper.model.ModelDimensions(**WHISPER_TINY)).eval().encoder

    def as_published() -> None:
        with torch.inference_mode():
            own(whisper.log_mel_spectrogram(whisper.pad_or_trim(sound[:, 0]))[None])

    for case in (short, long):
        difference(case)
    taken = in_turns(
        {
            "2 s, ONNX Runtime": short.runtime,
            "30 s, ONNX Runtime": long.runtime,
            "2 s, eager torch": short.eager,
            "30 s, eager torch": long.eager,
            "30 s, the whisper package": as_published,
        },
        rounds,
    )
    own_30, ours_2, ours_2_eager = (
        taken[name] for name in ("30 s, the whisper package", "2 s, ONNX Runtime", "2 s, eager torch")
    )
    return {
        **summary(taken),
        "padded_over_short": {
            "ONNX Runtime": ratio(taken["30 s, ONNX Runtime"], ours_2),
            "eager torch": ratio(taken["30 s, eager torch"], ours_2_eager),
            "the whisper package over eager torch": ratio(own_30, ours_2_eager),
            "the whisper package over ONNX Runtime": ratio(own_30, ours_2),
        },
    }


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = {}
    for name, build in kinds().items():
        measured[name] = runtime_against_eager(build(), arguments.rounds)
        print(name, json.dumps(measured[name]["eager_over_runtime"]), flush=True)
    report = {
        "weights": "random, in the architecture of the models: speed does not depend on them",
        "threads": 1,
        "batch": 1,
        "encoders": measured,
        "whisper": two_seconds_against_thirty(arguments.rounds),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "torch", "open_clip_torch", "openai-whisper", "transformers", "numpy"),
    }
    print(json.dumps(report["whisper"], indent=1))
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
