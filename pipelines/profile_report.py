"""A profile as a page to look at: one file, with everything in it, for any browser, light or dark."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sensorimotor.pipelines import profile_charts as charts
from sensorimotor.pipelines.check_table import amount
from sensorimotor.pipelines.profile_style import STYLE
from sensorimotor.pipelines.profile_words import duration, machine, operator_rows, stage_name, verdict, why


def html_report(report: Mapping[str, Any]) -> str:
    """The page. It needs no network and no script.

    Args:
        report: What `profile` gives.
    """
    name, stages = report["policy"]["name"], list(report["stages"])
    answer, _, rest = verdict(report).partition(": ")
    parts = [
        f'<header><p class="eyebrow">sensorimotor profile · {escape(name)} · {escape(report["date"])}</p>',
        f'<h1 class="{"yes" if report["budget"]["holds"] else "no"}"><b>{escape(answer)}</b> {escape(rest)}</h1>',
        f"<p>{escape(why(report))}</p>",
        charts.budget_chart(report),
        "</header>",
        _tiles(report),
        _section(
            "One decision",
            "A typical one, and one that 99 of 100 are no slower than.",
            *(
                f"<h3>{title}</h3>{charts.timeline_chart(report['timeline'][key], stages, title)}"
                for key, title in (("typical", "typical"), ("slow", "slow"))
            ),
        ),
        _section(
            "All decisions",
            f"{report['stages']['total']['n']:,} of them. A hill is where many took as long; its line is the median, "
            "the dot the 99th percentile. An encoder runs only when its input has something new.",
            charts.distribution_chart(report),
            _details("the figures", _stage_table(report)),
        ),
    ]
    if report["throughput"]:
        parts.append(
            _section(
                "Many at a time",
                "Streams decided on together. Beyond the knee, larger batches gain less than a tenth.",
                charts.throughput_chart(report["throughput"]),
                _details("the figures", _throughput_table(report["throughput"])),
            )
        )
    parts += [
        _section(
            "How near to the limit",
            "Each graph under what this machine could do at most, measured in the same run: the line above a dot is "
            "what is left. Small graphs spend their time on calling operators, not on arithmetic.",
            charts.roofline_chart(report["graphs"], report["ceilings"]),
            _details("the figures", _limit_table(report["graphs"])),
        ),
        _section(
            "Operators",
            "Of a run of each graph while ONNX Runtime watches, which makes them slower: look at the proportions.",
            charts.operators_chart(report["graphs"], stages),
            _details("every operator", _operator_table(report["graphs"])),
        ),
        _section(
            "From nothing to the first decision",
            f"A fresh process, {report['cold_start']['n']} times.",
            charts.starting_chart(report["cold_start"]),
        ),
    ]
    if report["compare"]:
        parts.append(_compared(report["compare"]))
    parts.append(f"<footer>{escape(machine(report))}<br>policy {escape(report['policy']['fingerprint'])}</footer>")
    title = escape(f"{name}: where the milliseconds go")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def _section(title: str, said: str, *content: str) -> str:
    drawn = "".join(f'<div class="chart">{one}</div>' if one.startswith("<svg") else one for one in content)
    return f"<section><h2>{escape(title)}</h2><p>{escape(said)}</p>{drawn}</section>"


def _tiles(report: Mapping[str, Any]) -> str:
    """The figures that fit in a line."""
    cold, idle, total = report["cold_start"], report["after_idle"], report["stages"]["total"]
    low, high = total["p50_ci95"]
    tiles = (
        ("typical", duration(total["p50"]), f"median; 95 % within {duration(low)} – {duration(high)}"),
        ("all new", duration(report["everything_new"]["p50"]), "median; every encoder runs"),
        (f"after {idle['idle_s']:g} s idle", duration(idle["p50"]), "median; all new"),
        ("first call", duration(report["first_call_ms"]), "of a policy just loaded"),
        ("cold start", duration(cold["p50"]), "process to first decision"),
        ("memory", f"{cold['resident_mb']:.0f} MB", "after the first decision"),
        (
            "bundle",
            f"{report['policy']['size_bytes'] / 1e6:.1f} MB",
            f"{amount(report['policy']['parameters']).rstrip()} parameters",
        ),
    )
    drawn = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(figure)}</b><small>{escape(note)}</small></div>'
        for name, figure, note in tiles
    )
    return f'<div class="tiles">{drawn}</div>'


def _compared(contenders: Sequence[Mapping[str, Any]]) -> str:
    absent = [
        f"<p>{escape(one['name'])} was not compared: {escape(one['why_not'])}.</p>"
        for one in contenders
        if one["why_not"]
    ]
    drawn = [charts.compare_chart(contenders)] if any(one["ms"] for one in contenders) else []
    return _section(
        "Against torch",
        "The same weights on the same steps, in turns: the full colour ends at the median, the light one at the 99th "
        "percentile.",
        *drawn,
        *absent,
    )


def _details(summary: str, table: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{table}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _stage_table(report: Mapping[str, Any]) -> str:
    keys = ("p50", "p90", "p95", "p99", "max")
    rows = (
        [stage_name(stage), *(duration(one[key]) for key in keys), f"{one['n']:,}"]
        for stage, one in report["stages"].items()
    )
    return _table(("stage", *keys, "n"), rows)


def _throughput_table(told: Mapping[str, Any]) -> str:
    rows = (
        [
            f"{one['rows']}",
            f"{one['rows_s']:,.0f}",
            duration(one["ms"]["p50"]),
            duration(one["ms"]["p99"]),
            f"{one['resident_mb']:,.0f} MB",
        ]
        for one in told["batches"]
    )
    return _table(("rows a batch", "rows a second", "a batch p50", "p99", "memory"), rows)


def _limit_table(graphs: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        [
            one["file"],
            f"{amount(one['flops'])}FLOP",
            f"{amount(one['bytes'])}B",
            one["bound"],
            duration(one["floor_ms"]),
            duration(one["p50_ms"]),
            "–" if one["attained"] is None else f"{one['attained']:.0%}",
            ", ".join(f"{name}: {count} nodes" for name, count in one["providers"].items()),
        ]
        for one in graphs
    )
    return _table(("graph", "arithmetic", "bytes", "bound by", "at least", "takes", "attained", "run by"), rows)


def _operator_table(graphs: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        [
            one["file"],
            one["operator"],
            str(one["nodes"]),
            duration(one["ms"]),
            f"{one['share']:.1%}",
            f"{amount(one['flops'])}FLOP" if one["flops"] else "–",
            f"{amount(one['bytes'])}B",
            f"{one['flops_s'] / 1e9:.3g} GFLOP/s" if one["flops_s"] else "–",
        ]
        for one in operator_rows(graphs)
    )
    return _table(("graph", "operator", "nodes", "a run", "of its graph", "arithmetic", "bytes", "speed"), rows)
