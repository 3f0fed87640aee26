"""Endurance: many decisions with everything going wrong now and then, and ten minutes of keeping the rhythm.

    python benchmarks/soak.py faults      # 200,000 decisions as fast as possible
    python benchmarks/soak.py rhythm      # ten a second for ten minutes, beside a process that does nothing but tick

`faults` drives senses, loop, guards, dispatcher, metrics and trace of the bundled policy with its real graphs; only the
clock is moved by hand, a period a decision. `rhythm` runs it on sensors in memory, in real time. Each writes its part
of `benchmarks/results/soak.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from stamped import Hum, StampedCamera, Words

from sensorimotor.clock import ManualClock, MonotonicClock
from sensorimotor.files import write_atomically
from sensorimotor.pipelines.ticker import Ticker

RESULTS = Path(__file__).parent / "results" / "soak.json"
RATE_HZ, POLICY = 10.0, "default"
TEXTS = ("go to the red ball", "pick up the blue key", "go to the green door")
SPOKEN_EVERY_S = 20.0
FAULTS = {
    "frames lost": 31,
    "camera silent for fifteen decisions": 1801,
    "sound with NaN": 1009,
    "camera encoder raises": 211,
    "outputs with NaN": 307,
    "memory with NaN": 401,
    "actuator refuses": 503,
    "network raises ten times in a row": 20_011,
}
"""What goes wrong → every so many decisions, frames, calls or commands; without a common divisor, so that all meet."""
FRAME_EVERY = 3
"""Decisions: the camera's encoder has its turn meanwhile, and the driver waits for it only before the next frame."""
REFERENCE_EVERY = 10
WARM_UP = 2000


class Faulty:
    """A back end that fails now and then."""

    def __init__(self, inner: Any):
        self._inner, self.memory_size, self.empty_tokens = inner, inner.memory_size, inner.empty_tokens
        self._encoded = self._steps = 0
        self.on = False

    def encode(self, name: str, values: Any) -> Any:
        """See `Backend.encode`."""
        self._encoded += name == "camera"
        if self.on and name == "camera" and self._encoded % FAULTS["camera encoder raises"] == 0:
            raise RuntimeError("a fault of the encoder")
        return self._inner.encode(name, values)

    def step(self, inputs: Any) -> Any:
        """See `Backend.step`."""
        self._steps += 1
        if self.on and self._steps % FAULTS["network raises ten times in a row"] < 10:
            raise RuntimeError("a fault of the network")
        output = self._inner.step(inputs)
        if self.on and self._steps % FAULTS["outputs with NaN"] == 0:
            return output._replace(parameters=np.full_like(output.parameters, np.nan))
        if self.on and self._steps % FAULTS["memory with NaN"] == 0:
            return output._replace(memory=np.full_like(output.memory, np.nan))
        return output


