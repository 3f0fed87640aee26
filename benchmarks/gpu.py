"""A large policy on a GPU, from the bytes of the sensors to the action: ONNX Runtime, torch, and what the card can do.

    python benchmarks/gpu.py

ViT-B-32-256 of open_clip, Whisper tiny on 2 s of sound and a text encoder of MiniLM's size, fusion and memory; all
weights are random, for how long a matrix product takes does not depend on them. In every decision the frame and the
sound are new and the text is known. The contenders take turns on the same frames, after each has been held against the
network in eager torch along a stream. What the card can do is measured in the same run. Every time includes the copies
to the device and back and waits for them.

Writes `benchmarks/results/gpu.json` on a GPU. Without one the same is gone through on the processor, with few
repetitions: that shows that it works, and nothing of it is a figure of a GPU; it is written where `--out` says only.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import ParityError
from sensorimotor.files import write_atomically
from sensorimotor.models.backend import Backend, CoreInput
from sensorimotor.models.bound_backend import BoundBackend
from sensorimotor.models.bundle import Bundle, seal
from sensorimotor.models.execution import Execution
from sensorimotor.models.export import write_half_graphs, write_unproven
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.onnx_backend import OnnxBackend
from sensorimotor.models.parity import difference
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.architectures import known_architecture, stand_in_tokenizer
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.modality import Audio, Image, Text
from sensorimotor.perception.whisper_encoder import WhisperSpec
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).parent / "results" / "gpu.json"
CLIP, CLIP_TAG, WHISPER = "ViT-B-32-256", "datacomp_s34b_b86k", "tiny"
HEIGHT, WIDTH, SAMPLE_RATE, WINDOW_S, WORDS = 480, 640, 16_000, 2.0, 32
TEXT = "go to the red ball"
LABELS = ("left", "right", "forward", "wait")
TOLERANCE = 1e-3
"""Of full precision: a GPU adds up in another order than the processor."""
HALF_TOLERANCE = 5e-3
"""Of half precision: with random weights nothing grows, and a change of the text alone makes four times that."""
PARITY_STEPS = {"cuda": 20, "cpu": 4}
GOAL_MS, GOAL_TAIL, GOAL_EAGER = 2.0, 1.3, 5.0
"""At batch 1: p50 in ms, p99 over p50, and eager torch over the quickest."""
GEMM_SIZE = {"cuda": 8192, "cpu": 512}
COPY_BYTES = {"cuda": 2**30, "cpu": 2**25}
EAGER = "torch, eager"
Deciding = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frames uint8 `(batch, height, width, 3)` and sound float32 `(batch, samples, 1)` → head outputs `(batch, n)`."""


def make(folder: Path) -> Network:
    """Write the policy, in full and in half precision, with graphs that nobody has compared yet."""
    torch.manual_seed(0)
    chosen = {
        "camera": ClipSpec(model=CLIP, pretrained=CLIP_TAG, tokens="patches"),
        "mic": WhisperSpec(model=WHISPER),
        "instruction": LanguageSpec(),
    }
    encoders: Any = {
        name: one.model_copy(update={"architecture": known_architecture(one)}) for name, one in chosen.items()
    }
    inputs: dict[str, Any] = {
        "camera": Image(height=HEIGHT, width=WIDTH),
        "mic": Audio(seconds=WINDOW_S, sample_rate=SAMPLE_RATE, mode="window"),
        "instruction": Text(max_tokens=WORDS),
    }
    signature = Signature(inputs, Discrete(len(LABELS), LABELS), Constant(len(LABELS) - 1), 30.0)
    words = stand_in_tokenizer(encoders["instruction"], WORDS)
    network = Network(signature, NetworkSpec(encoders=encoders), words).eval()
    stated = {"name": "gpu", "description": "For a measurement.", "metrics": {}, "provenance": {}, "weights": []}
    write_unproven(network, folder, stated)
    write_half_graphs(network, folder)
    seal(folder, json.loads((folder / "config.json").read_text()))
    return network


