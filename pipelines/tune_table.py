"""What a person sees of a tuning: every candidate, what was chosen, and what that gains."""

from typing import Any

from rich.table import Table
from rich.text import Text

from sensorimotor.pipelines.console import out, pairs
from sensorimotor.pipelines.paired import FEWEST, Gain


def tune_table(report: dict[str, Any]) -> None:
    """The result of `tune`, on standard output."""
    rows = "one decision" if report["objective"] == "latency" else f"a batch of {report['batch']}"
    table = Table(title=f"{rows} (ms)", title_justify="left")
    for name in ("settings", "p50", "p99", "CPU", "gain", "over"):
        words = name in ("settings", "over")  # these give way where the terminal is narrow, figures do not
        table.add_column(name, justify="left" if words else "right", no_wrap=not words)
    for one in report["candidates"]:
        ms = one["ms"]
        table.add_row(
            Text(one["name"], style="bold" if one["name"] == report["chosen"]["name"] else ""),
            *("–" if ms is None else f"{ms[key]:.2f}" for key in ("p50", "p99", "cpu")),
            "–" if one["gain"] is None else _gain(one["gain"]),
            one["over"] or "–",
        )
    out.print(table)
    gains = report["gain"]
    lines = {
        "chosen": report["chosen"]["name"],
        "over ONNX Runtime": f"{_gain(gains['over_onnxruntime'])} as fast as with its defaults (95 % interval)",
        "over one thread": f"{_gain(gains['over_default'])}" if _other(report) else "nothing was faster beyond noise",
        "decisions": _difference(report),
    }
    for one in report["candidates"]:
        if one["success"] and one["name"] == report["chosen"]["name"]:
            won = one["success"]
            lines[report["env"]] = (
                f"{won['after']} of {won['episodes']} succeed, {won['before']} with one thread in fp32: "
                f"{won['lost']} lost, {won['won']} won"
            )
        if one["rejected"]:
            lines[f"not {one['name']}"] = one["rejected"]
    for number, note in enumerate(report["notes"]):
        lines["note" if number == 0 else " " * number] = note
    lines["profile"] = report["profile"]
    lines["picked up by"] = "run, profile" if report["objective"] == "latency" else "batch"
    out.print(pairs(lines))


def _gain(stated: dict[str, Any]) -> str:
    one = Gain(**stated)
    return str(one) if one.pairs >= FEWEST else f"{one.ratio:.2f}×"


def _other(report: dict[str, Any]) -> bool:
    """Whether something else than the default settings was chosen."""
    return bool(report["chosen"]["name"] != report["candidates"][0]["name"])


def _difference(report: dict[str, Any]) -> str:
    chosen = next(one for one in report["candidates"] if one["name"] == report["chosen"]["name"])
    told = f"{chosen['same']} of {chosen['steps']} as in fp32 on one thread"
    if chosen["max_difference"]:
        told += f"; outputs differ by up to {chosen['max_difference']:.1e}"
    if chosen["max_action_difference"] is not None:
        told += f", actions by up to {chosen['max_action_difference']:.2%} of their range"
    return told
