"""What people see on the terminal of a data set: what is in it, and what is wrong with it."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from sensorimotor.pipelines.console import out

BAR = 24
"""Characters of the longest bar."""


def data_table(report: dict[str, Any]) -> None:
    """Print what `inspect_data` found."""
    steps = report["steps_per_episode"]
    size = f"[bold]{report['episodes']:,}[/bold] episodes, [bold]{report['steps']:,}[/bold] steps"
    if report["rate_hz"]:
        size += f" at {report['rate_hz']:g} Hz, {_duration(report['seconds'])}"
        size += f"; {steps['min']:,} to {steps['max']:,} steps an episode, {steps['mean']:,.1f} on average"
    out.print(size + "\n")
    out.print(_features(report["features"]))
    vectors = {name: form for name, form in report["features"].items() if form["kind"] == "vector"}
    if vectors:
        out.print()
        out.print(_statistics(vectors))
    for name, form in report["features"].items():
        if "values" in form and form["samples"]:
            out.print()
            out.print(_values(name, form))
    out.print()
    out.print(_pairs(_findings(report)))


def _features(features: Mapping[str, Any]) -> Table:
    table = Table(title="features", title_justify="left")
    for name in ("feature", "kind", "shape", "rate", "samples", "missing"):
        table.add_column(name, justify="right" if name in ("rate", "samples", "missing") else "left")
    for name, form in features.items():
        shape, rate = form["shape"], form["rate_hz"]
        match form["kind"]:
            case "image":
                described = f"{shape[0]} x {shape[1]} x {shape[2]}"
            case "audio":
                described = f"{shape[0]} channel{'s' * (shape[0] > 1)}, {'a stream' if form['stream'] else 'clips'}"
            case "vector":
                described = str(shape[0])
            case _:
                described = f"{form['values']['distinct']:,} distinct"
        missing = Text(f"{form['missing']:,}", "bold yellow" if form["missing"] else "")
        rate = f"{rate:g} Hz" if rate else "–"
        table.add_row(Text(name), form["kind"], described, rate, f"{form['samples']:,}", missing)
    return table


def _statistics(vectors: Mapping[str, Any]) -> Table:
    table = Table(title="numbers", title_justify="left")
    for name in ("vector", "value", "unit", "min", "mean", "max", "std"):
        table.add_column(name, justify="right" if name in ("min", "mean", "max", "std") else "left")
    for vector, form in vectors.items():
        for at, row in enumerate(form["statistics"]):
            constant = row["min"] is not None and row["min"] == row["max"]
            numbers = ["–" if row[name] is None else f"{row[name]:.4g}" for name in ("min", "mean", "max", "std")]
            first = vector if at == 0 else ""
            table.add_row(
                Text(first), Text(row["name"]), Text(row["unit"]), *numbers, style="yellow" if constant else ""
            )
    if any(
        row["min"] is not None and row["min"] == row["max"] for form in vectors.values() for row in form["statistics"]
    ):
        table.caption = "yellow: always the same"
    return table


def _values(name: str, form: Mapping[str, Any]) -> Table:
    values = form["values"]
    distinct = f"{'at least ' if values['at_least'] else ''}{values['distinct']:,} distinct"
    table = Table.grid(padding=(0, 2))
    table.title, table.title_justify = Text(f"{name}: {distinct}"), "left"
    table.title_style = "italic"
    table.add_column(max_width=60, overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(style="cyan")
    most = max((row["count"] for row in values["top"]), default=1)
    rows = [(Text(str(row["value"])), row["count"]) for row in values["top"]]
    if values["others"]:
        rows.append((Text("(others)", "dim"), values["others"]))
    for label, count in rows:
        bar = "█" * round(BAR * min(1.0, count / most))
        table.add_row(label, f"{count:,}", f"{count / form['samples']:.1%}", bar)
    return table


def _findings(report: Mapping[str, Any]) -> dict[str, Text]:
    rows: dict[str, Text] = {}
    for name, form in report["features"].items():
        if form.get("pictures"):
            rows[name] = _pictures(form["pictures"])
        if form.get("sound"):
            rows[name] = _sound(form["sound"])
    gaps, same, problems = report["gaps"], report["identical_episodes"], report["problems"]
    if report["rate_hz"]:
        rows["gaps"] = _count(gaps["count"], "steps that took more than 1.5 periods", "none")
        for gap in gaps["longest"]:
            rows["gaps"].append(f"\n{gap['gap_s']:.3g} s after {gap['after_s']:.2f} s of {gap['episode']}")
    rows["identical episodes"] = _count(same["count"], "that repeat others", "none")
    if same["media_looked_at"] < same["alike_but_for_media"]:
        rows["identical episodes"].append(
            f" (of {same['alike_but_for_media']:,} with equal numbers and texts, the pictures and sounds of "
            f"{same['media_looked_at']:,} were compared)"
        )
    for group in same["examples"]:
        rows["identical episodes"].append("\n" + " = ".join(group))
    rows["cannot be read"] = _count(problems["count"], "of the samples looked at", "nothing that was looked at")
    for problem in problems["first"]:
        rows["cannot be read"].append(f"\n{problem}", "red")
    rows["fingerprint"] = Text(report["fingerprint"])
    return rows


def _pictures(found: Mapping[str, Any]) -> Text:
    if not found["looked_at"]:
        return Text("no picture could be looked at", "bold yellow")
    light = found["brightness"]
    words = Text(f"{found['looked_at']} looked at, ")
    words.append_text(_count(found["identical"], "identical to another"))
    if found["neighbours"]:
        words.append(", ")
        words.append_text(_count(found["equal_neighbours"], f"of {found['neighbours']} equal to the next one"))
    return words.append(f"; brightness {light['min']:.0%} to {light['max']:.0%}")


def _sound(found: Mapping[str, Any]) -> Text:
    if not found["looked_at"]:
        return Text("no sound could be looked at", "bold yellow")
    words = Text(f"{found['looked_at']} pieces looked at ({_duration(found['looked_at_s'])}), ")
    words.append_text(_count(found["identical"], "identical to another"))
    words.append(f"; peak {_level(found['peak_dbfs'])}, rms {_level(found['rms_dbfs'])}, ")
    words.append(f"{found['clipped']:.2%} clipped", "bold yellow" if found["clipped"] > 0.001 else "")
    words.append(f", {found['silent']:.0%} silent")
    return words


def _count(count: int, what: str, none: str = "") -> Text:
    return Text(f"{count:,} {what}", "bold yellow") if count else Text(none or f"none {what}")


def _level(level_dbfs: float | None) -> str:
    return "silent" if level_dbfs is None else f"{level_dbfs:.1f} dBFS"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _pairs(rows: Mapping[str, Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), value)
    return table
