"""`sensorimotor tune`: how the graphs of a policy are best run on this machine, without changing what it decides."""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError, MissingExtraError, QuantisationError, UsageError
from sensorimotor.files import require_writable
from sensorimotor.models.agreement import compare
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.models.golden import load_golden, replay
from sensorimotor.models.onnx_backend import runtime
from sensorimotor.models.policy import Policy
from sensorimotor.models.quantised import quantise, quantised_name
from sensorimotor.pipelines import tuning_grid
from sensorimotor.pipelines.decision_cost import course
from sensorimotor.pipelines.evaluate import Trial
from sensorimotor.pipelines.hardware import describe_machine, multiplies_bytes, today, usable_cores, versions
from sensorimotor.pipelines.machine_profile import (
    CACHE,
    Hardware,
    MachineProfile,
    Measured,
    Objective,
    Settings,
    profile_directory,
)
from sensorimotor.pipelines.paired import Gain
from sensorimotor.pipelines.paired_success import SameSeeds
from sensorimotor.pipelines.profile_options import MOST_ROWS
from sensorimotor.pipelines.rollout import observed_inputs
from sensorimotor.pipelines.shown import Shown, golden_shown
from sensorimotor.pipelines.sidelines import Told
from sensorimotor.pipelines.tuning_search import Play, Search

OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")
FIRST_SEED = 1_000_000_000
SPEAKER = "espeak:en-us+f3"
THREADS, PRECISION, MODES, FINAL = 0.25, 0.2, 0.2, 0.35
"""Shares of the time."""
TURNS = 300
"""In the whole time, roughly."""


def tune(
    source: str,
    *,
    objective: str = "latency",
    seconds: float = 60.0,
    batch: int = 32,
    env: str | None = None,
    episodes: int = 50,
    seed: int = FIRST_SEED,
    cache: Path = CACHE,
    tell: Told = lambda sentence: None,
) -> dict[str, Any]:
    """Find the settings, and write a machine profile that `run` picks up.

    Args:
        source: A bundle directory, or the name of a bundled policy.
        objective: `latency`, one decision at a time at the policy's rate, or `throughput`, rows a second.
        seconds: How long to measure, roughly; whoever races has a few turns at least. Replays and episodes come on top.
        batch: Rows of a batch, for throughput.
        env: An environment in which success must stay within noise.
        episodes: How many are played there, each way.
        seed: Of the first.
        cache: Where profiles are kept.
        tell: Takes a sentence about how it goes.

    Returns:
        What was tried, what was chosen, and how much that gains, in plain JSON types.

    Raises:
        UsageError: An objective, a time, a batch or a number of episodes that there is not.
        WorldError: The environment does not exist or does not fit.
        BundleError: The bundle is damaged, has no golden set, or does not decide here as that says.
        OutputPathError: The profile cannot be written.
    """
    asked = next((one for one in OBJECTIVES if one == objective), None)
    if asked is None:
        raise UsageError(f"nothing can be tuned for {objective!r}: there are {', '.join(OBJECTIVES)}")
    if not 0 < seconds < math.inf:
        raise UsageError(f"there is nothing to be measured in {seconds:g} s: the time must be positive, and finite")
    if not 1 <= batch <= MOST_ROWS:
        raise UsageError(f"batches of {batch} rows are not measured: expected 1 to {MOST_ROWS}")
    if episodes < 1 or seed < 0:
        raise UsageError(f"{episodes} episodes from seed {seed}: expected at least 1 and 0")
    bundle = Bundle.load(source)
    shown = golden_shown(bundle)
    directory = require_writable(profile_directory(bundle.fingerprint, cache))
    play = None if env is None else _play(bundle, env, range(seed, seed + episodes))
    right, decision_s = _right(bundle, shown)

    def load(execution: Execution) -> Policy:
        return Policy.load(bundle, execution=execution)

    timed = course(
        asked,
        shown,
        decision_s=decision_s,
        turn_s=seconds / TURNS,
        rate_hz=bundle.signature.rate_hz,
        batch=batch,
    )
    notes: list[str] = []

    def note(sentence: str) -> None:
        notes.append(sentence)
        tell(sentence)

    with tempfile.TemporaryDirectory(dir=directory) as aside:
        search = Search(load, shown, right, timed, play, tell=tell)
        graphs = _int8(bundle, asked, Path(aside), note)
        over_onnxruntime, over_default = find(search, graphs, seconds, usable_cores(), tell)
        chosen = _moved(search.candidates[search.best].execution, directory)
    profile = MachineProfile(
        objective=asked,
        bundle=bundle.fingerprint,
        onnxruntime=runtime().__version__,
        hardware=Hardware.here(),
        name=search.best,
        settings=Settings.of(chosen),
        over_onnxruntime=Measured(**over_onnxruntime.to_json()),
        over_default=Measured(**over_default.to_json()),
        date=today(),
    )
    return {
        "policy": source,
        "fingerprint": bundle.fingerprint,
        "objective": asked,
        "batch": batch if asked == "throughput" else 1,
        "env": env,
        "candidates": [one.to_json() for one in search.candidates.values()],
        "chosen": {"name": profile.name, **profile.settings.model_dump()},
        "gain": {"over_onnxruntime": over_onnxruntime.to_json(), "over_default": over_default.to_json()},
        "notes": notes,
        "profile": str(profile.write(cache)),
        "date": profile.date,
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy"),
    }


