"""How old the frame is that an action was decided on, by a clock that the camera writes into its pixels.

    python benchmarks/frame_age.py --dora PATH/bin/python

A camera on loopback (MJPEG, 640 x 480, 30 frames a second, a process of its own) is read by each contender in turn, for
twelve seconds, and what would be its model computes for 50 ms of CPU on each frame that it is given. Contenders:

- `Live` of this library, deciding when the camera's frame is encoded (`--trigger camera`), as `sensorimotor run` does
- a mailbox of one slot by hand: a thread that reads, and the newest frame
- a plain loop that reads, computes and acts
- dora-rs with its queue as it is, and with `queue_size: 1`; its camera node sends every frame as soon as it has it, and
  its policy node is the actuator too

The first two also with a model that computes in Python, and so holds the GIL. Writes
`benchmarks/results/frame_age.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from busy_work import ONE_THREAD, InNumpy, InPython
from camera_policy import HEIGHT, WIDTH, camera_policy
from dora_flow import run_flow

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.evaluate import quantiles
from sensorimotor.pipelines.hardware import describe_machine, today, versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "frame_age.json"
CAMERA = ROOT / "tests" / "perception" / "mjpeg_camera.py"
sys.path.insert(0, str(CAMERA.parent))
RATE_HZ = 30.0
STAMPED_ROWS = 60
"""Rows of a frame that the clock is written into; they are kept, and read when all is over."""

Seen = list[tuple[np.ndarray, int]]
"""Top of each frame that was acted on, and when (ns)."""


def plain(url: str, seconds: float, work: Callable[[], object]) -> tuple[Seen, dict[str, Any]]:
    """What a first script looks like."""
    import cv2

    film, seen, until_ns = cv2.VideoCapture(url), [], None
    while until_ns is None or time.monotonic_ns() < until_ns:
        there, frame = film.read()
        if not there:
            break
        work()
        acted_ns = time.monotonic_ns()
        seen.append((frame[:STAMPED_ROWS].copy(), acted_ns))
        until_ns = until_ns or acted_ns + round(seconds * 1e9)
    return seen, {}


def mailbox(url: str, seconds: float, work: Callable[[], object]) -> tuple[Seen, dict[str, Any]]:
    """What a second script looks like: a thread reads, and leaves the newest frame."""
    import cv2

    film, changed, newest, ended = cv2.VideoCapture(url), threading.Condition(), [], threading.Event()

    def read() -> None:
        while not ended.is_set():
            there, frame = film.read()
            if there:
                with changed:
                    newest[:] = [frame]
                    changed.notify()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    seen, until_ns = [], None
    while until_ns is None or time.monotonic_ns() < until_ns:
        with changed:
            changed.wait_for(lambda: newest)
            frame = newest.pop()
        work()
        acted_ns = time.monotonic_ns()
        seen.append((frame[:STAMPED_ROWS].copy(), acted_ns))
        until_ns = until_ns or acted_ns + round(seconds * 1e9)
    ended.set()
    thread.join(2)
    return seen, {}


def ours(url: str, seconds: float, work: Callable[[], object]) -> tuple[Seen, dict[str, Any]]:
    """This library, and what it says itself of the age of its frames."""
    from sensorimotor.actions.actuator import Command
    from sensorimotor.actions.callable_actuator import CallableActuator
    from sensorimotor.clock import MonotonicClock
    from sensorimotor.perception.sensors import open_sensor
    from sensorimotor.pipelines.live import Live
    from sensorimotor.pipelines.run import SWITCH_S

    policy, guards = camera_policy(work, RATE_HZ)
    clock, acted, decided = MonotonicClock(), {}, []

    def act(command: Command) -> None:
        if not command.held:
            acted.setdefault(command.step, time.monotonic_ns())

    def watch(perceived: Any, decision: Any) -> None:
        frame = perceived.observation.get("camera")
        top = None if frame is None else np.ascontiguousarray(frame[:STAMPED_ROWS])
        decided.append((top, decision.inputs["camera"].age_s))

    sensors = {"camera": open_sensor("camera", policy.signature.inputs["camera"], url, clock=clock)}
    sys.setswitchinterval(SWITCH_S)
    with Live(
        policy, sensors, CallableActuator(act, "a list"), guards, trigger="camera", watch=watch, clock=clock
    ) as live:
        threading.Timer(seconds + 1.0, live.stop).start()
        live.run()
        summary = live.summary()
    steps = [step for step in sorted(acted) if step < len(decided) and decided[step][0] is not None]
    first_ns = acted[steps[0]]
    steps = [step for step in steps if acted[step] < first_ns + seconds * 1e9]
    told = {"reported_ms": [decided[step][1] * 1e3 for step in steps], "drops": summary["drops"]}
    return [(decided[step][0], acted[step]) for step in steps], told


SCRIPTS = {"plain": plain, "mailbox": mailbox, "ours": ours}
CONTENDERS: dict[str, tuple[str, Any]] = {
    "ours": ("ours", "numpy"),
    "mailbox": ("mailbox", "numpy"),
    "plain": ("plain", "numpy"),
    "dora, default queue": ("dora", None),
    "dora, queue_size 1": ("dora", 1),
    "ours, GIL held": ("ours", "python"),
    "mailbox, GIL held": ("mailbox", "python"),
}


@contextmanager
def filming(camera: Path = CAMERA) -> Iterator[str]:
    """The camera, for the time of one turn."""
    command = [sys.executable, str(camera), "--rate", str(RATE_HZ), "--size", f"{WIDTH}x{HEIGHT}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def turn(who: str, seconds: float, busy_ms: float, rows: int, dora: Path) -> dict[str, Any]:
    """One contender's turn: ages (ms) by the pixel clock at each action, and what it says of itself."""
    kind, how = CONTENDERS[who]
    with filming() as url:
        if kind == "dora":
            rows = run_flow(dora, ["camera", url], seconds, rows, how)
            return {"age_ms": [(acted_ns - stamp_ns) / 1e6 for stamp_ns, acted_ns in rows]}
        amount = rows if how == "numpy" else busy_ms
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--contender",
            kind,
            how,
            url,
            str(seconds),
            str(amount),
        ]
        return json.loads(output(command, seconds + 60))


