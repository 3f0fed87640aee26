"""A large policy on live streams: what the runtime adds to ONNX Runtime, and how old the frames are that it acts on.

    python benchmarks/streams.py

ViT-B/32 of open_clip, Whisper tiny on a window of 2 s that moves by 0.5 s, and the text tower of the same CLIP; all
weights are random, for how long a matrix product takes does not depend on them. Two processes take turns on the same
sensors in memory, which differ in nothing but their loops: the runtime, and what one would write by hand in eager
torch, with the sound padded to 30 s and the text encoded in every turn, on the frames as a driver with four buffers
gives them, and on the newest one. How old a frame is when its action arrives is read from its pixels. Writes
`benchmarks/results/streams.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from stamped import CHUNK_S, Hum, StampedCamera, Words, stamp

from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.clock import MonotonicClock
from sensorimotor.files import write_atomically
from sensorimotor.models.backend import Backend, CoreInput, CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Buffers
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.live import Live
from sensorimotor.pipelines.loop import Loop
from sensorimotor.pipelines.run import SWITCH_S
from sensorimotor.pipelines.senses import Perceived
from sensorimotor.pipelines.tally import Tally

RESULTS = Path(__file__).parent / "results" / "streams.json"
HEIGHT, WIDTH, SAMPLE_RATE, WINDOW_S, HOP_S = 480, 640, 16_000, 2.0, 0.5
RATE_HZ = 10.0
CLIP, CLIP_TAG, WHISPER = "ViT-B-32", "laion2b_s34b_b79k", "tiny"
INSTRUCTION = "go to the red ball"
LEAD_IN_S = 3.0
"""Of every turn; what is decided in it does not count."""
DRIVER_BUFFERS = 4
LABELS = ("left", "right", "forward", "wait")


def export(folder: Path) -> None:
    """Write the policy, with graphs that nobody has compared: only its speed is of interest."""
    import torch

    from sensorimotor.actions.space import Discrete
    from sensorimotor.models.export import write_unproven
    from sensorimotor.models.network import Network, NetworkSpec
    from sensorimotor.models.signature import Constant, Signature
    from sensorimotor.perception.architectures import known_architecture
    from sensorimotor.perception.clip import ClipSpec
    from sensorimotor.perception.modality import Audio, Image, Text
    from sensorimotor.perception.whisper_encoder import WhisperSpec

    torch.manual_seed(0)

    def random_weights(spec: Any) -> Any:
        return spec.model_copy(update={"architecture": known_architecture(spec)})

    clip = random_weights(ClipSpec(model=CLIP, pretrained=CLIP_TAG))
    encoders = {"camera": clip, "mic": random_weights(WhisperSpec(model=WHISPER)), "instruction": clip}
    inputs: dict[str, Any] = {
        "camera": Image(height=HEIGHT, width=WIDTH),
        "mic": Audio(seconds=WINDOW_S, sample_rate=SAMPLE_RATE, mode="window"),
        "instruction": Text(max_tokens=32),
    }
    signature = Signature(inputs, Discrete(len(LABELS), LABELS), Constant(len(LABELS) - 1), RATE_HZ)
    network = Network(signature, NetworkSpec(encoders=encoders))
    stated = {"name": "streams", "description": "For a measurement.", "metrics": {}, "provenance": {}, "weights": []}
    write_unproven(network, folder, stated)


class Timed:
    """A back end that keeps how long its graphs took: `(seconds by the clock, seconds of CPU)` of every call."""

    def __init__(self, inner: Backend):
        self._inner, self.memory_size, self.empty_tokens = inner, inner.memory_size, inner.empty_tokens
        self.calls: list[tuple[float, float]] = []

    def encode(self, name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        return self._timed(lambda: self._inner.encode(name, values))

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        return self._timed(lambda: self._inner.step(inputs))

    def _timed(self, call: Callable[[], Any]) -> Any:
        began, began_cpu = time.perf_counter(), time.thread_time()
        made = call()
        self.calls.append((time.perf_counter() - began, time.thread_time() - began_cpu))
        return made


def timed_policy(folder: Path, threads: int) -> tuple[Policy, Timed]:
    """The policy, and where the durations of its graphs are kept."""
    kept: list[Timed] = []

    def wrapped(inner: Backend) -> Backend:
        kept.append(Timed(inner))
        return kept[0]

    return Policy.load(folder, threads=threads).on(wrapped), kept[0]


def guards_of(policy: Policy, rate_hz: float) -> Guards:
    """No rules but those of the policy."""
    ages = {name: modality.max_age_s for name, modality in policy.signature.inputs.items()}
    space, safe = policy.signature.action_space, policy.safe_action
    return Guards(NO_RULES, space, safe, max_age_s=ages, period_s=1 / rate_hz)


class Runtime:
    """Turns of the runtime, for the process that does not have torch."""

    def __init__(self, folder: Path):
        self._policies = {threads: timed_policy(folder, threads) for threads in (1, 2)}
        sys.setswitchinterval(SWITCH_S)  # as `sensorimotor run` does

    def decisions(self, count: int) -> dict[str, Any]:
        """One decision after another in one thread: everything that one needs, beside the calls of ONNX Runtime in it.

        A frame is new in every one, sound in every fifth as with ten decisions a second, and the text in the first.
        """
        (policy, timed), clock = self._policies[1], MonotonicClock()
        policy.reset()
        buffers, health = Buffers(policy.signature.inputs), Health(clock, 1 / RATE_HZ)
        tally, sent = Tally(policy.signature.names, clock, RATE_HZ), deque[Any](maxlen=1)
        loop = Loop(
            policy, guards_of(policy, RATE_HZ), health,
            clock=clock, period_s=1 / RATE_HZ, deliver=sent.append, tally=tally,
        )  # fmt: skip
        camera, mic = StampedCamera(HEIGHT, WIDTH), Hum(SAMPLE_RATE)
        buffers.feed("instruction", INSTRUCTION, 0.0)
        heard: tuple[Any, int] = (np.zeros((0, 1), np.float32), -1)
        rows = []
        for number in range(count + 5):
            now_ns = time.monotonic_ns()
            frame, sound = camera.value(now_ns, 1), mic.value(now_ns, round(1 / RATE_HZ / CHUNK_S))
            del timed.calls[:]
            began, began_cpu = time.perf_counter(), time.thread_time()
            buffers.feed("camera", frame, now_ns / 1e9)
            buffers.feed("mic", sound, now_ns / 1e9)
            sensed = buffers.observe(time.monotonic_ns() / 1e9)
            if number % round(HOP_S * RATE_HZ) == 0:
                heard = sensed.observation["mic"], number
            observation = {**sensed.observation, "mic": heard[0]}
            sequences = {**sensed.sequences, "mic": heard[1]}
            loop.turn(Perceived(observation, sensed.ages_s, sequences), now_ns)
            whole = time.perf_counter() - began, time.thread_time() - began_cpu
            rows.append((*whole, *np.sum(timed.calls, 0)))
        taken = np.array(rows[5:]) * 1e3
        ratio, cpu_ratio = taken[:, 0] / taken[:, 2], taken[:, 1] / taken[:, 3]
        return {
            "n": count,
            "decision_ms": quantiles(taken[:, 0]),
            "onnx_runtime_ms": quantiles(taken[:, 2]),
            "beside_ms": quantiles(taken[:, 0] - taken[:, 2]),
            "ratio": quantiles(ratio),
            "ratio_of_sums": float(taken[:, 0].sum() / taken[:, 2].sum()),
            "cpu_ratio": quantiles(cpu_ratio),
            "held": tally.held,
        }

    def live(self, duration_s: float, trigger: str | None, threads: int) -> dict[str, Any]:
        """The whole of it, threads and sensors included: ages at the action (ms), and what the process calculated."""
        sent_ns: list[tuple[int, int]] = []
        seen_ns: list[int | None] = []

        def watch(seen: Perceived, _decision: object) -> None:
            frame = seen.observation.get("camera")
            seen_ns.append(None if frame is None else stamp(frame))

        sensors = {
            "camera": StampedCamera(HEIGHT, WIDTH),
            "mic": Hum(SAMPLE_RATE),
            "instruction": Words((INSTRUCTION,)),
        }
        policy, timed = self._policies[threads]
        policy.reset()
        live = Live(
            policy,
            sensors,
            CallableActuator(lambda command: sent_ns.append((command.step, time.monotonic_ns())), "list"),
            guards_of(policy, RATE_HZ),
            rate_hz=RATE_HZ,
            trigger=trigger,
            watch=watch,
        )
        with live:
            live.run(LEAD_IN_S)
            first, calls, began, cpu = len(seen_ns), len(timed.calls), time.perf_counter(), time.process_time()
            live.run(duration_s)
            took, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            in_runtime_s = sum(call[1] for call in timed.calls[calls:])
        ages = []
        for step, at_ns in sent_ns:
            if first <= step < len(seen_ns) and (captured_ns := seen_ns[step]) is not None:
                ages.append((at_ns - captured_ns) / 1e6)
        summary = live.summary()
        return {
            "ages_ms": ages,
            "seconds": took,
            "cpu_s": cpu_s,
            "cpu_in_onnx_runtime_s": in_runtime_s,
            "missed": summary["deadlines_missed"],
            "held": summary["held"],
        }


class ByHand:
    """What one would write with the libraries that the encoders come from."""

    def __init__(self) -> None:
        import cv2
        import open_clip
        import torch
        import whisper

        from sensorimotor.perception.architectures import known_architecture
        from sensorimotor.perception.whisper_encoder import WhisperSpec

        torch.manual_seed(0)
        self._torch, self._cv2, self._whisper = torch, cv2, whisper
        self._clip = open_clip.create_model(CLIP).eval()
        self._tokenizer = open_clip.get_tokenizer(CLIP)
        sizes = known_architecture(WhisperSpec(model=WHISPER))
        assert sizes
        self._ear = whisper.model.Whisper(whisper.model.ModelDimensions(**sizes)).eval().encoder
        width = 2 * 512 + sizes["n_audio_state"]
        self._head = torch.nn.Sequential(
            torch.nn.Linear(width, 256), torch.nn.ReLU(), torch.nn.Linear(256, len(LABELS))
        ).eval()
        self._mean = np.array(open_clip.OPENAI_DATASET_MEAN, np.float32)
        self._std = np.array(open_clip.OPENAI_DATASET_STD, np.float32)
        self._default_threads = torch.get_num_threads()

    def decide(self, frame: np.ndarray, sound: np.ndarray, text: str) -> int:
        """An action."""
        torch, whisper = self._torch, self._whisper
        small = self._cv2.resize(frame, (224, 224), interpolation=self._cv2.INTER_AREA)
        picture = torch.from_numpy(((small.astype(np.float32) / 255 - self._mean) / self._std).transpose(2, 0, 1))
        with torch.inference_mode():
            seen = self._clip.encode_image(picture[None])
            heard = self._ear(whisper.log_mel_spectrogram(whisper.pad_or_trim(sound))[None])
            read = self._clip.encode_text(self._tokenizer([text]))
            return int(self._head(torch.cat([seen, heard.mean(1), read], 1)).argmax())

    def live(self, duration_s: float, newest: bool, threads: int | None) -> dict[str, Any]:
        """Ages at the action (ms)."""
        self._torch.set_num_threads(threads or self._default_threads)
        frames: deque[np.ndarray] = deque()
        sound: deque[np.ndarray] = deque(maxlen=round(WINDOW_S / CHUNK_S))
        over = threading.Event()
        camera, mic = StampedCamera(HEIGHT, WIDTH), Hum(SAMPLE_RATE)

        def watch() -> None:
            camera.open()
            while not over.is_set():
                if sample := camera.read(0.1):
                    if newest:
                        frames.clear()
                    if len(frames) < DRIVER_BUFFERS:
                        frames.append(sample.value)

        def listen() -> None:
            mic.open()
            while not over.is_set():
                if sample := mic.read(0.1):
                    sound.append(sample.value)

        workers = [threading.Thread(target=work) for work in (watch, listen)]
        for worker in workers:
            worker.start()
        self.decide(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros(SAMPLE_RATE, np.float32), INSTRUCTION)
        began, ages = time.monotonic(), []
        while (now := time.monotonic()) < began + LEAD_IN_S + duration_s:
            if not frames:
                time.sleep(0.0005)
                continue
            frame = frames.popleft()
            self.decide(frame, np.concatenate(list(sound))[:, 0], INSTRUCTION)
            if now >= began + LEAD_IN_S:
                ages.append((time.monotonic_ns() - stamp(frame)) / 1e6)
        over.set()
        for worker in workers:
            worker.join()
        return {"ages_ms": ages}


def serve(kind: str, folder: Path) -> None:
    """Take orders from standard input and answer each on standard output, one line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    player: Any = Runtime(folder) if kind == "runtime" else ByHand()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(player, order.pop("what"))(**order)), file=answers, flush=True)


