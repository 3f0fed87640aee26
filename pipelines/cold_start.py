"""From nothing to the first decision: how long a fresh process takes, and how much memory it has then."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sensorimotor.errors import SensorimotorError
from sensorimotor.models.execution import Execution
from sensorimotor.perception.buffers import Sensed

STARTS = 5
LIMIT_S = 300.0
PARTS = ("interpreter", "import", "load", "decide")
"""Starting Python; importing the library; reading, checking and loading the bundle; the first decision."""
PROGRAM = """
import time; began = time.monotonic_ns()
import json, sys
import numpy as np
from sensorimotor.models.execution import Execution
from sensorimotor.models.policy import Policy
policy, values, execution = sys.argv[1:]
execution = Execution(**json.loads(execution))
with np.load(values, allow_pickle=False) as file:
    observation = {name: str(file[name]) if file[name].dtype.kind == "U" else file[name] for name in file}
imported = time.monotonic_ns()
policy = Policy.load(policy, execution=execution)
loaded = time.monotonic_ns()
policy.act(observation)
decided = time.monotonic_ns()
from sensorimotor.pipelines.hardware import resident_mb
print(json.dumps([began, imported, loaded, decided, resident_mb()]))
"""


@dataclass(frozen=True)
class ColdStarts:
    """Some starts.

    Attributes:
        seconds: Of each, from its beginning to the end of its first decision (s), float64 `(n,)`.
        parts_s: The median of each of `PARTS` (s).
        resident_mb: Memory after the first decision, the median (MB).
    """

    seconds: np.ndarray
    parts_s: dict[str, float]
    resident_mb: float


def cold_starts(source: str, step: Sensed, execution: Execution, n: int | None = None) -> ColdStarts:
    """Start so many processes, one after another.

    Args:
        source: A bundle directory, or a bundled name.
        step: What the first decision sees.
        execution: How graphs are run.
        n: How many, if not `STARTS`.

    Raises:
        SensorimotorError: One of them failed.
    """
    with TemporaryDirectory(prefix="sensorimotor-cold-") as folder:
        values = Path(folder) / "observation.npz"
        with values.open("wb") as file:
            np.savez(file, allow_pickle=False, **step.observation)
        call = [sys.executable, "-c", PROGRAM, source, str(values), json.dumps(execution.to_json())]
        started = [_start(call) for _ in range(n or STARTS)]
    rows = np.array([[after - before for before, after in zip(row, row[1:], strict=False)] for *row, _ in started])
    medians = np.median(rows, 0) / 1e9
    memory = float(np.median([mb for *_, mb in started]))
    return ColdStarts(rows.sum(1) / 1e9, dict(zip(PARTS, map(float, medians), strict=True)), memory)


def _start(call: list[str]) -> list[float]:
    """When a process was started, began, had imported, loaded and decided (ns), and its memory (MB)."""
    began = time.monotonic_ns()
    done = subprocess.run(call, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SensorimotorError(f"a fresh process that loads the policy ended with status {done.returncode}: {reason}")
    return [began, *json.loads(done.stdout.splitlines()[-1])]
