"""The policy against the same policy in torch, in turns: both decide on the same steps, a block of them at a time."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from queue import Empty, Queue
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np

from sensorimotor.errors import SensorimotorError
from sensorimotor.models.bundle import WEIGHTS, Bundle
from sensorimotor.models.execution import CPU, Execution
from sensorimotor.models.parity import difference
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.hardware import usable_cores
from sensorimotor.pipelines.shown import Shown
from sensorimotor.pipelines.stage_timing import TOTAL, measure

MODULE = "sensorimotor.pipelines.compare_torch"
EAGER, COMPILED = "eager torch", "torch.compile"
TURN = 100
"""So many decisions a turn at most."""
TURNS, LONGEST_S = 20, 30.0
LIMIT_S = {EAGER: 120.0, COMPILED: 600.0}
"""How long loading and the first turn may take: `torch.compile` calls a C++ compiler for every graph."""


@dataclass(frozen=True)
class Job:
    """What another process is to decide on, and how.

    Attributes:
        policy: The directory of a bundle.
        recording: In place of the golden set.
        threads: Inside one operator.
        turn: Decisions a turn.
        compiled: Whether graphs are compiled by torch.
    """

    policy: str
    recording: InputSpec | None
    threads: int
    turn: int
    compiled: bool

    def to_json(self) -> str:
        """All of it in one word."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        form = json.loads(text)
        return cls(**form | {"recording": InputSpec(**form["recording"]) if form["recording"] else None})


@dataclass(frozen=True)
class Contender:
    """What became of one way to run the policy.

    Attributes:
        name: Its name.
        turns: Milliseconds of the decisions of each turn; none where it could not take part.
        max_error: Largest difference of its outputs from those of the runtime (see `difference`).
        why_not: Why it could not take part.
    """

    name: str
    turns: tuple[np.ndarray, ...] = ()
    max_error: float | None = None
    why_not: str = ""


def why_incomparable(bundle: Bundle, execution: Execution) -> str:
    """Why a policy cannot be compared with torch here; empty where it can."""
    if execution.providers[0] != CPU:
        return f"torch is compared on the CPU only, and the graphs run on {execution.providers[0]}"
    if missing := [name for name in ("torch", "safetensors") if find_spec(name) is None]:
        return f"{' and '.join(missing)} is not installed: pip install 'sensorimotor[train]'"
    if WEIGHTS not in bundle.config["files"] or "network" not in bundle.config:
        return f"the bundle has no {WEIGHTS}, from which its network could be built again: export it again"
    return ""


def compare(
    bundle: Bundle,
    policy: Policy,
    shown: Shown,
    execution: Execution,
    recording: InputSpec | None = None,
    told: Callable[[str], object] = lambda sentence: None,
) -> list[Contender]:
    """Take turns with eager torch and with `torch.compile`; the first of the result is the runtime itself.

    Args:
        bundle: Of the policy.
        policy: It, in the runtime.
        shown: What decisions see, ...
        recording: ... and where it is from, if not from the golden set.
        execution: How the runtime runs its graphs.
        told: Takes what a person should know meanwhile.
    """
    turn = min(TURN, len(shown.steps))
    ours, why = Contender("runtime"), why_incomparable(bundle, execution)
    if why:
        return [ours, Contender(EAGER, why_not=why), Contender(COMPILED, why_not=why)]
    with ExitStack() as stack:
        taking: dict[str, _Process] = {}
        found: dict[str, Contender] = {}
        expected = outputs(policy, shown, turn)
        for name in (EAGER, COMPILED):
            told(f"{name} gets ready")
            job = Job(str(bundle.path), recording, execution.threads or usable_cores(), turn, name == COMPILED)
            try:
                process = stack.enter_context(_Process(job))
                made = np.array(process.ask("outputs", LIMIT_S[name]), np.float32)
                process.ask("decide", LIMIT_S[name])
            except _NoAnswerError as error:
                found[name] = Contender(name, why_not=str(error))
                continue
            taking[name], found[name] = process, Contender(name, max_error=difference(made, expected))
        told("taking turns")
        turns = _turns(taking, lambda: measure(policy, shown, turn).ms(TOTAL))
    ours = Contender("runtime", turns.pop("runtime"), 0.0)
    return [ours, *(Contender(one.name, turns.get(one.name, ()), one.max_error, one.why_not) for one in found.values())]


def ratios(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> np.ndarray:
    """How many times as long the others took, of each turn: their median decision over ours."""
    return np.array([np.median(other) / np.median(own) for own, other in zip(ours, theirs, strict=True)])


def outputs(policy: Policy, shown: Shown, n: int) -> np.ndarray:
    """What the head gives at the first steps, float32 `(n, parameters)`."""
    once, made = policy.on(lambda backend: backend), []
    for step, start in zip(shown.steps[:n], shown.starts[:n], strict=True):
        if start:
            once.reset()
        parameters = once.act(step.observation, ages_s=step.ages_s, sequences=step.sequences).parameters
        assert parameters is not None
        made.append(parameters)
    return np.stack(made)


def _turns(taking: "dict[str, _Process]", own: Callable[[], np.ndarray]) -> dict[str, tuple[np.ndarray, ...]]:
    own()
    taken: dict[str, list[np.ndarray]] = {name: [] for name in ("runtime", *taking)}
    began = time.monotonic()
    for _ in range(TURNS if taking else 1):
        taken["runtime"].append(own())
        for name, process in taking.items():
            taken[name].append(np.array(process.ask("decide", LIMIT_S[EAGER])))
        if time.monotonic() - began > LONGEST_S:
            break
    return {name: tuple(turns) for name, turns in taken.items()}


class _NoAnswerError(SensorimotorError):
    """The other process has ended, or takes too long."""


class _Process:
    """The policy in torch, as a context."""

    def __init__(self, job: Job):
        self._job, self._answers = job, Queue[str]()

    def __enter__(self) -> Self:
        self._said = TemporaryFile("w+", errors="replace")
        call = [sys.executable, "-m", MODULE, self._job.to_json()]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(call, stdin=pipe, stdout=pipe, stderr=self._said, text=True)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def ask(self, question: str, limit_s: float) -> Any:
        """Its answer to a question."""
        try:
            assert self._process.stdin
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=limit_s)
        except (OSError, Empty) as error:
            if self._process.poll() is None:
                raise _NoAnswerError(f"it was not ready within {limit_s:.0f} s") from error
            raise _NoAnswerError(self._last_words()) from error
        if not answer:
            raise _NoAnswerError(self._last_words())
        return json.loads(answer)

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _last_words(self) -> str:
        """The line that says what went wrong: the last one that begins like an error, of a trace that may go on."""
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        errors = [line for line in lines if "Error" in line.split(":")[0] or "Invalid" in line.split(":")[0]]
        return (errors or lines or ["it ended without a word"])[-1][:300]