def contender(kind: str, how: str, url: str, seconds: str, amount: str) -> None:
    """Be one, in a process of one's own."""
    from mjpeg_camera import read_stamp

    compute = InNumpy(int(amount)) if how == "numpy" else InPython(float(amount))
    for _ in range(5):
        compute()
    seen, told = SCRIPTS[kind](url, float(seconds), compute)
    ages_ms = [(acted_ns - read_stamp(top)) / 1e6 for top, acted_ns in seen]
    print(json.dumps({"age_ms": ages_ms, **told}))


def calibrated(cpu_ms: float) -> int:
    """How large a product takes so long on one thread here; the same one for all contenders."""
    program = f"from busy_work import InNumpy; print(InNumpy.rows({cpu_ms}))"
    return int(output([sys.executable, "-c", program], 60))


def output(command: list[str], within_s: float) -> str:
    """What a program says, whose numpy has one thread."""
    env, here = {**os.environ, **ONE_THREAD}, Path(__file__).parent
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=within_s, env=env, cwd=here)
    return done.stdout


def judged(turns: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """All turns of one contender together."""
    ages = np.concatenate([one["age_ms"] for one in turns])
    report = {
        "age_ms": quantiles(ages),
        "age_ms_p50_of_turns": [float(np.median(one["age_ms"])) for one in turns],
        "n": len(ages),
        "actions_per_s": len(ages) / (seconds * len(turns)),
    }
    if "reported_ms" in turns[0]:
        reported = np.concatenate([one["reported_ms"] for one in turns])
        report["reported_age_ms"] = quantiles(reported)
        report["pixel_minus_reported_ms"] = quantiles(ages - reported)
        report["drops"] = [one["drops"] for one in turns]
    return report


def main() -> None:
    """Have all of them take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dora", type=Path, required=True, help="Python of an environment with dora-rs")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--busy-ms", type=float, default=50.0)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load, rows = os.getloadavg()[0], calibrated(arguments.busy_ms)
    turns: dict[str, list[dict[str, Any]]] = {who: [] for who in arguments.only}
    for _ in range(arguments.turns):
        for who, taken in turns.items():
            taken.append(turn(who, arguments.seconds, arguments.busy_ms, rows, arguments.dora))
            print(who, {key: round(ms, 1) for key, ms in quantiles(np.array(taken[-1]["age_ms"])).items()}, flush=True)
    judgement = {who: judged(taken, arguments.seconds) for who, taken in turns.items()}
    report = {
        "camera": {"size": [HEIGHT, WIDTH], "rate_hz": RATE_HZ},
        "busy_ms": arguments.busy_ms,
        "seconds": arguments.seconds,
        "turns": arguments.turns,
        "rows": judgement,
        "load_before": round(load, 2),
        "nice": os.nice(0),
        "date": today(),
        "hardware": describe_machine(),
        "versions": {**versions("numpy", "opencv-python-headless", "av"), **dora_version(arguments.dora)},
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


def dora_version(python: Path) -> dict[str, str]:
    """Which dora-rs it was."""
    program = "from importlib.metadata import version; print(version('dora-rs'))"
    done = subprocess.run([str(python), "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return {"dora-rs": done.stdout.strip()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contender(*sys.argv[2:])
    else:
        main()
