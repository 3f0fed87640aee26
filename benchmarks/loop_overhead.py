"""What everything around a model costs: from a frame in hand to its action, where the model does nothing.

    python benchmarks/loop_overhead.py --dora PATH/bin/python

Frames of 640 x 480 are made in the process, thirty or two hundred a second, and stamped when they are there; the time
is taken again where the action arrives. Contenders take turns, each in processes of its own:

- `Live` of this library, deciding when the camera's frame is encoded, with everything that `sensorimotor run` has on:
  feed, frozen frames, buffers, encoder thread, guards, health, tally, dispatcher. Its encoder and core do nothing.
- the same with all its threads on one core, as with `taskset -c 1 sensorimotor run …`: to wake a thread on another core
  that sleeps takes longer than what most of these threads have to do
- a mailbox of one slot by hand: what handing a frame to another thread costs at least
- a bare loop: nothing but a call, the floor
- dora-rs with `queue_size: 1`: a camera node, and a policy node that is the actuator too

The first second of each turn is left out. Writes `benchmarks/results/loop_overhead.json`.
"""

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from camera_policy import HEIGHT, WIDTH, camera_policy
from dora_flow import run_flow
from frame_age import dora_version, output

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).resolve().parent / "results" / "loop_overhead.json"
RATES_HZ = (30.0, 200.0)
WARM_UP_S = 1.0

Rows = list[tuple[int, int]]
"""When each frame was in hand, and when its action arrived (ns)."""


class Frames:
    """A sensor that makes its frames, evenly, and knows when each was in hand."""

    source, paced, noisy, reopens = "frames", True, True, True

    def __init__(self, rate_hz: float):
        from sensorimotor.perception.sensor import Losses

        self.interval_s, self.losses = 1 / rate_hz, Losses()
        self.captured_ns: list[int] = []
        self._frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        self._due_s = time.monotonic()

    def open(self) -> None:
        """Nothing to do."""

    def next(self) -> tuple[np.ndarray, int]:
        """Wait for the next frame; it comes with the time when it is in hand (ns)."""
        self._due_s = max(self._due_s + self.interval_s, time.monotonic() - 1)
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self._frame = self._frame + 1  # in memory of its own, as a camera's would be
        self.captured_ns.append(time.monotonic_ns())
        return self._frame, self.captured_ns[-1]

    def read(self, timeout_s: float) -> Any:
        """See `Sensor.read`."""
        from sensorimotor.perception.sensor import Sample

        frame, captured_ns = self.next()
        return Sample(frame, captured_ns, len(self.captured_ns) - 1)

    def close(self) -> None:
        """Nothing to do."""


def bare(rate_hz: float, seconds: float) -> Rows:
    """One thread that makes a frame, calls the model and acts."""
    frames, rows = Frames(rate_hz), []
    for _ in range(round(seconds * rate_hz)):
        frame, captured_ns = frames.next()
        act(nothing(frame), rows, captured_ns)
    return rows


def mailbox(rate_hz: float, seconds: float) -> Rows:
    """Two threads: one makes frames, the other calls the model with the newest and acts."""
    frames, changed, newest = Frames(rate_hz), threading.Condition(), []

    def read() -> None:
        while True:
            pair = frames.next()
            with changed:
                newest[:] = [pair]
                changed.notify()

    threading.Thread(target=read, daemon=True).start()
    rows: Rows = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        with changed:
            changed.wait_for(lambda: newest)
            frame, captured_ns = newest.pop()
        act(nothing(frame), rows, captured_ns)
    return rows


def nothing(frame: np.ndarray) -> int:
    """A model that does nothing."""
    return 1


def act(action: int, rows: Rows, captured_ns: int) -> None:
    """An action arrives."""
    rows.append((captured_ns, time.monotonic_ns()))


def ours(rate_hz: float, seconds: float) -> Rows:
    """This library."""
    from sensorimotor.actions.actuator import Command
    from sensorimotor.actions.callable_actuator import CallableActuator
    from sensorimotor.pipelines.live import Live
    from sensorimotor.pipelines.run import SWITCH_S

    policy, guards = camera_policy(lambda: None, rate_hz)
    frames, acted, numbers = Frames(rate_hz), {}, []

    def arrived(command: Command) -> None:
        if not command.held:
            acted.setdefault(command.step, time.monotonic_ns())

    sys.setswitchinterval(SWITCH_S)
    with Live(
        policy,
        {"camera": frames},
        CallableActuator(arrived, "a list"),
        guards,
        trigger="camera",
        watch=lambda perceived, decision: numbers.append(perceived.sequences.get("camera")),
    ) as live:
        live.run(seconds)
    return [(frames.captured_ns[numbers[step]], acted[step]) for step in sorted(acted) if step < len(numbers)]


def on_one_core(rate_hz: float, seconds: float) -> Rows:
    """This library, on the last core only."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return ours(rate_hz, seconds)


SCRIPTS = {"ours": ours, "ours, on one core": on_one_core, "mailbox": mailbox, "bare loop": bare}
DORA = "dora, queue_size 1"


def turn(who: str, rate_hz: float, seconds: float, dora: Path) -> np.ndarray:
    """Durations (ms) of one contender's turn."""
    if who == DORA:
        rows = run_flow(dora, ["frames", str(rate_hz), str(HEIGHT), str(WIDTH)], seconds, 0, 1)
    else:
        command = [sys.executable, str(Path(__file__).resolve()), "--contender", who, str(rate_hz), str(seconds)]
        rows = json.loads(output(command, seconds + 60))
    pairs = np.array(rows, np.int64)
    counted = pairs[pairs[:, 0] >= pairs[0, 0] + WARM_UP_S * 1e9]
    return (counted[:, 1] - counted[:, 0]) / 1e6


def main() -> None:
    """Have all of them take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dora", type=Path, required=True, help="Python of an environment with dora-rs")
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[*SCRIPTS, DORA])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    turns: dict[str, list[np.ndarray]] = {f"{who} / {rate:g}": [] for rate in RATES_HZ for who in arguments.only}
    for _ in range(arguments.turns):
        for name, taken in turns.items():
            who, _, rate = name.partition(" / ")
            taken.append(turn(who, float(rate), arguments.seconds, arguments.dora))
            print(name, {key: round(ms, 3) for key, ms in quantiles(taken[-1]).items()}, flush=True)
    report = {
        "frame": [HEIGHT, WIDTH],
        "seconds": arguments.seconds,
        "turns": arguments.turns,
        "rows": {
            name: {
                "ms": quantiles(np.concatenate(taken)),
                "p50_of_turns": [float(np.median(one)) for one in taken],
                "p99_of_turns": [float(np.percentile(one, 99)) for one in taken],
                "n": sum(len(one) for one in taken),
            }
            for name, taken in turns.items()
        },
        "load_before": round(load, 2),
        "nice": os.nice(0),
        "real_time": os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR),
        "date": today(),
        "hardware": describe_machine(),
        "versions": {**versions("numpy"), **dora_version(arguments.dora)},
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        name, rate, lasting_s = sys.argv[2:]
        print(json.dumps(SCRIPTS[name](float(rate), float(lasting_s))))
    else:
        main()
