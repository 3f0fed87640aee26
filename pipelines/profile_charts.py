"""The charts of a profile: each takes a part of its report and gives a drawing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sensorimotor.pipelines.check_table import amount
from sensorimotor.pipelines.profile_words import duration, operator_rows, stage_name
from sensorimotor.pipelines.svg import Canvas, decades, linear, logarithmic, round_steps

WIDTH = 920.0
HUES = 7
"""Colours that encoders take turns with."""
OPERATORS = 14
NEAR = 130.0
"""Points that are nearer to each other have their names on different sides."""


def colours(stages: Sequence[str]) -> dict[str, str]:
    """Stage → its colour, the same in every chart: one for the core, one an encoder, grey for what the host does."""
    encoders = [stage for stage in stages if stage.startswith("encode.")]
    chosen = {stage: f"hue{i % HUES}" for i, stage in enumerate(encoders)}
    return {"core": "core", "prepare": "host", "decide": "host2", "guards": "host3", "total": "ink"} | chosen


def budget_chart(report: Mapping[str, Any]) -> str:
    """The period of the rate, and how much of it decisions take."""
    told, total = report["budget"], report["stages"]["total"]
    canvas = Canvas(WIDTH, 84, "how much of the period decisions take")
    highest = max(told["period_ms"], told["p99_ms"]) * 1.0
    x = linear((0, highest), (8, WIDTH - 8))
    canvas.bar(x(0), 30, x(told["period_ms"]) - x(0), 22, "track", f"period {duration(told['period_ms'])}", 4)
    kind = "good" if told["holds"] else "bad"
    canvas.bar(x(0), 30, max(2.0, x(told["p99_ms"]) - x(0)), 22, f"{kind} faint", f"p99 {duration(told['p99_ms'])}", 4)
    canvas.bar(x(0), 30, max(2.0, x(total["p50"]) - x(0)), 22, kind, f"p50 {duration(total['p50'])}", 4)
    canvas.line(x(told["period_ms"]), 22, x(told["period_ms"]), 60, "mark")
    canvas.text(x(told["period_ms"]), 16, f"period {duration(told['period_ms'])}", "label", "end")
    canvas.text(x(0), 74, f"p50 {duration(total['p50'])}   ·   p99 {duration(told['p99_ms'])}", "label strong")
    return str(canvas)


def timeline_chart(spans: Sequence[Mapping[str, Any]], stages: Sequence[str], label: str) -> str:
    """One decision from left to right, a stage on each line."""
    chosen, left, right, row = colours(stages), 150.0, 84.0, 26.0
    here = list(dict.fromkeys(span["stage"] for span in spans))
    height = row * len(here) + 34
    canvas = Canvas(WIDTH, height, label)
    whole = max(span["start_ms"] + span["ms"] for span in spans)
    x = linear((0, whole), (left, WIDTH - right))
    for tick in round_steps(whole, 6):
        canvas.line(x(tick), 4, x(tick), height - 28, "grid")
        canvas.text(x(tick), height - 12, duration(tick) if tick else "0", "axis", "middle")
    for i, stage in enumerate(here):
        top = 6 + i * row
        canvas.text(left - 10, top + 14, stage_name(stage), "label", "end")
        mine = [span for span in spans if span["stage"] == stage]
        for span in mine:
            tip = f"{stage_name(stage)}: {duration(span['ms'])}, from {duration(span['start_ms'])} on"
            canvas.bar(x(span["start_ms"]), top, max(1.5, x(span["ms"]) - x(0)), row - 8, chosen[stage], tip)
        taken = sum(span["ms"] for span in mine)
        last = mine[-1]
        canvas.text(x(last["start_ms"] + last["ms"]) + 8, top + 14, duration(taken), "label strong")
    return str(canvas)


def distribution_chart(report: Mapping[str, Any]) -> str:
    """How long each stage took in all decisions: a hill where many took as long, on one logarithmic scale."""
    told, stages = report["histograms"], report["stages"]
    edges, names = told["edges_ms"], list(told["counts"])
    chosen, left, right, row, hill = colours(names), 150.0, 170.0, 46.0, 40.0
    height = row * len(names) + 44
    canvas = Canvas(WIDTH, height, "how long each stage took, from all decisions")
    x = logarithmic((edges[0], edges[-1]), (left, WIDTH - right))
    for tick in decades(edges[0], edges[-1]):
        canvas.line(x(tick), 8, x(tick), height - 32, "grid")
        canvas.text(x(tick), height - 14, duration(tick), "axis", "middle")
    canvas.text(WIDTH - right + 14, 10, "p50", "axis")
    canvas.text(WIDTH - right + 92, 10, "p99", "axis")
    for i, stage in enumerate(names):
        counts, base, one = told["counts"][stage], 8 + (i + 1) * row - 6, stages[stage]
        highest = max(counts) or 1
        outline = [(x(edges[0]), base)]
        for j, count in enumerate(counts):
            top = base - hill * count / highest
            outline += [(x(edges[j]), top), (x(edges[j + 1]), top)]
        outline.append((x(edges[-1]), base))
        tip = f"{stage_name(stage)}: p50 {duration(one['p50'])}, p99 {duration(one['p99'])}, n = {one['n']:,}"
        canvas.path(outline, f"{chosen[stage]} hill", tip, closed=True)
        canvas.line(left, base, WIDTH - right, base, "base")
        canvas.line(x(one["p50"]), base - hill, x(one["p50"]), base + 3, "mark")
        canvas.dot(x(one["p99"]), base, 3.5, "p99", f"p99 {duration(one['p99'])}")
        canvas.text(left - 10, base - 14, stage_name(stage), "label strong" if stage == "total" else "label", "end")
        canvas.text(left - 10, base - 1, f"n = {one['n']:,}", "axis", "end")
        canvas.text(WIDTH - right + 14, base - 8, duration(one["p50"]), "label strong")
        canvas.text(WIDTH - right + 92, base - 8, duration(one["p99"]), "label")
    return str(canvas)


def throughput_chart(told: Mapping[str, Any]) -> str:
    """Rows a second and memory against the rows of a batch, with the knee."""
    batches, half, gap, top, bottom = told["batches"], WIDTH / 2, 62.0, 34.0, 216.0
    canvas = Canvas(WIDTH, 262, "throughput and memory against the size of batches")
    rows = [one["rows"] for one in batches]
    panels = (
        (0.0, "rows a second", [one["rows_s"] for one in batches], "core", lambda value: f"{value:,.0f}"),
        (half, "memory (MB)", [one["resident_mb"] for one in batches], "hue1", lambda value: f"{value:,.0f}"),
    )
    for start, title, values, kind, said in panels:
        x = logarithmic(
            (min(rows), max(rows) if max(rows) > min(rows) else 2 * min(rows)), (start + gap, start + half - 24)
        )
        y = linear((0, max(values) * 1.12), (bottom, top))
        canvas.text(start + gap - 50, 16, title, "label strong")
        for tick in round_steps(max(values) * 1.12, 4):
            canvas.line(start + gap, y(tick), start + half - 24, y(tick), "grid")
            canvas.text(start + gap - 8, y(tick) + 4, said(tick), "axis", "end")
        for size in rows:
            canvas.text(x(size), bottom + 18, str(size), "axis", "middle")
        points = [(x(size), y(value)) for size, value in zip(rows, values, strict=True)]
        canvas.path([(points[0][0], bottom), *points, (points[-1][0], bottom)], f"{kind} area", closed=True)
        canvas.path(points, f"{kind} stroke")
        for (px, py), size, value in zip(points, rows, values, strict=True):
            canvas.dot(px, py, 4, f"{kind} point", f"{size} rows: {said(value)} {title}")
        if told["knee"] and not start:
            at = rows.index(told["knee"])
            px, py = points[at]
            canvas.line(px, py, px, bottom, "mark dashed")
            canvas.dot(px, py, 7, "ring")
            right = px < start + half * 0.6
            aside, anchor = (px + 10, "start") if right else (px - 10, "end")
            canvas.text(aside, bottom - 30, f"knee: {told['knee']} rows", "label strong", anchor)
            canvas.text(aside, bottom - 13, f"{said(values[at])} rows a second", "label", anchor)
        canvas.text(start + gap + (half - 24 - gap) / 2, bottom + 38, "rows a batch", "axis", "middle")
    return str(canvas)


def operators_chart(graphs: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> str:
    """The operators that take longest, in the colours of the graphs that they are in."""
    rows, chosen, left, row = operator_rows(graphs)[:OPERATORS], colours(stages), 270.0, 24.0
    canvas = Canvas(WIDTH, row * len(rows) + 32, "the operators that take longest")
    whole = max((one["ms"] for one in rows), default=1.0)
    x = linear((0, whole), (left, WIDTH - 270))
    for tick in round_steps(whole, 5):
        canvas.line(x(tick), 2, x(tick), row * len(rows) + 4, "grid")
        canvas.text(x(tick), row * len(rows) + 22, duration(tick) if tick else "0", "axis", "middle")
    for i, one in enumerate(rows):
        top = 4 + i * row
        speed = f", {one['flops_s'] / 1e9:.3g} GFLOP/s" if one["flops_s"] else ""
        said = f"{duration(one['ms'])}, {one['share']:.0%} of its graph{speed}"
        name = f"{one['operator']} × {one['nodes']}"
        canvas.text(left - 10, top + 14, f"{stage_name(one['stage'])}  ·  {name}", "label", "end")
        canvas.bar(x(0), top, max(1.5, x(one["ms"]) - x(0)), row - 8, chosen[one["stage"]], f"{name}: {said}")
        canvas.text(x(one["ms"]) + 8, top + 13, said, "axis")
    return str(canvas)


def roofline_chart(graphs: Sequence[Mapping[str, Any]], ceilings: Mapping[str, Any]) -> str:
    """What each graph attains, under what this machine can do at most for its arithmetic and its bytes."""
    shown = [one for one in graphs if one["p50_ms"] and one["flops"] and one["bytes"]]
    peak, memory = ceilings["gemm_flops_s"], ceilings["memory_bytes_s"]
    cache = max([one["bytes_s"] for one in ceilings["copies"]], default=memory)
    intensity = [one["flops"] / one["bytes"] for one in shown]
    speed = [one["flops"] / (one["p50_ms"] / 1e3) for one in shown]
    low_x = min([*intensity, peak / cache]) / 12
    high_x = max([*intensity, peak / memory]) * 4
    low_y, high_y = min([*speed, peak]) / 4, peak * 2.5
    left, right, top, bottom = 84.0, 24.0, 16.0, 326.0
    canvas = Canvas(WIDTH, 380, "arithmetic attained against arithmetic a byte")
    x, y = logarithmic((low_x, high_x), (left, WIDTH - right)), logarithmic((low_y, high_y), (bottom, top))
    for tick in decades(low_x, high_x):
        canvas.line(x(tick), top, x(tick), bottom, "grid")
        canvas.text(x(tick), bottom + 18, f"{tick:g}", "axis", "middle")
    for tick in decades(low_y, high_y):
        canvas.line(left, y(tick), WIDTH - right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, f"{amount(tick)}", "axis", "end")
    canvas.text(
        left + (WIDTH - right - left) / 2, bottom + 40, "arithmetic a byte that is moved (FLOP/B)", "axis", "middle"
    )
    canvas.text(8, top - 2, "FLOP/s", "axis")
    slope = math.degrees(math.atan2(y(high_y / 10) - y(high_y), x(high_x) - x(high_x / 10)))
    for bandwidth, kind, name in ((memory, "roof dashed", "copy of memory"), (cache, "roof", "copy in the cache")):
        start, corner = max(low_x, low_y / bandwidth), peak / bandwidth
        canvas.path([(x(start), y(start * bandwidth)), (x(corner), y(peak))], kind)
        said = f"{name}: {amount(bandwidth)}B/s"
        canvas.text(x(start) + 16, y(start * bandwidth) - 16, said, "axis", degrees=-slope)
    canvas.path([(x(peak / cache), y(peak)), (WIDTH - right, y(peak))], "roof")
    canvas.text(WIDTH - right, y(peak) - 8, f"matrix product: {amount(peak)}FLOP/s", "axis", "end")
    chosen = colours([one["stage"] for one in graphs])
    places = list(zip(intensity, speed, strict=True))
    for one, (at, attained) in zip(shown, places, strict=True):
        name, part = stage_name(one["stage"]), f"{one['attained']:.0%} of its limit"
        roof = one["flops"] / (one["floor_ms"] / 1e3)
        canvas.line(x(at), y(attained), x(at), y(roof), "drop")
        canvas.dot(x(at), y(attained), 7, f"{chosen[one['stage']]} point", f"{name}: {amount(attained)}FLOP/s, {part}")
        crowded = any(0 < x(other) - x(at) < NEAR and abs(y(its) - y(attained)) < 32 for other, its in places)
        side, anchor = (-12, "end") if crowded else (12, "start")
        canvas.text(x(at) + side, y(attained) + 1, name, "label strong", anchor)
        canvas.text(x(at) + side, y(attained) + 15, part, "axis", anchor)
    return str(canvas)


def starting_chart(cold: Mapping[str, Any]) -> str:
    """What a fresh process does until its first decision."""
    parts = cold["parts_s"]
    whole = sum(parts.values())
    canvas = Canvas(WIDTH, 74, "from starting a process to its first decision")
    x = linear((0, whole), (8, WIDTH - 8))
    at, free = 0.0, 0.0
    for i, (name, seconds) in enumerate(parts.items()):
        start, stop = x(at), x(at + seconds)
        canvas.bar(start, 8, max(1.5, stop - start - 2), 26, f"hue{i}", f"{name}: {duration(seconds * 1e3)}", 4)
        said = f"{name} {duration(seconds * 1e3)}"
        if start >= free and start + 6.6 * len(said) < WIDTH:
            canvas.text(start, 52, said, "label")
            free = start + 6.6 * len(said) + 10
        elif start + 6.6 * len(said) < WIDTH:
            canvas.text(start, 68, said, "label")
        else:
            canvas.text(WIDTH - 8, 68, said, "label", "end")
        at += seconds
    return str(canvas)


def compare_chart(contenders: Sequence[Mapping[str, Any]]) -> str:
    """The same decisions by each contender: from the median to the slowest in a hundred."""
    there = [one for one in contenders if one["ms"]]
    left, row = 150.0, 40.0
    canvas = Canvas(WIDTH, row * len(there) + 36, "the same policy, run by others")
    highest = max(one["ms"]["p99"] for one in there)
    x = linear((0, highest), (left, WIDTH - 210))
    for tick in round_steps(highest, 5):
        canvas.line(x(tick), 2, x(tick), row * len(there) + 4, "grid")
        canvas.text(x(tick), row * len(there) + 22, duration(tick) if tick else "0", "axis", "middle")
    for i, one in enumerate(there):
        top, ms = 6 + i * row, one["ms"]
        kind = "core" if one["name"] == "runtime" else "host"
        canvas.text(left - 10, top + 16, one["name"], "label strong" if kind == "core" else "label", "end")
        canvas.bar(x(0), top, x(ms["p99"]) - x(0), row - 16, f"{kind} faint", f"p99 {duration(ms['p99'])}", 3)
        canvas.bar(x(0), top, max(2.0, x(ms["p50"]) - x(0)), row - 16, kind, f"p50 {duration(ms['p50'])}", 3)
        times = one["times_ours"]
        said = f"p50 {duration(ms['p50'])}" + (f"  ·  {times['p50']:.2f}× as long" if times and kind == "host" else "")
        canvas.text(x(ms["p99"]) + 10, top + 16, said, "label")
    return str(canvas)
