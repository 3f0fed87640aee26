"""The README's own policy from recordings, command by command: what comes out, and how long it takes.

    python benchmarks/reach.py

Records, trains, exports and evaluates as `recipes/reach.toml` says, in a folder that is thrown away, and writes
`benchmarks/results/reach.json`.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.reach import ID

RESULTS = Path(__file__).parent / "results" / "reach.json"
RECIPE = Path(__file__).parents[1] / "recipes" / "reach.toml"
INPUTS = ("camera,state,instruction", "camera,instruction", "camera,state", "camera")
EPISODES = 512
DISCS = 3


def main() -> None:
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}
    with TemporaryDirectory() as folder:

        def run(stage: str, *words: str) -> dict:
            began, spent = time.monotonic(), _cpu_seconds()
            command = [str(Path(sys.executable).with_name("sensorimotor")), *words, "--json"]
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
            seconds[stage] = round(time.monotonic() - began, 1)
            cpu_seconds[stage] = round(_cpu_seconds() - spent, 1)
            return json.loads(done.stdout)

        options = ("--option", "control_noise=0.1", "--out", "demos/reach")
        recorded = run("record", "record", ID, "--episodes", "200", *options)
        run("train", "train", str(RECIPE), "--out", "runs/reach")
        parity = run("export", "export", "runs/reach", "--out", "bundles/reach")
        rows = {}
        for inputs in INPUTS:
            shown = ("--env", ID, "--episodes", str(EPISODES), "--inputs", inputs)
            report = run(f"evaluate {inputs}", "evaluate", "bundles/reach", *shown)
            rows[inputs] = {key: report[key] for key in ("success_rate", "ci95", "mean_steps")}
        log = [json.loads(line) for line in (Path(folder) / "runs/reach/log.jsonl").read_text().splitlines()]
        size = sum(file.stat().st_size for file in (Path(folder) / "bundles/reach").iterdir())
    judged = next(entry for entry in reversed(log) if "held_out" in entry)
    report = {
        "episodes_recorded": recorded["kept"],
        "episodes": EPISODES,
        "seed": 10**9,
        "chance": 1 / DISCS,
        "rows": rows,
        "held_out": judged["held_out"],
        "baseline": judged["baseline"],
        "parity": parity,
        "bundle_bytes": size,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "hardware": describe_machine(),
        "date": today(),
        "versions": versions("onnxruntime", "torch", "numpy"),
    }
    write_atomically(RESULTS, json.dumps(report, indent=2) + "\n")


def _cpu_seconds() -> float:
    """What the processes that have ended took of all cores together (s)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
