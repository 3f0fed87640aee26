"""What a person sees on the terminal of where the milliseconds go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sensorimotor.pipelines.check_table import amount
from sensorimotor.pipelines.console import out, pairs
from sensorimotor.pipelines.profile_words import duration, machine, operator_rows, stage_name, verdict, why

LABEL, FIGURE, WIDEST = 20, 9, 60
"""Characters of a line of the timeline: its name, its duration, and its bar at most."""
OPERATORS = 8
STAGE_STYLES = ("cyan", "green", "yellow", "magenta", "red", "bright_blue")


def profile_tables(report: dict[str, Any], html: str | None = None) -> None:
    """Print what `profile` found; `html` is where the same is drawn."""
    holds = report["budget"]["holds"]
    out.print(f"[bold {'green' if holds else 'red'}]{escape(verdict(report))}[/]", soft_wrap=True)
    out.print(Text(why(report)), soft_wrap=True)
    out.print()
    out.print(_stages(report))
    out.print()
    for name, title in (("typical", "a typical decision"), ("slow", "one of the slowest in a hundred")):
        out.print(_timeline(report["timeline"][name], title, report["stages"]), soft_wrap=True)
    if report["throughput"]:
        out.print(_throughput(report["throughput"]))
        out.print()
    out.print(_limits(report["graphs"]))
    out.print()
    out.print(_operators(report["graphs"]))
    out.print()
    if report["compare"]:
        out.print(_compare(report["compare"]))
        for one in report["compare"]:
            if one["why_not"]:
                out.print(f"{one['name']} was not compared: {one['why_not']}.", markup=False)
        out.print()
    out.print(pairs(_rest(report) | ({"report": html} if html else {})))


def _table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    """Names of graphs and operators may be long, and give way where the terminal is narrow; figures do not."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold")
    return table


def _stages(report: dict[str, Any]) -> Table:
    table = _table("stages (ms)", ("stage", "p50", "± (µs)", "p90", "p95", "p99", "max", "n"))
    rows = {**report["stages"], "everything new": report["everything_new"]}
    for stage, one in rows.items():
        name = Text(stage_name(stage), style="bold" if stage == "total" else "")
        if not one["n"]:
            table.add_row(name, *["–"] * 6, "0")
            continue
        low, high = one["p50_ci95"]
        figures = (f"{one[key]:.3f}" for key in ("p90", "p95", "p99", "max"))
        within = max(high - one["p50"], one["p50"] - low)
        table.add_row(name, f"{one['p50']:.3f}", f"{within * 1e3:.1f}", *figures, f"{one['n']:,}")
    return table


def _timeline(spans: Sequence[Mapping[str, Any]], title: str, stages: Mapping[str, Any]) -> Text:
    """Each stage on a line of its own, where and as long as it was."""
    whole, width = sum(span["ms"] for span in spans), max(10, min(WIDEST, out.width - LABEL - FIGURE - 4))
    styles = dict(zip((name for name in stages if name != "total"), STAGE_STYLES * 4, strict=False))
    drawn = Text(f"{title}: {duration(whole)}\n", style="")
    for stage in dict.fromkeys(span["stage"] for span in spans):
        here, at = [span for span in spans if span["stage"] == stage], 0
        drawn.append(f"{stage_name(stage)[:LABEL]:>{LABEL}} ")
        for span in here:
            start = max(at, min(width - 1, round(span["start_ms"] / whole * width)))
            stop = max(start + 1, round((span["start_ms"] + span["ms"]) / whole * width))
            drawn.append(" " * (start - at)).append("█" * (stop - start), styles[stage])
            at = stop
        drawn.append(" " * (width + 1 - at) + f"{duration(sum(span['ms'] for span in here)):>{FIGURE}}\n")
    return drawn


def _throughput(told: Mapping[str, Any]) -> Table:
    table = _table("throughput", ("rows a batch", "rows a second", "a batch p50", "p99", "memory", ""), left=0)
    for one in told["batches"]:
        at_knee = one["rows"] == told["knee"]
        table.add_row(
            str(one["rows"]),
            f"{one['rows_s']:,.0f}",
            duration(one["ms"]["p50"]),
            duration(one["ms"]["p99"]),
            f"{one['resident_mb']:,.0f} MB",
            Text("◀ knee" if at_knee else "", style="bold"),
        )
    return table


def _limits(graphs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("the limit of this machine", ("graph", "FLOP", "bytes", "at least", "for", "takes", "attained"))
    for one in graphs:
        table.add_row(
            Text(one["stage"].removeprefix("encode.")),
            amount(one["flops"]),
            f"{amount(one['bytes'])}B",
            duration(one["floor_ms"]),
            "FLOP" if one["bound"] == "arithmetic" else "bytes",
            duration(one["p50_ms"]),
            "–" if one["attained"] is None else f"{one['attained']:.0%}",
        )
    return table


def _operators(graphs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "operators, while ONNX Runtime watches", ("operator", "graph", "nodes", "of its graph", "GFLOP/s"), left=2
    )
    for row in operator_rows(graphs)[:OPERATORS]:
        speed = f"{row['flops_s'] / 1e9:.1f}" if row["flops_s"] else "–"
        table.add_row(
            row["operator"], Text(row["stage"].removeprefix("encode.")), str(row["nodes"]), f"{row['share']:.0%}", speed
        )
    return table


def _compare(contenders: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "the same policy, in turns", ("run by", "p50 (ms)", "p99", "ours = 1", "95 % interval", "differs by")
    )
    for one in contenders:
        times = one["times_ours"]
        row = [f"{one['ms'][key]:.3f}" for key in ("p50", "p99")] if one["ms"] else ["–", "–"]
        interval = [f"{times['p50']:.2f}", "{:.2f} – {:.2f}".format(*times["ci95"])] if times else ["–", "–"]
        table.add_row(one["name"], *row, *interval, f"{one['max_error']:.0e}" if one["max_error"] else "–")
    return table


def _rest(report: dict[str, Any]) -> dict[str, str | Text]:
    cold, idle = report["cold_start"], report["after_idle"]
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in cold["parts_s"].items())
    ceilings, shown, ran = report["ceilings"], report["shown"], Counter[str]()
    for graph in report["graphs"]:
        ran.update(graph["providers"])
    return {
        "first call": duration(report["first_call_ms"]),
        "after idle": f"{duration(idle['p50'])} after {idle['idle_s']:g} s, everything new (n = {idle['n']})",
        "cold start": f"{cold['p50'] / 1e3:.2f} s to the first decision ({parts}; n = {cold['n']})",
        "memory": f"{cold['resident_mb']:.0f} MB after the first decision",
        "bundle": f"{report['policy']['size_bytes'] / 1e6:.1f} MB, {report['policy']['parameters']:,} parameters",
        "shown": f"{shown['origin']}, {shown['steps']} steps of {shown['episodes']} episodes",
        "machine at best": f"{ceilings['gemm_flops_s'] / 1e9:.0f} GFLOP/s in a matrix product, "
        f"{ceilings['memory_bytes_s'] / 1e9:.0f} GB/s in a copy of memory",
        "nodes run by": ", ".join(f"{provider} ({count})" for provider, count in ran.items()),
        "measured on": machine(report),
    }