class OnBackend:
    """Decisions by a back end: no policy around it, as little as one could write by hand."""

    def __init__(self, backend: Backend, batch: int, words: np.ndarray):
        self._backend, self._batch = backend, batch
        self._words = backend.encode("instruction", [np.repeat(words[None], batch, 0)])
        self._present, self._age_s = np.ones((batch, 3), bool), np.zeros((batch, 3), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget."""
        self._memory = np.zeros((self._batch, self._backend.memory_size), np.float32)

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """Decide."""
        seen = self._backend.encode("camera", [frames])
        heard = self._backend.encode("mic", [sound, np.full(len(sound), sound.shape[1], np.int64)])
        tokens, masks = zip(seen, heard, self._words, strict=True)
        output = self._backend.step(CoreInput(tokens, masks, self._present, self._age_s, self._memory))
        self._memory = output.memory
        return output.parameters


class OnPolicy:
    """Decisions by the policy itself, records and checks and all."""

    def __init__(self, policy: Policy, batch: int):
        self._policy, self._batch = policy, batch

    def reset(self) -> None:
        """Forget."""
        self._policy.reset()

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """Decide."""
        rows = [
            {"camera": frame, "mic": heard, "instruction": TEXT} for frame, heard in zip(frames, sound, strict=True)
        ]
        decisions = self._policy.act_batch(rows, sequences=[{"instruction": 0}] * len(rows))
        return np.stack([np.asarray(decision.parameters) for decision in decisions])


class OnTorch:
    """Decisions by the network in torch, its memory and the text's tokens kept on the device."""

    def __init__(self, network: Network, device: str, batch: int, *, compiled: bool = False, half: bool = False):
        self._network, self._device, self._batch, self._half = network.to(device), device, batch, half
        mode = "reduce-overhead" if device == "cuda" else None  # with CUDA graphs

        def wrapped(module: Any) -> Any:
            return torch.compile(module, mode=mode) if compiled else module

        self._camera, self._mic = (wrapped(network.encoders[name]) for name in ("camera", "mic"))
        self._core = wrapped(network.core)
        assert network.tokenizer
        words = network.tokenizer.encode(TEXT)
        with torch.inference_mode():
            ids = torch.from_numpy(words).to(device).expand(batch, -1)
            self._words = network.encoders["instruction"](ids)
            self._length = torch.full((batch,), round(SAMPLE_RATE * WINDOW_S), device=device)
            self._present = torch.ones(batch, 3, dtype=torch.bool, device=device)
            self._age_s = torch.zeros(batch, 3, device=device)
        self.reset()

    def reset(self) -> None:
        """Forget."""
        self._memory = self._network.initial_memory(self._batch)

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """Decide."""
        torch.compiler.cudagraph_mark_step_begin()
        with torch.inference_mode():
            with torch.autocast(self._device, torch.float16, enabled=self._half):
                seen = self._camera(torch.from_numpy(frames).to(self._device, non_blocking=True))
                heard = self._mic(torch.from_numpy(sound).to(self._device, non_blocking=True), self._length)
            tokens, masks = zip(*((one[0].float(), one[1]) for one in (seen, heard, self._words)), strict=True)
            parameters, _, memory = self._core(tokens, masks, self._present, self._age_s, self._memory)
            self._memory = memory.clone()  # a CUDA graph overwrites what it gave
            found: np.ndarray = parameters.cpu().numpy()  # waits for the device
            return found


class Contender:
    """One way to decide, and how far it may differ from eager torch."""

    def __init__(self, name: str, start: Callable[[int], Any], tolerance: float = TOLERANCE):
        self.name, self.start, self.tolerance = name, start, tolerance


def contenders(network: Network, bundle: Bundle, device: str, *, compiled: bool) -> Iterator[Contender]:
    """All ways to decide."""

    def bound(precision: Any, captured: bool) -> Backend:
        return BoundBackend(bundle, Execution.on(device, precision=precision), captured=captured)

    captured = device == "cuda"
    assert network.tokenizer
    words = network.tokenizer.encode(TEXT)
    yield Contender(EAGER, lambda batch: OnTorch(network, device, batch))
    if compiled:
        yield Contender("torch, compiled", lambda batch: OnTorch(network, device, batch, compiled=True))
    if device == "cuda":
        half = "torch, eager, fp16 (autocast)"
        yield Contender(half, lambda batch: OnTorch(network, device, batch, half=True), HALF_TOLERANCE)
    # What computes shapes runs on the CPU where shapes are not fixed: hence the fallback, here and nowhere else.
    plain = Execution.on(device, fallback=True)
    yield Contender("ONNX Runtime", lambda batch: OnBackend(OnnxBackend(bundle, plain), batch, words))
    yield Contender("+ IO binding", lambda batch: OnBackend(bound("fp32", False), batch, words))
    if captured:
        yield Contender("+ CUDA graph", lambda batch: OnBackend(bound("fp32", True), batch, words))
    yield Contender("+ fp16", lambda batch: OnBackend(bound("fp16", captured), batch, words), HALF_TOLERANCE)

    def whole(batch: int) -> OnPolicy:
        return OnPolicy(Policy(bundle.signature, bound("fp16", captured), bundle.tokenizer()), batch)

    yield Contender("the same, Policy.act", whole, HALF_TOLERANCE)


def shown(batch: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """So many batches of frames and sound, all different."""
    rng = np.random.default_rng(0)
    samples = round(SAMPLE_RATE * WINDOW_S)
    return [
        (
            rng.integers(0, 256, (batch, HEIGHT, WIDTH, 3), np.uint8),
            rng.uniform(-0.5, 0.5, (batch, samples, 1)).astype(np.float32),
        )
        for _ in range(count)
    ]


def along(decide: Any, batches: list[tuple[np.ndarray, np.ndarray]], steps: int) -> np.ndarray:
    """Head outputs along a stream `(steps, batch, n)`."""
    decide.reset()
    return np.stack([decide(*batches[step % len(batches)]) for step in range(steps)])


def compared(decide: Any, contender: Contender, expected: np.ndarray, batches: Any) -> float:
    """How far a contender is from eager torch along a stream.

    Raises:
        ParityError: Too far, or what it gives does not depend on what it is shown.
    """
    found = along(decide, batches, len(expected))
    error = difference(found, expected)
    if not error <= contender.tolerance:
        raise ParityError(
            f"{contender.name} differs by {error:.1e} from eager torch: {contender.tolerance:.0e} is allowed"
        )
    if any(np.array_equal(found[i], found[i + 1]) for i in range(len(found) - 1)):
        raise ParityError(f"{contender.name} gives the same for different frames")
    return error


def race(
    entered: list[Contender], batch: int, *, steps: int, blocks: int, block: int, warm_ups: int
) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Errors, and times (ms) of each contender, one array a block; they take turns."""
    batches = shown(batch, 4)
    started = {one.name: one.start(batch) for one in entered}
    expected = along(started[EAGER], batches, steps)
    errors = {one.name: compared(started[one.name], one, expected, batches) for one in entered}
    times: dict[str, list[np.ndarray]] = {one.name: [] for one in entered}
    for name, decide in started.items():
        along(decide, batches, warm_ups)
        print(f"batch {batch}: {name} differs by {errors[name]:.1e}", file=sys.stderr, flush=True)
    for _ in range(blocks):
        for name, decide in started.items():
            taken = []
            for number in range(block):
                frames, sound = batches[number % len(batches)]
                began = time.perf_counter()
                decide(frames, sound)
                taken.append((time.perf_counter() - began) * 1e3)
            times[name].append(np.array(taken))
    return errors, times


def summed_up(errors: dict[str, Any], times: dict[str, list[np.ndarray]], batch: int) -> dict[str, Any]:
    """What it came to."""
    eager = np.median(np.stack(times[EAGER]), 1)
    rows = {}
    for name, taken in times.items():
        everything = np.concatenate(taken)
        ratio = eager / np.median(np.stack(taken), 1)
        rows[name] = {
            "n": len(everything),
            "ms": quantiles(everything),
            "p99_over_p50": float(np.quantile(everything, 0.99) / np.median(everything)),
            "eager_over_it": {"median": float(np.median(ratio)), "min": float(ratio.min()), "max": float(ratio.max())},
            "decisions_a_second": float(batch * 1e3 / np.median(everything)),
            "max_error": errors[name],
        }
    return rows


def limits(network: Network, device: str, batch: int, rows: dict[str, Any]) -> dict[str, Any]:
    """What the card can do, how long a decision would take at that, and what part of it is attained."""
    from torch.utils.flop_counter import FlopCounterMode

    seconds = {}
    size, kinds = GEMM_SIZE[device], {"fp32": torch.float32, "fp16": torch.float16}
    for name, kind in kinds.items():
        one = torch.randn(size, size, device=device).to(kind)
        seconds[f"gemm_{name}"] = _fastest(lambda one=one: one @ one, device)
    there = torch.zeros(COPY_BYTES[device], dtype=torch.uint8, device=device)
    seconds["copy"] = _fastest(there.clone, device)
    decide = OnTorch(network, device, batch)
    frames, sound = shown(batch, 1)[0]
    sent = torch.from_numpy(frames)
    sent = sent.pin_memory() if device == "cuda" else sent
    seconds["in"] = _fastest(lambda: sent.to(device, copy=True), device)
    with FlopCounterMode(display=False) as counted:
        decide(frames, sound)
    flop, weights = counted.get_total_flops(), sum(one.nbytes for one in network.state_dict().values())
    flops = {name: 2 * size**3 / seconds[f"gemm_{name}"] for name in kinds}
    bytes_a_second = 2 * COPY_BYTES[device] / seconds["copy"]  # read and written
    floor_ms = {
        name: 1e3 * max(flop / flops[name], weights * part / bytes_a_second)
        for name, part in (("fp32", 1.0), ("fp16", 0.5))
    }
    return {
        "flops": flops,
        "bytes_a_second": bytes_a_second,
        "frame_in_ms": seconds["in"] * 1e3,
        "flop_a_decision": flop,
        "bytes_of_weights": weights,
        "floor_ms": floor_ms,
        "attained": {
            name: floor_ms["fp16" if "fp16" in name or "same" in name else "fp32"] / row["ms"]["p50"]
            for name, row in rows.items()
        },
    }


def _fastest(call: Callable[[], Any], device: str, repetitions: int = 7) -> float:
    """Seconds of the fastest of a few calls, waited for."""

    def timed() -> float:
        began = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return min(timed() for _ in range(repetitions))


def goals(rows: dict[str, Any]) -> dict[str, bool]:
    """Whether the quickest way but Policy.act, and Policy.act itself, are as quick at batch 1 as they should be."""
    row = rows["the same, Policy.act"]
    return {
        "p50_ms": row["ms"]["p50"] <= GOAL_MS,
        "p99_over_p50": row["p99_over_p50"] <= GOAL_TAIL,
        "eager_over_it": row["eager_over_it"]["median"] >= GOAL_EAGER,
    }


def chosen_device(asked: str) -> str:
    """The device to measure on; without a GPU, a word that nothing of it is a figure of one."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked
    if device == "cpu":
        print(
            "NO GPU IS MEASURED: the same is gone through on the processor, to see that it works.\n"
            "None of these figures says anything about a GPU.",
            file=sys.stderr,
            flush=True,
        )
    return device


def card(device: str) -> dict[str, Any] | None:
    """What GPU it is."""
    if device != "cuda":
        return None
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "multiprocessors": found.multi_processor_count,
        "cuda": torch.version.cuda,
    }


def main() -> None:
    """Compare, race, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument("--batches", type=int, nargs="+", help="1 and 64; on the processor 1 and 5")
    parser.add_argument("--blocks", type=int, help="turns of each contender")
    parser.add_argument("--block", type=int, help="decisions of a turn")
    parser.add_argument("--without-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, help=f"{RESULTS.name} on a GPU; on the processor nothing is written")
    arguments = parser.parse_args()
    device = chosen_device(arguments.device)
    on_gpu = device == "cuda"
    blocks, block = arguments.blocks or (20 if on_gpu else 2), arguments.block or (50 if on_gpu else 3)
    warm_ups = 50 if on_gpu else 1
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # as ONNX Runtime is told, too
    before = os.getloadavg()[0]
    report: dict[str, Any] = {"device": device, "batches": {}}
    with TemporaryDirectory() as folder:
        network = make(Path(folder))
        bundle = Bundle.load(folder)
        for batch in arguments.batches or ([1, 64] if on_gpu else [1, 5]):
            entered = list(contenders(network, bundle, device, compiled=not arguments.without_compile))
            errors, times = race(
                entered, batch, steps=PARITY_STEPS[device], blocks=blocks, block=block, warm_ups=warm_ups
            )
            rows = summed_up(errors, times, batch)
            report["batches"][str(batch)] = {"rows": rows, "limits": limits(network, device, batch, rows)}
    one = report["batches"].get("1")
    report |= {
        "models": {"camera": CLIP, "mic": f"Whisper {WHISPER}, {WINDOW_S:g} s", "instruction": "MiniLM-L6"},
        "weights": "random",
        "camera": [HEIGHT, WIDTH],
        "blocks": blocks,
        "decisions_a_block": block,
        "goals": goals(one["rows"]) if on_gpu and one else None,
        "load": {"before": before, "after": os.getloadavg()[0]},
        "date": today(),
        "gpu": card(device),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "onnxruntime-gpu", "cuda-bindings", "torch", "numpy"),
    }
    if not on_gpu:
        report["note"] = "Gone through on a processor: no figure of a GPU."
    text = json.dumps(report, indent=1) + "\n"
    if out := arguments.out or (RESULTS if on_gpu else None):
        write_atomically(out, text)
    print(text)


if __name__ == "__main__":
    main()