def find(search: Search, graphs: dict[str, Path], seconds: float, cores: int, tell: Told) -> tuple[Gain, Gain]:
    """Ask one question after the other, each of the best so far.

    Args:
        search: Where it stands.
        graphs: File of the bundle → its int8 form.
        seconds: How long to measure, roughly.
        cores: How many there are.
        tell: Takes a sentence about how it goes.

    Returns:
        As `Search.judge`.
    """

    def execution() -> Execution:
        return search.candidates[search.best].execution

    tell("threads")
    search.improve(tuning_grid.threads(cores), THREADS * seconds)
    for file in graphs:
        tell(f"int8 {file}")
        search.improve([tuning_grid.with_graph(execution(), file, graphs)], PRECISION * seconds / len(graphs))
    tell("execution mode, optimisation, arena")
    search.improve(tuning_grid.modes(execution(), cores), MODES * seconds)
    tell(f"{search.best}, measured anew")
    return search.judge(FINAL * seconds)


def _right(bundle: Bundle, shown: Shown) -> tuple[Sequence[np.ndarray], float]:
    """What is to be decided, by the default settings in fp32, and how long a decision takes (s)."""
    policy = Policy.load(bundle, execution=ONE_THREAD)
    began_s = time.perf_counter()
    outputs = replay(policy, shown.steps, shown.starts)
    decision_s = (time.perf_counter() - began_s) / len(shown.steps)
    _, _, expected = load_golden(bundle.file(GOLDEN), bundle.signature)
    promised = compare(bundle.signature.action_space, outputs, list(expected))
    if not promised.complete:
        raise BundleError(
            f"{bundle.path} does not decide on this machine as its golden set says ({promised}): nothing was tuned; "
            "see `sensorimotor inspect --verify`"
        )
    return outputs, decision_s


def _play(bundle: Bundle, env: str, seeds: Sequence[int]) -> Play:
    trial = Trial(str(bundle.path), env, None, (SPEAKER,))
    world = trial.world()
    try:
        shown = observed_inputs(bundle.signature, world, None)
    finally:
        world.close()
    return SameSeeds(replace(trial, inputs=shown), seeds).play


def _int8(bundle: Bundle, objective: Objective, directory: Path, note: Told) -> dict[str, Path]:
    """The int8 graphs that may be tried, and a word where there are none."""
    if objective == "throughput":
        note("int8 is left out: the rows of a batch would share a scale, and one recording would influence another")
        return {}
    try:
        graphs = quantise(bundle, directory, reduce_range=not multiplies_bytes())
    except (MissingExtraError, QuantisationError) as error:
        note(f"int8 is left out: {error}")
        return {}
    if not graphs:
        note("int8 is left out: no graph has a matrix product that is large enough")
    return graphs


def _moved(execution: Execution, directory: Path) -> Execution:
    """The same with its graphs in `directory`, under the names that profiles expect."""
    return replace(
        execution,
        graphs={file: path.replace(directory / quantised_name(file)) for file, path in execution.graphs.items()},
    )