class Player:
    """A process that takes orders."""

    def __init__(self, kind: str, folder: Path):
        command = [sys.executable, __file__, "--serve", kind, "--policy", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str, **order: Any) -> Any:
        """Do something and wait for it."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"what": what, **order}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


RUNTIME = {
    "runtime, on every frame, one thread": ("camera", 1),
    "runtime, on every frame, two threads": ("camera", 2),
    "runtime, 10 decisions a second, one thread": (None, 1),
}
BY_HAND = {
    "by hand, frames in order, one thread": (False, 1),
    "by hand, newest frame, one thread": (True, 1),
    "by hand, frames in order, torch's choice of threads": (False, None),
    "by hand, newest frame, torch's choice of threads": (True, None),
}
COMPARED = {1: "runtime, on every frame, one thread", None: "runtime, on every frame, two threads"}
"""Threads of the loop by hand → the runtime with as many: on the two cores of this machine torch chooses two."""


def measured(folder: Path, rounds: int, duration_s: float, decisions: int) -> dict[str, Any]:
    """Everything, in turns."""
    runtime, by_hand = Player("runtime", folder), Player("by hand", folder)
    answers: dict[str, list[dict[str, Any]]] = {}
    single = []
    for number in range(rounds):
        single.append(runtime.ask("decisions", count=decisions))
        for name, (trigger, threads) in RUNTIME.items():
            answer = runtime.ask("live", duration_s=duration_s, trigger=trigger, threads=threads)
            answers.setdefault(name, []).append(answer)
        for name, (newest, own) in BY_HAND.items():
            answer = by_hand.ask("live", duration_s=duration_s, newest=newest, threads=own)
            answers.setdefault(name, []).append(answer)
        print(f"round {number + 1}", {name: np.median(one[-1]["ages_ms"]) for name, one in answers.items()}, flush=True)
    runtime.close()
    by_hand.close()
    p50 = {name: np.array([np.median(one["ages_ms"]) for one in turns]) for name, turns in answers.items()}
    cpu = [turn for name, (_, threads) in RUNTIME.items() if threads == 1 for turn in answers[name]]

    def times_as_old(name: str, other: str) -> dict[str, float]:
        ratio = p50[name] / p50[other]
        return {"median": float(np.median(ratio)), "min": float(ratio.min()), "max": float(ratio.max())}

    return {
        "decision": {
            "turns": single,
            "ratio_p50": float(np.median([one["ratio"]["p50"] for one in single])),
            "ratio_of_sums": float(np.median([one["ratio_of_sums"] for one in single])),
            "cpu_ratio_p50": float(np.median([one["cpu_ratio"]["p50"] for one in single])),
            "beside_ms_p50": float(np.median([one["beside_ms"]["p50"] for one in single])),
            "process_cpu_over_onnx_runtime_cpu": sum(one["cpu_s"] for one in cpu)
            / sum(one["cpu_in_onnx_runtime_s"] for one in cpu),
        },
        "age_ms": {
            name: {
                "n": sum(len(one["ages_ms"]) for one in turns),
                **quantiles(np.concatenate([one["ages_ms"] for one in turns])),
                "p50_of_turns": [float(one) for one in p50[name]],
                "times_as_old": {other: times_as_old(name, other) for other in COMPARED.values()},
            }
            for name, turns in answers.items()
        },
    }


def main() -> None:
    """Measure, or be one of those that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a turn")
    parser.add_argument("--decisions", type=int, default=50, help="in one thread, in each round")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--policy", type=Path, help="a bundle made before")
    parser.add_argument("--serve", choices=["runtime", "by hand"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.policy)
        return
    before = os.getloadavg()
    with TemporaryDirectory() as folder:
        policy = arguments.policy or Path(folder)
        if not arguments.policy:
            export(policy)
        found = measured(policy, arguments.rounds, arguments.seconds, arguments.decisions)
    report = {
        "models": {"camera": CLIP, "mic": f"Whisper {WHISPER}", "instruction": f"{CLIP}, text"},
        "weights": "random",
        "camera": [HEIGHT, WIDTH, 30],
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "rounds": arguments.rounds,
        "seconds_a_turn": arguments.seconds,
        **found,
        "load": {"before": before[0], "after": os.getloadavg()[0]},
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "torch", "open_clip_torch", "openai-whisper", "numpy"),
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps({**found["decision"], "turns": None, "age_ms": found["age_ms"]}, indent=1))


if __name__ == "__main__":
    main()
