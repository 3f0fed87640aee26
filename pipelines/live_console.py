"""What a person sees of a running policy: one line that changes, sentences that stay, and a table at the end."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from sensorimotor.perception.sensors import Found
from sensorimotor.pipelines.console import pairs
from sensorimotor.pipelines.live import Live
from sensorimotor.pipelines.retrace import Retraced
from sensorimotor.pipelines.stepped import Stepped

EVERY_S = 0.25
"""The line changes so often (s)."""


class _Screen:
    """Written to by any thread. Once nobody reads it any more, it is silent: that must not end what it shows.

    It does not print through `rich`, which takes a broken pipe for the end of the program and closes standard output,
    where actions may go.
    """

    def __init__(self, console: Console):
        self._console = console
        self._lock = threading.Lock()
        self._shown_s = 0.0
        self._line = ""
        self._gone = False

    def tell(self, sentence: str) -> None:
        with self._lock:
            self._write(self._cleared() + f"{time.strftime('%H:%M:%S')} {printable(sentence)}\n")

    def show(self, running: Live | Stepped) -> None:
        now_s = time.monotonic()
        if not self._console.is_terminal or now_s - self._shown_s < EVERY_S:
            return
        self._shown_s = now_s
        line = _cut(printable(status_line(running)), self._console.width - 1)
        with self._lock:
            self._write("\r" + line.ljust(len(self._line)))
            self._line = line

    def clear(self) -> None:
        with self._lock:
            self._write(self._cleared())

    def _cleared(self) -> str:
        before, self._line = self._line, ""
        return "\r" + " " * len(before) + "\r" if before else ""

    def _write(self, text: str) -> None:
        if self._gone:
            return
        try:
            self._console.file.write(text)
            self._console.file.flush()
        except (OSError, ValueError):  # ValueError: it was closed
            self._gone = True


@contextmanager
def status(*, quiet: bool) -> Iterator[_Screen]:
    """A screen on standard error, which standard output never mixes with.

    Args:
        quiet: Whether the line that changes is left out.
    """
    console = Console(file=sys.stderr, force_terminal=False if quiet else None)
    screen = _Screen(console)
    try:
        yield screen
    finally:
        screen.clear()


def printable(text: str) -> str:
    r"""A text in one line, in which nothing is an order to a terminal, whoever sent it.

    >>> print(printable("clear " + chr(27) + "[2J"))
    clear \x1b[2J
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def status_line(running: Live | Stepped) -> str:
    """How it is now, what matters most first: state, rate, age of inputs, holds, drops, duration of decisions."""
    tally = running.tally
    now = tally.to_json(missed=0, drops=running.drops())
    recent_hz, asked_hz = tally.recent_hz(), now["rate_hz"]["asked"]
    rate = "–" if recent_hz is None else f"{recent_hz:.1f}"
    parts = [str(running.health.report().state), f"{rate}/{asked_hz:g} Hz" if asked_hz else f"{rate} Hz"]
    connected = running.inputs()
    parts += [f"{name} {_age(age_s)}" for name, age_s in tally.ages_s().items() if name in connected]
    holds = [f"{guard} {count}" for guard, count in tally.holds().items()]
    if holds:
        parts.append("holds: " + ", ".join(holds))
    drops = [f"{name} {cause} {count}" for name, causes in now["drops"].items() for cause, count in causes.items()]
    if drops:
        parts.append("drops: " + ", ".join(drops))
    ms = now["decision_ms"]
    if ms["p50"] is not None:
        parts.append(f"p50 {ms['p50']:.2f} p99 {ms['p99']:.2f} ms")
    return " · ".join(parts)


def _age(age_s: float | None) -> str:
    return "–" if age_s is None else f"{age_s * 1e3:.0f} ms"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary_table(summary: dict[str, Any]) -> None:
    """What a run came to, on standard error."""
    rate, ms, health = summary["rate_hz"], summary["decision_ms"], summary["health"]
    asked = f" of {rate['asked']:g} asked for" if rate["asked"] else ""
    rows = {
        "decisions": f"{summary['decisions']:,} in {summary['duration_s']:.1f} s"
        + (f" of recordings, which took {summary['took_s']:.1f} s" if "took_s" in summary else ""),
        "rate": f"{rate['held']:.2f} Hz{asked}, {_counted(summary['deadlines_missed'], 'deadline')} missed",
        "decision": _percentiles(ms),
        "warm-up": "–"
        if summary["warm_up_ms"] is None
        else "first {first:.2f}, warm {warm:.2f}, after a pause {after_idle:.2f} ms".format(**summary["warm_up_ms"]),
    }
    for name, age in summary["age_ms"].items():
        if name not in summary["inputs"]:
            rows[name] = "not connected"
            continue
        absent = summary["absent"][name]
        rows[name] = f"{summary['inputs'][name]}; age {_percentiles(age)}"
        rows[name] += f"; missing from {_counted(absent, 'decision')}" if absent else ""
        for cause, count in summary["drops"].get(name, {}).items():
            rows[name] += f"; {count:,} {cause}"
    verdicts = [f"{guard} {kind} {n:,}" for guard, found in summary["verdicts"].items() for kind, n in found.items()]
    rows["guards"] = ", ".join(verdicts) or "let everything pass"
    if summary["actuator"]:
        rows["actuator"] = ", ".join(f"{count:,} {what}" for what, count in summary["actuator"].items() if count)
    if "episodes" in summary:
        rows["episodes"] = "{ended} ended, {successes} with success".format(**summary["episodes"])
    if recording := summary.get("recording"):
        rows["recording"] = "{}, {} in {path}".format(
            _counted(recording["episodes"], "episode"), _counted(recording["steps"], "step"), **recording
        )
        if recording["lost"]:
            rows["recording"] += f"; {recording['lost']:,} steps lost"
        if recording["ended"]:
            rows["recording"] += f"; {recording['ended']}"
    if log := summary.get("rerun"):
        rows["rerun"] = "{decisions:,} decisions in {path}".format(**log)
        if log["lost"]:
            rows["rerun"] += f"; {log['lost']:,} decisions and events lost"
        if log["ended"]:
            rows["rerun"] += f"; {log['ended']}"
    rows["errors"] = f"{summary['errors']}"
    rows["at the end"] = health["state"] + (f": {'; '.join(health['reasons'])}" if health["reasons"] else "")
    Console(stderr=True).print(pairs({name: printable(row) for name, row in rows.items()}))


def _percentiles(values: dict[str, Any]) -> str:
    if values["p50"] is None:
        return "–"
    return f"p50 {values['p50']:.2f}, p99 {values['p99']:.2f}, max {values['max']:.2f} ms"


def replay_table(done: Retraced) -> None:
    """How many decisions of a trace came out the same, on standard output."""
    rows = {
        "decisions": f"{done.decisions:,}",
        "the same again": f"{done.agree:,}",
        "others": f"{done.differ:,}",
    }
    if done.not_recorded:
        rows["not recorded"] = f"{done.not_recorded:,}"
    if done.largest_difference:
        rows["largest difference"] = f"{done.largest_difference:.3g}"
    if first := done.first_difference:
        rows["the first other"] = f"line {first['line']}, turn {first['turn']}"
        for when in ("trace", "now"):
            rows[f"  {when}"] = "selected {selected}, executed {executed}".format(**first[when])
    Console().print(pairs(rows))


def sensors_table(found: Sequence[Found]) -> None:
    """The cameras and microphones of this machine, and what to type for them."""
    if not found:
        Console().print("no camera and no microphone were found")
        return
    table = Table(box=None)
    for title in ("kind", "type this", "what it is"):
        table.add_column(title)
    for one in found:
        table.add_row(one.kind, one.what, one.about)
    Console().print(table)
