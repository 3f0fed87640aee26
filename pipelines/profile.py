"""Where the milliseconds go: a policy timed on this machine, against a rate, against the machine, and against torch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError, UsageError
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import CPU, Execution
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.ceilings import Ceilings, measure_ceilings
from sensorimotor.pipelines.cold_start import cold_starts
from sensorimotor.pipelines.hardware import describe_machine, resident_mb, today, usable_cores, versions
from sensorimotor.pipelines.latency import histograms, latency
from sensorimotor.pipelines.machine_profile import tuned
from sensorimotor.pipelines.operators import Graph, foreign_nodes, graphs_of
from sensorimotor.pipelines.shown import Shown, golden_shown, recorded_shown
from sensorimotor.pipelines.stage_timing import TOTAL, Span, StageTimes, measure
from sensorimotor.pipelines.throughput import Batch, knee, throughput
from sensorimotor.pipelines.turns import Contender, compare, ratios

SCHEMA = 1
"""Grows when a key of the report changes its meaning or goes."""
DECISIONS = 2000
WARM_UPS, TRIAL = 20, 100
LONGEST_S, TRIAL_S, NEW_S = 20.0, 2.0, 4.0
IDLES, IDLE_S = 5, 1.0
SLOWEST = 99
"""The decisions from this percentile on say what to mend."""
Told = Callable[[str], object]


def profile(
    source: str,
    *,
    execution: Execution | None = None,
    try_threads: bool = False,
    batches: Sequence[int] = (),
    rate_hz: float | None = None,
    recording: InputSpec | None = None,
    with_torch: bool = False,
    decisions: int = DECISIONS,
    told: Told = lambda sentence: None,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Time a policy.

    Args:
        source: A bundle directory, or the name of a bundled policy.
        execution: How graphs are run; None: as `run` would, tuned on this machine or else on one thread.
        try_threads: Find out how many threads are quickest.
        batches: Sizes of batches to find the throughput of.
        rate_hz: Decisions a second to hold it against; None: those of its signature.
        recording: What it is shown, in place of its golden set: whatever `batch` reads.
        with_torch: Whether to compare with the same policy in torch.
        decisions: How many are timed, if there is time for them.
        told: Takes what is being done.
        sleep: Waits (s).

    Returns:
        A JSON-able report; `docs/profile.md` says what is in it.

    Raises:
        BundleError: The bundle cannot be used, or has no golden set.
        UsageError: There is no such provider, or nodes would run elsewhere and `execution` does not allow it.
        DataError: The recording does not fit the policy.
    """
    bundle = Bundle.load(source)
    shown = recorded_shown(recording, bundle.signature) if recording else golden_shown(bundle)
    told("loading")
    tried: dict[int, float] = {}
    execution = execution or tuned(bundle, "latency", told)
    if try_threads:
        tried = _trial(bundle, shown, execution)
        execution = replace(execution, threads=min(tried, key=lambda count: tried[count]))
    policy = _load(bundle, shown, execution)
    first_ms = float(measure(policy, shown, 1).ms(TOTAL)[0])
    told("deciding")
    measure(policy, shown, WARM_UPS, longest_s=TRIAL_S)
    times = measure(policy, shown, decisions, longest_s=LONGEST_S)
    new = measure(policy, _all_new(shown), max(1, decisions // 4), longest_s=NEW_S)
    told("resting in between")
    idle = [_after_idle(policy, shown, sleep) for _ in range(IDLES)]
    memory_mb = resident_mb()
    sizes = throughput(policy, shown, batches, lambda done: told("deciding in batches")) if batches else []
    told("running every operator")
    graphs = graphs_of(bundle, shown, execution)
    _require_own(graphs, execution)
    told("measuring this machine")
    ceilings = measure_ceilings(execution, [graph.bytes for graph in graphs])
    told("starting from nothing")
    complete = max(shown.steps, key=lambda step: len(step.observation))
    cold = cold_starts(str(bundle.path), complete, execution)
    contenders = compare(bundle, policy, shown, execution, recording, told) if with_torch else []
    return {
        "schema": SCHEMA,
        "policy": {
            "name": bundle.config["name"],
            "path": str(bundle.path),
            "fingerprint": bundle.fingerprint,
            "size_bytes": bundle.size_bytes,
            "parameters": bundle.config["parameters"],
        },
        "shown": {"origin": shown.origin, "steps": len(shown.steps), "episodes": int(sum(shown.starts))},
        "execution": execution.to_json() | {"threads_tried_ms": {str(count): ms for count, ms in tried.items()}},
        "stages": {stage: latency(times.ms(stage)) for stage in (*times.stages, TOTAL)},
        "histograms": histograms({stage: ms for stage in (*times.stages, TOTAL) if len(ms := times.ms(stage))}),
        "timeline": {"typical": _spans(times.typical()), "slow": _spans(_at(times, SLOWEST))},
        "everything_new": latency(new.ms(TOTAL)),
        "first_call_ms": first_ms,
        "after_idle": {"idle_s": IDLE_S, **latency(np.array(idle))},
        "cold_start": {**latency(cold.seconds * 1e3), "parts_s": cold.parts_s, "resident_mb": cold.resident_mb},
        "resident_mb": memory_mb,
        "budget": budget(times, rate_hz or bundle.signature.rate_hz),
        "throughput": {"batches": [_batch(one) for one in sizes], "knee": knee(sizes)} if sizes else None,
        "graphs": [_graph(graph, times, ceilings) for graph in graphs],
        "ceilings": _ceilings(ceilings),
        "compare": _compared(contenders) if contenders else None,
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "onnxruntime-gpu", "numpy", *(["torch"] if with_torch else [])),
    }


def budget(times: StageTimes, rate_hz: float) -> dict[str, Any]:
    """Whether a rate is held: whether 99 of 100 decisions are done within its period; and what to mend.

    Returns:
        `rate_hz`, `period_ms`, `p99_ms`, `holds`, `head_room` (period over p99), `late` (part of the decisions that
        took longer), `stage` that most of the time of the slowest hundredth goes to, and its `share` of that.
    """
    total, period_ms = times.ms(TOTAL), 1e3 / rate_hz
    p99 = float(np.percentile(total, SLOWEST))
    shares = times.shares(total >= p99)
    stage = max(shares, key=lambda name: shares[name])
    return {
        "rate_hz": rate_hz,
        "period_ms": period_ms,
        "p99_ms": p99,
        "holds": p99 <= period_ms,
        "head_room": period_ms / p99,
        "late": float(np.mean(total > period_ms)),
        "stage": stage,
        "share": shares[stage],
    }


def _load(bundle: Bundle, shown: Shown, execution: Execution) -> Policy:
    """The policy, or an error that says which nodes cannot run where they should."""
    try:
        return Policy.load(bundle.path, execution=execution)
    except BundleError:
        if execution.fallback or execution.providers[0] == CPU:
            raise
        anywhere = replace(execution, fallback=True)
        _require_own(graphs_of(bundle, shown, anywhere), execution)
        raise


def _require_own(graphs: Sequence[Graph], execution: Execution) -> None:
    """Refuse nodes that another provider runs than the one that was asked for, unless that is allowed."""
    provider = execution.providers[0]
    if execution.fallback or not (foreign := foreign_nodes(graphs, provider)):
        return
    counts = {graph.file: len(graph.nodes) for graph in graphs}
    told = []
    for file, nodes in foreign.items():
        operators = ", ".join(sorted({node.operator for node in nodes})[:5])
        told.append(f"{len(nodes)} of the {counts[file]} nodes of {file} ({operators}, …)")
    raise UsageError(f"{provider} does not run {'; '.join(told)}: --allow-fallback lets the CPU run them")


def _trial(bundle: Bundle, shown: Shown, execution: Execution) -> dict[int, float]:
    """Threads → median decision (ms), for one, two, four and so on up to every core."""
    cores = usable_cores()
    counts = sorted({1, cores, *(2**i for i in range(1, cores.bit_length()) if 2**i <= cores)})
    tried = {}
    for count in counts:
        policy = _load(bundle, shown, replace(execution, threads=count))
        measure(policy, shown, WARM_UPS, longest_s=TRIAL_S)
        tried[count] = float(np.median(measure(policy, shown, TRIAL, longest_s=TRIAL_S).ms(TOTAL)))
    return tried


def _all_new(shown: Shown) -> Shown:
    """The same steps, each as if nothing were known from before; only those that have as many inputs as any."""
    most = max(len(step.observation) for step in shown.steps)
    steps = [step for step in shown.steps if len(step.observation) == most]
    return Shown(shown.origin, steps, [True] * len(steps))


def _after_idle(policy: Policy, shown: Shown, sleep: Callable[[float], object]) -> float:
    sleep(IDLE_S)
    return float(measure(policy, _all_new(shown), 1).ms(TOTAL)[0])


def _at(times: StageTimes, percent: float) -> Sequence[Span]:
    """The decision that so many percent are no slower than."""
    order = np.argsort(times.ms(TOTAL))
    return times.decisions[order[min(len(order) - 1, int(len(order) * percent / 100))]]


def _spans(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [span._asdict() for span in spans]


def _batch(one: Batch) -> dict[str, Any]:
    return {"rows": one.rows, "rows_s": one.rows_s, "resident_mb": one.resident_mb, "ms": latency(one.ms)}


def _graph(graph: Graph, times: StageTimes, ceilings: Ceilings) -> dict[str, Any]:
    """A graph with its limit: the median of its stage against what this machine needs at least."""
    ms, floor_ms = times.ms(graph.stage), ceilings.floor_ms(graph.flops, graph.bytes)
    p50 = float(np.median(ms)) if len(ms) else None
    return {
        "stage": graph.stage,
        "file": graph.file,
        "flops": graph.flops,
        "bytes": graph.bytes,
        "weight_bytes": graph.weights,
        "p50_ms": p50,
        "floor_ms": floor_ms,
        "attained": floor_ms / p50 if p50 else None,
        "bound": ceilings.bound(graph.flops, graph.bytes),
        "watched_ms": graph.ms,
        "providers": graph.providers,
        "nodes": [asdict(node) for node in graph.nodes],
    }


def _ceilings(ceilings: Ceilings) -> dict[str, Any]:
    copies = [{"bytes": size, "bytes_s": speed} for size, speed in ceilings.copies.items()]
    return {
        "gemm_flops_s": ceilings.gemm_flops_s,
        "gemm_side": ceilings.gemm_side,
        "memory_bytes_s": ceilings.memory_bytes_s,
        "copies": copies,
    }


def _compared(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Each contender's decisions, and how many times as long as ours they took, turn by turn."""
    ours, compared = contenders[0], []
    for one in contenders:
        there = bool(one.turns and ours.turns)
        times = ratios(ours.turns, one.turns) if there else np.array([])
        compared.append(
            {
                "name": one.name,
                "ms": latency(np.concatenate(one.turns)) if one.turns else None,
                "turns": len(one.turns),
                "times_ours": {"p50": latency(times)["p50"], "ci95": latency(times)["p50_ci95"]} if there else None,
                "max_error": one.max_error,
                "why_not": one.why_not or None,
            }
        )
    return compared
