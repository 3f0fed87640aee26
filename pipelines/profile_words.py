"""What a profile says in words and rows, on the terminal and in the report alike."""

from collections.abc import Mapping, Sequence
from typing import Any

FIX = {
    "prepare": "what the host prepares",
    "core": "the core",
    "decide": "the record of the decision",
    "guards": "the guards",
}


def stage_name(stage: str) -> str:
    """A stage for people: the encoder of `camera` is `encode camera`."""
    return stage.replace("encode.", "encode ", 1)


def duration(ms: float | None) -> str:
    """A duration with three digits and a unit.

    >>> [duration(ms) for ms in (0.01234, 1.5, 1234.5)]
    ['12.3 µs', '1.5 ms', '1.23 s']
    """
    if ms is None:
        return "–"
    if ms < 0.1:
        return f"{ms * 1e3:.3g} µs"
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1e3:.3g} s"


def verdict(report: Mapping[str, Any]) -> str:
    """Yes or no, and by how much."""
    told = report["budget"]
    name, rate = report["policy"]["name"], f"{told['rate_hz']:g} decisions a second"
    period = duration(told["period_ms"])
    if told["holds"]:
        return (
            f"Yes: {name} holds {rate} here. 99 of 100 take at most {duration(told['p99_ms'])} of the {period} "
            f"there are: head-room {told['head_room']:.3g}×."
        )
    return (
        f"No: {name} does not hold {rate} here. {told['late']:.1%} of the decisions take longer than {period}, and "
        f"one of a hundred {duration(told['p99_ms'])} or more."
    )


def why(report: Mapping[str, Any]) -> str:
    """Where the time of the slowest decisions goes, and what to do about it where they are too slow."""
    told = report["budget"]
    stage = told["stage"]
    part = FIX.get(stage) or f"the encoder of {stage.removeprefix('encode.')}"
    said = f"{told['share']:.0%} of the time of the slowest hundredth goes to {part}"
    few = report["stages"]["total"]["n"]
    doubt = f" Only {few} decisions were timed: their 99th percentile is a guess." if few < 200 else ""
    return f"{said}{': mend that first.' if not told['holds'] else '.'}{doubt}"


def machine(report: Mapping[str, Any]) -> str:
    """Hardware, how graphs were run, versions and date."""
    hardware, execution = report["hardware"], report["execution"]
    threads = f"{execution['threads']} thread{'s' if execution['threads'] > 1 else ''}"
    if tried := execution["threads_tried_ms"]:
        threads += " (quickest of " + ", ".join(f"{n}: {duration(ms)}" for n, ms in tried.items()) + ")"
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return (
        f"{hardware['processor']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB, {hardware['system']}; "
        f"{', '.join(execution['providers'])}, {threads}; {versions}; {report['date']}"
    )


def operator_rows(graphs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The nodes of each graph by operator, the longest first: `ms` a run, `share` of the graph, `flops_s`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for graph in graphs:
        whole = sum(node["ms"] for node in graph["nodes"]) or 1.0
        for node in graph["nodes"]:
            row = rows.setdefault(
                (graph["file"], node["operator"]),
                {"operator": node["operator"], "file": graph["file"], "stage": graph["stage"], "nodes": 0}
                | dict.fromkeys(("ms", "share", "flops", "bytes"), 0.0),
            )
            row["nodes"] += 1
            row["share"] += node["ms"] / whole
            for key in ("ms", "flops", "bytes"):
                row[key] += node[key]
    for row in rows.values():
        row["flops_s"] = row["flops"] / (row["ms"] / 1e3) if row["flops"] and row["ms"] else None
    return sorted(rows.values(), key=lambda row: -row["ms"])
