"""How long a decision and a cold start take, against the same network in eager torch, side by side in one run.

    python benchmarks/latency.py default

Every decision has a new frame and a latched instruction: camera encoder and core run, nothing else. The two back ends
take turns on the same frames, fifty decisions at a time, one thread each. A cold start is a fresh process up to its
first decision. Writes `benchmarks/results/latency.json`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.files import write_atomically
from sensorimotor.models.backend import CoreInput
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.golden import load_golden
from sensorimotor.models.onnx_backend import OnnxBackend
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).parent / "results" / "latency.json"
BLOCK = 50
"""Decisions of one back end before the other has its turn: neither runs on caches that the other has just emptied."""
INSTRUCTION = "go to the red ball"
FIRST_DECISION = """
import numpy as np
{load}
policy.act({{"camera": np.zeros((56, 56, 3), np.uint8), "instruction": "go to the red ball"}})
import sys
assert ("torch" in sys.modules) == {torch}
"""
LOAD_ONNX = "from sensorimotor import Policy\npolicy = Policy.load({policy!r})"
LOAD_TORCH = """
import torch
torch.set_num_threads(1)
from sensorimotor.models.backend import CoreInput
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
bundle = Bundle.load({policy!r})
policy = Policy(bundle.signature, TorchBackend.from_bundle(bundle), bundle.tokenizer())
"""


def decisions(source: str, rounds: int) -> dict[str, Any]:
    """Paired decisions of both back ends, and the graphs alone as the floor of what the runtime adds to."""
    import torch

    from sensorimotor.models.torch_backend import TorchBackend

    torch.set_num_threads(1)
    bundle = Bundle.load(source)
    onnx_backend = OnnxBackend(bundle)
    runtime = Policy(bundle.signature, onnx_backend, bundle.tokenizer())
    eager = Policy(bundle.signature, TorchBackend.from_bundle(bundle), bundle.tokenizer())
    steps, _, _ = load_golden(bundle.file(GOLDEN), bundle.signature)
    frames = [step.observation["camera"] for step in steps]
    words = onnx_backend.encode("instruction", (np.stack([bundle.tokenizer().encode(INSTRUCTION)]),))  # type: ignore[union-attr]
    deaf = onnx_backend.empty_tokens("mic")
    memory = np.zeros((1, bundle.memory_size), np.float32)
    present, age = np.array([[True, False, True]]), np.zeros((1, 3), np.float32)

    def graphs_alone(frame: np.ndarray) -> float:
        began = time.perf_counter()
        tokens, masks = zip(onnx_backend.encode("camera", (frame[None],)), deaf, words, strict=True)
        onnx_backend.step(CoreInput(tokens, masks, present, age, memory))
        return (time.perf_counter() - began) * 1e3

    def deciding(policy: Policy) -> Callable[[np.ndarray], float]:
        return lambda frame: policy.act({"camera": frame, "instruction": INSTRUCTION}).timings_ms["total"]

    takers = {"runtime": deciding(runtime), "eager torch": deciding(eager), "graphs alone": graphs_alone}
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in takers}
    for number in range(rounds + 1):
        for name, take in takers.items():
            shown = (frames[(number * BLOCK + i) % len(frames)] for i in range(BLOCK))
            blocks[name].append(np.array([take(np.roll(frame, number)) for frame in shown]))
    warm = {name: np.stack(times[1:]) for name, times in blocks.items()}
    ratio = np.median(warm["eager torch"], 1) / np.median(warm["runtime"], 1)
    return {
        "n": rounds * BLOCK,
        "blocks": rounds,
        "threads": 1,
        "ms": {name: quantiles(times.ravel()) for name, times in warm.items()},
        "eager_over_runtime": {"median": float(np.median(ratio)), "min": float(ratio.min()), "max": float(ratio.max())},
    }


def cold_starts(source: str, rounds: int) -> dict[str, Any]:
    """Seconds from starting a process to the end of its first decision, the two kinds in turns."""
    programs = {
        "runtime": FIRST_DECISION.format(load=LOAD_ONNX.format(policy=source), torch=False),
        "eager torch": FIRST_DECISION.format(load=LOAD_TORCH.format(policy=source), torch=True),
        "python and numpy alone": "import numpy",
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
            seconds[name].append(time.perf_counter() - began)
    warm = {name: np.array(times[1:]) for name, times in seconds.items()}  # the first filled the page cache
    ratio = warm["eager torch"] / warm["runtime"]
    return {
        "n": rounds,
        "s": {name: {"p50": float(np.median(times)), "max": float(times.max())} for name, times in warm.items()},
        "eager_over_runtime": {"median": float(np.median(ratio)), "min": float(ratio.min())},
    }


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", default="default")
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    report = {
        "policy": arguments.policy,
        "fingerprint": Bundle.load(arguments.policy).fingerprint,
        "decision": decisions(arguments.policy, arguments.blocks),
        "cold_start": cold_starts(arguments.policy, arguments.starts),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "torch", "numpy"),
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: report[name] for name in ("decision", "cold_start")}, indent=1))


if __name__ == "__main__":
    main()