class Driven:
    """The parts of a live policy, driven by one thread on a clock that it moves."""

    def __init__(self, trace: Path):
        from sensorimotor.actions.callable_actuator import CallableActuator
        from sensorimotor.actions.dispatcher import Dispatcher
        from sensorimotor.actions.guards import NO_RULES, Guards
        from sensorimotor.models.policy import Policy
        from sensorimotor.pipelines.health import Health
        from sensorimotor.pipelines.loop import Loop
        from sensorimotor.pipelines.metrics import Metrics
        from sensorimotor.pipelines.run import SWITCH_S
        from sensorimotor.pipelines.senses import Senses
        from sensorimotor.pipelines.tally import Tally
        from sensorimotor.pipelines.trace import TraceWriter

        sys.setswitchinterval(SWITCH_S)  # as `sensorimotor run` does
        self.backend: Any = None
        self.clock = ManualClock(10**12)

        def wrapped(inner: Any) -> Any:
            self.backend = Faulty(inner)
            return self.backend

        self.policy = policy = Policy.load(POLICY).on(wrapped)
        self.period_s, inputs = 1 / RATE_HZ, policy.signature.inputs
        self.camera = StampedCamera(inputs["camera"].height, inputs["camera"].width)  # type: ignore[union-attr]
        self.mic = Hum(inputs["mic"].sample_rate, None)  # type: ignore[union-attr]
        self._encoded = threading.Semaphore(1)
        self.encoder_errors = self.refused = self._commands = 0
        self.senses = Senses(policy, self.clock, failed=self._failed, encoded=self._done)
        self.health = Health(self.clock, self.period_s)
        self.tally = Tally(policy.signature.names, self.clock, RATE_HZ)
        self.metrics = Metrics(self.health)
        self.dispatcher = Dispatcher(CallableActuator(self._act, "now and then"), self.clock, timeout_s=self.period_s)
        self.trace = TraceWriter(
            trace, policy.signature, policy=policy.fingerprint, sensors={}, actuator="now and then", clock=self.clock,
            told=print,
        )  # fmt: skip
        ages = {name: modality.max_age_s for name, modality in inputs.items()}
        space, safe = policy.signature.action_space, policy.safe_action
        self.loop = Loop(
            policy,
            Guards(NO_RULES, space, safe, max_age_s=ages, period_s=self.period_s),
            self.health,
            clock=self.clock,
            period_s=self.period_s,
            deliver=self.dispatcher.offer,
            tally=self.tally,
            observers=[self.trace],
            metrics=self.metrics,
        )
        self.senses.start()

    def _done(self, name: str, took_ms: float) -> None:
        self.metrics.took(f"encode.{name}", [took_ms / 1e3])
        if name == "camera":
            self._encoded.release()

    def _failed(self, name: str, error: Exception) -> None:
        self.encoder_errors += 1
        self.health.failed(f"encoding {name}: {error}")
        self.metrics.failed(f"encode.{name}")
        if name == "camera":
            self._encoded.release()

    def _act(self, _command: Any) -> None:
        self._commands += 1
        if self.backend.on and self._commands % FAULTS["actuator refuses"] < 3:
            raise ConnectionError("a fault of the actuator")

    def decide(self, number: int) -> tuple[float, float]:
        """One decision, with what comes in before it and what is looked at after it.

        Returns:
            How long it took from what is known to the action that is handed over and traced: by the clock, and of
            the thread's CPU (ms).
        """
        from sensorimotor.errors import ObservationError
        from sensorimotor.perception.sensor import Sample

        self.clock.advance(self.period_s)
        now_ns, faults = self.clock.now_ns(), self.backend.on
        sound = self.mic.value(now_ns, 5)
        if number % round(SPOKEN_EVERY_S * RATE_HZ) < 5:
            sound = (sound * 60).clip(-1, 1)
        if faults and number % FAULTS["sound with NaN"] == 0:
            sound[7] = np.nan
        try:
            self.senses.take("mic", Sample(sound, now_ns, number))
        except ObservationError:  # a feed counts it and goes on
            self.refused += 1
        if number % 500 == 0:
            self.senses.take("instruction", Sample(TEXTS[number // 500 % len(TEXTS)], now_ns, number))
        silent = number % FAULTS["camera silent for fifteen decisions"] < 15
        lost = number // FRAME_EVERY % FAULTS["frames lost"] == 0
        if number % FRAME_EVERY == 0 and not (faults and (silent or lost)):
            if not self._encoded.acquire(timeout=30):  # the frame before
                raise SystemExit("the camera's encoder did not come back")
            self.senses.take("camera", Sample(self.camera.value(now_ns, 1), now_ns, number))
        before, before_cpu = time.perf_counter(), time.thread_time()
        self.loop.turn(self.senses.now(self.clock.now_ns()), now_ns)
        took_ms = (time.perf_counter() - before) * 1e3, (time.thread_time() - before_cpu) * 1e3
        self.health.transitions()
        self.dispatcher.events()
        self.metrics.took("actuate", self.dispatcher.durations_s())
        if number % 1000 == 0:
            self.metrics.render()
        return took_ms

    def reference(self) -> None:
        """The two graphs of a decision, alone: what the machine is worth at the moment."""
        self.backend._inner.encode("camera", (self._nothing["frame"],))
        self.backend._inner.step(self._nothing["core"])

    def prepare_reference(self) -> None:
        """Make what `reference` takes."""
        from sensorimotor.models.backend import CoreInput

        frame = self.camera.value(0, 1)[None]
        names, inner = self.policy.signature.names, self.backend._inner
        parts = [inner.encode("camera", (frame,)) if name == "camera" else inner.empty_tokens(name) for name in names]
        present = np.array([[name == "camera" for name in names]])
        memory = np.zeros((1, inner.memory_size), np.float32)
        tokens, masks = [one for one, _ in parts], [mask for _, mask in parts]
        core = CoreInput(tokens, masks, present, np.zeros((1, len(names)), np.float32), memory)
        self._nothing: dict[str, Any] = {"frame": frame, "core": core}

    def close(self) -> None:
        """End all threads."""
        self.senses.stop()
        self.dispatcher.close()
        self.trace.close()


def rss_mb() -> float:
    """Memory of this process that is in RAM (MB)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def faults(decisions: int) -> dict[str, Any]:
    """Many decisions with faults: does it grow, does it get slower."""
    # Touched now, so that they do not count as growth later.
    took_ms, reference_ms = np.ones((decisions, 2), np.float32), np.ones((decisions // REFERENCE_EVERY, 2), np.float32)
    memory_mb, at = np.ones(decisions // 1000), np.arange(decisions // 1000) * 1000.0
    with TemporaryDirectory() as folder:
        driven = Driven(Path(folder) / "trace.jsonl")
        driven.prepare_reference()
        for number in range(WARM_UP):
            driven.decide(number)
        driven.backend.on = True
        load, began = os.getloadavg()[0], time.perf_counter()
        for number in range(decisions):
            took_ms[number] = driven.decide(WARM_UP + number)
            if number % REFERENCE_EVERY == 0:
                before, before_cpu = time.perf_counter(), time.thread_time()
                driven.reference()
                took = time.perf_counter() - before, time.thread_time() - before_cpu
                reference_ms[number // REFERENCE_EVERY] = np.multiply(took, 1e3)
            if number % 1000 == 0:
                memory_mb[number // 1000] = rss_mb()
            if (number + 1) % (decisions // 10) == 0:
                print(number + 1, np.median(took_ms[number + 1 - decisions // 10 : number], 0), rss_mb(), flush=True)
        seconds = time.perf_counter() - began
        driven.close()
        summary, counts = driven.tally.to_json(missed=0, drops=driven.senses.drops()), driven.dispatcher.counts
        trace_bytes = driven.trace.path.stat().st_size
    settled = at >= decisions / 10
    return {
        "decisions": decisions,
        "warm_up": WARM_UP,
        "seconds": seconds,
        "faults_every": FAULTS,
        "p50_ms": of_tenths(took_ms[:, 0]),
        "p50_cpu_ms": of_tenths(took_ms[:, 1]),
        "reference": {"p50_ms": of_tenths(reference_ms[:, 0]), "p50_cpu_ms": of_tenths(reference_ms[:, 1])},
        "rss_mb": {
            "first": memory_mb[0],
            "last": memory_mb[-1],
            "largest": memory_mb.max(),
            "slope_per_100k": float(np.polyfit(at, memory_mb, 1)[0] * 1e5),
            "slope_per_100k_after_a_tenth": float(np.polyfit(at[settled], memory_mb[settled], 1)[0] * 1e5),
        },
        "encoder_errors": driven.encoder_errors,
        "sound_refused": driven.refused,
        "actuator": {name: getattr(counts, name) for name in counts.__slots__},
        "summary": {key: summary[key] for key in ("decisions", "held", "errors", "verdicts", "drops")},
        "trace": {"lines": driven.trace.lines, "lost": driven.trace.lost, "bytes": trace_bytes},
        "load": {"before": load, "after": os.getloadavg()[0]},
    }


def of_tenths(durations: np.ndarray) -> dict[str, Any]:
    """The median of every tenth, and what the last one is of the first."""
    p50 = [float(np.median(tenth)) for tenth in np.split(durations, 10)]
    return {"tenths": p50, "last_over_first": p50[-1] / p50[0]}


def tick(duration_s: float) -> dict[str, Any]:
    """Nothing but deadlines."""
    clock, late_ms = MonotonicClock(), []
    ticker = Ticker(1 / RATE_HZ, clock)
    until_ns = clock.now_ns() + round(duration_s * 1e9)
    while (due_ns := ticker.wait()) is not None and due_ns < until_ns:
        late_ms.append((clock.now_ns() - due_ns) / 1e6)
    return {"ticks": len(late_ms), "missed": ticker.missed, "late_ms": late_ms}


def live(duration_s: float) -> dict[str, Any]:
    """The bundled policy on sensors in memory."""
    from sensorimotor.actions.callable_actuator import CallableActuator
    from sensorimotor.actions.guards import NO_RULES, Guards
    from sensorimotor.models.policy import Policy
    from sensorimotor.pipelines.live import Live
    from sensorimotor.pipelines.run import SWITCH_S

    sys.setswitchinterval(SWITCH_S)
    policy = Policy.load(POLICY)
    inputs = policy.signature.inputs
    late_ms: list[float] = []

    def act(command: Any) -> None:
        late_ms.append((command.decided_ns - command.expires_ns) / 1e6 + 1e3 / RATE_HZ)

    sensors = {
        "camera": StampedCamera(inputs["camera"].height, inputs["camera"].width),  # type: ignore[union-attr]
        "mic": Hum(inputs["mic"].sample_rate, SPOKEN_EVERY_S),  # type: ignore[union-attr]
        "instruction": Words(TEXTS, 30.0),
    }
    ages = {name: modality.max_age_s for name, modality in inputs.items()}
    space, safe = policy.signature.action_space, policy.safe_action
    judge = Guards(NO_RULES, space, safe, max_age_s=ages, period_s=1 / RATE_HZ)
    with Live(policy, sensors, CallableActuator(act, "list"), judge, rate_hz=RATE_HZ) as running:
        print("ready", flush=True)
        running.run(duration_s)
    summary = running.summary()
    del late_ms[-1]  # the last word, which has no deadline
    return {
        "ticks": summary["decisions"],
        "missed": summary["deadlines_missed"],
        "late_ms": late_ms,
        "summary": {key: summary[key] for key in ("held", "errors", "decision_ms", "turn_ms", "age_ms", "drops")},
        "actuator": summary["actuator"],
        "cpu_s": time.process_time(),
        "rss_mb": rss_mb(),
    }


def rhythm(duration_s: float) -> dict[str, Any]:
    """Both at the same time, each in a process of its own."""
    load = os.getloadavg()[0]

    def started(what: str) -> Any:
        command = [sys.executable, __file__, what, "--seconds", str(duration_s)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    policy = started("live")
    assert policy.stdout.readline() == "ready\n"
    alone = started("tick")
    found = {"live": json.loads(policy.communicate()[0]), "ticker alone": json.loads(alone.communicate()[0])}
    for row in found.values():
        late_ms = np.array(row.pop("late_ms"))
        p50, p99 = np.percentile(late_ms, [50, 99])
        row["late_ms"] = {"p50": float(p50), "p99": float(p99), "max": float(late_ms.max())}
        row["missed_share"] = row["missed"] / (row["missed"] + row["ticks"])
    more = found["live"]["missed_share"] - found["ticker alone"]["missed_share"]
    return {
        "seconds": duration_s,
        "rate_hz": RATE_HZ,
        **found,
        "missed_more_by": more,
        "load": {"before": load, "after": os.getloadavg()[0]},
    }


def main() -> None:
    """Measure one part, or be one of those that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["faults", "rhythm", "live", "tick"])
    parser.add_argument("--decisions", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.what in ("live", "tick"):
        print(json.dumps((live if arguments.what == "live" else tick)(arguments.seconds)))
        return
    found = faults(arguments.decisions) if arguments.what == "faults" else rhythm(arguments.seconds)
    from sensorimotor.pipelines.hardware import describe_machine, today, versions

    found |= {
        "policy": POLICY,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy", "prometheus-client"),
    }
    report = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    report[arguments.what] = found
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
