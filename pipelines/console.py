"""What people see on the terminal: progress on standard error, results as tables on standard output."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sensorimotor.models.card import agreement
from sensorimotor.pipelines.demo import Begun, Decided, Ended, Event

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_event(event: Event) -> None:
    """One event of the demonstration, as it happens."""
    match event:
        case Begun(level, mission):
            err.print(f'\n[bold]{level}[/bold]  hears [italic cyan]"{escape(mission)}"[/italic cyan]')
        case Decided(decision):
            bar = "█" * round(20 * (decision.confidence or 0))
            err.print(
                f"  {decision.step + 1:>3}  {escape(f'{decision.label:<8}')} [green]{bar:<20}[/green] "
                f"{decision.confidence or 0:>6.1%}  [dim]{decision.timings_ms['total']:.2f} ms[/dim]"
            )
        case Ended(success, steps):
            err.print(
                f"  [bold green]solved[/bold green] in {steps} steps" if success else "  [bold red]missed[/bold red]"
            )


def demo_table(summary: dict[str, Any]) -> None:
    """The demonstration's result and the paths of what it wrote."""
    table = Table(title="sensorimotor demo: seen, heard, acted", title_justify="left")
    for name in ("level", "solved / played", "steps", "decision p50", "p95", "p99 (ms)"):
        table.add_column(name, justify="left" if name == "level" else "right")
    for row in summary["levels"]:
        ms = row["decision_ms"]
        table.add_row(
            row["level"].removeprefix("BabyAI-").removesuffix("-v0"),
            f"{row['solved']} / {row['played']}",
            f"{row['mean_steps']:.1f}",
            *(f"{ms[q]:.2f}" for q in ("p50", "p95", "p99")),
        )
    out.print()
    out.print(table)
    for name, path in summary["files"].items():
        out.print(f"{name:>10}  {path}", soft_wrap=True, markup=False)
    out.print(f"{'memory':>10}  {summary['max_rss_mb']} MB at most")


def recorded(done: Any) -> None:
    """What a recording has come to."""
    rows = {
        "recording": str(done.path),
        "added": f"{done.kept} episodes, {done.steps} steps"
        + (f"; {done.failed} failed, not kept" if done.failed else ""),
        "in all": f"{done.episodes} episodes",
    }
    if done.recovered:
        rows["recovered"] = done.recovered
    out.print(pairs(rows))


def converted(report: dict[str, Any]) -> None:
    """What data were turned into."""
    rows = {
        "recording": report["path"],
        "added": f"{report['converted']} episodes",
        "in all": f"{report['episodes']} episodes",
    }
    if report["already"]:
        rows["there already"] = f"{report['already']} episodes"
    if report["left_out"]:
        rows["left out"] = "; ".join(report["left_out"])
    out.print(pairs(rows))


def trained(run: Any) -> None:
    """Where a training run stands."""
    rows = {
        "checkpoint": str(run.checkpoint),
        "steps": f"{run.step} of {run.steps}" + ("" if run.finished else "  (continue with --resume)"),
        "time": f"{run.seconds / 60:.1f} minutes",
    }
    for senses, judged in run.held_out.items():
        rows[senses] = _judged(judged)
    if baseline := run.record.get("baseline"):
        rows["baseline"] = f"{_judged(baseline)}, without looking"
    if run.calibration:
        errors = ", ".join(f"{error:.3f} ({senses})" for senses, error in run.calibration["error"].items())
        rows["calibration error"] = errors
    out.print(pairs(rows))


def _judged(judged: dict[str, Any]) -> str:
    """How near to what was shown, on held-out episodes."""
    return (
        f"off by {agreement(judged)}" if "error" in judged else f"agrees in {agreement(judged)} of held-out decisions"
    )


def evaluation_table(report: dict[str, Any]) -> None:
    """The result of an evaluation."""
    low, high = report["ci95"]
    rows = {
        "policy": report["policy"],
        "environment": report["env"],
        "inputs": ", ".join(report["inputs"]),
        "speaker": report["speaker"] or "–",
        "episodes": f"{report['episodes']} from seed {report['seed']}",
        "success": f"{report['success_rate']:.1%}  (95 % interval {low:.1%} – {high:.1%})",
        "SPL": _number(report["spl"], ".3f"),
        "first object correct": _number(report["first_object_correct"], ".1%"),
        "mean steps": f"{report['mean_steps']:.1f}",
        "decision": "  ".join(f"{name} {value:.2f}" for name, value in report["decision_ms"].items()) + " ms",
    }
    out.print(pairs(rows))


def parity_table(report: dict[str, Any], path: str) -> None:
    """The result of an export."""
    rows = {
        "bundle": path,
        "subsets of inputs": f"{report['subsets']} at batch {', '.join(map(str, report['batches']))}",
        "largest difference": f"{report['max_error']:.1e}  (allowed {report['tolerance']:.0e})",
        "along a stream": f"{report['stream_max_error']:.1e}  ({report['stream_steps']} steps, one memory)",
        "in closed loop": f"{report['closed_loop_max_error']:.1e}  ({report['closed_loop_steps']} steps, same actions)",
    }
    out.print(pairs(rows))


def inspection(report: dict[str, Any]) -> None:
    """What is in a bundle."""
    provenance, parity, golden = report["provenance"], report["parity"], report["golden"]
    out.print(f"[bold]{escape(report['name'])}[/bold]  {escape(report['description'])}\n")
    out.print(inputs_table(report["signature"]))
    rows: dict[str, str | Text] = {**action_rows(report["signature"])}
    rows["size"] = (
        f"{report['size_bytes'] / 1e6:.2f} MB, {report['parameters']:,} parameters, memory of {report['memory_size']}"
    )
    rows["files"] = ", ".join(f"{name} {size / 1e3:.0f} kB" for name, size in report["files"].items())
    if prompt := provenance["recipe"].get("prompt"):
        rows["never trained"] = f"{prompt['image']} compares the picture with words"
        rows |= {f"  {name}": " / ".join(texts) for name, texts in prompt["actions"].items()}
    else:
        rows["trained"] = (
            f"recipe {provenance['recipe']['name']}, {provenance['steps']} steps, {provenance['hours']:.2f} h on "
            f"{provenance['machine']['processor']}"
        )
    for senses, judged in report["metrics"]["held_out"].items():
        rows[senses] = _judged(judged)
    if baseline := report["metrics"].get("baseline"):
        rows["baseline"] = f"{_judged(baseline)}, without looking"
    rows["parity"] = f"largest difference {parity['max_error']:.1e}, allowed {parity['tolerance']:.0e}"
    rows["fingerprint"] = report["fingerprint"]
    rows["made"] = f"{report['created']} by sensorimotor {report['sensorimotor']}, bundle format {report['format']}"
    if golden:
        verdict = ("as promised", "green") if golden["ok"] else ("not as promised", "red")
        rows["golden set, here"] = Text.assemble(
            verdict,
            f": {golden['same_actions']} of {golden['steps']} actions the same, "
            f"largest difference {golden['max_error']:.1e}",
        )
    out.print(pairs(rows))


def inputs_table(signature: dict[str, Any]) -> Table:
    """What comes in, of the JSON form of a signature."""
    table = Table("input", "kind", "shape", "critical", "max age", title="signature", title_justify="left")
    for name, modality in signature["inputs"].items():
        shape = {key: value for key, value in modality.items() if key not in ("kind", "critical", "max_age_s")}
        described = " ".join(f"{key}={value}" for key, value in shape.items() if value not in ([], None))
        critical = "yes" if modality["critical"] else "no"
        ages = modality["kind"] != "text" and modality.get("mode") != "utterance"  # what is latched does not age
        age = f"{modality['max_age_s']:g} s" if ages else "–"
        table.add_row(name, modality["kind"], Text(described), critical, age)
    return table


def action_rows(signature: dict[str, Any]) -> dict[str, str]:
    """What goes out, and how often."""
    space, safe = signature["action_space"], signature["safe_action"]
    return {
        "actions": f"{space['kind']}: {_actions(space)}",
        "safe action": f"{safe['kind']} {_safe_label(safe, space)}",
        "rate": f"{signature['rate_hz']:g} decisions a second",
    }


def _actions(space: dict[str, Any]) -> str:
    """Choices or switches by name, dimensions with their limits."""
    if space["kind"] != "box" or not isinstance(space["low"][0], float | int | None):
        return ", ".join(space.get("labels", [])) or str(space.get("n", space))
    labels, units = space.get("labels") or range(len(space["low"])), space.get("units") or [""] * len(space["low"])
    limits = [["–" if one is None else f"{one:.3g}" for one in space[side]] for side in ("low", "high")]
    described = (f"{name} {low} to {high} {unit}" for name, unit, low, high in zip(labels, units, *limits, strict=True))
    return ", ".join(one.rstrip() for one in described)


def _safe_label(safe: dict[str, Any], space: dict[str, Any]) -> str:
    if safe["kind"] == "constant":
        action, labels = safe["action"], space.get("labels")
        return str(labels[action] if labels and isinstance(action, int) else action)
    return str(safe.get("input", ""))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def pairs(rows: Mapping[str, str | Text]) -> Table:
    """Names and values side by side; what comes from files and people is shown as it is, never read as markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
    return table


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over `total` items; call what it gives with the number done since the last call."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def deciding(total: int, done: int) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over `total` episodes, with rows a second; call what it gives with more episodes and rows."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    began, rows = time.monotonic(), 0
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("deciding", total=total, completed=done, rate="")

        def report(episodes: int, more: int) -> None:
            nonlocal rows
            rows += more
            rate = rows / max(time.monotonic() - began, 1e-3)
            progress.update(task, advance=episodes, rate=f"{rows} rows, {rate:.0f} a second")

        yield report


def decided(report: dict[str, Any]) -> None:
    """What deciding in an input has come to."""
    told = report["run"]
    rows = {
        "results": report["out"],
        "rows": f"{report['rows']}, of {report['episodes']} episodes; files: {report['shards']}",
        "this time": f"{told['rows']} rows in {told['wall_s']:.1f} s, {told['rows_per_s']:.0f} a second"
        if told["rows"]
        else "none: there was nothing left to do",
        "stages (s)": ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report["seconds"].items()),
    }
    if report["held"]:
        rows["held"] = f"{report['held']} rows: a critical input was not there or too old"
    if report["absent"]:
        rows["absent"] = ", ".join(f"{name} in {count} rows" for name, count in report["absent"].items())
    if report["losses"]:
        rows["left out"] = ", ".join(f"{cause} ({count})" for cause, count in report["losses"].items())
    if report["quarantined"]:
        rows["quarantined"] = f"{report['quarantined']} of the episodes: see quarantine.parquet"
    out.print(pairs(rows))
    for line in report["notes"]:
        note(line)


def note(sentence: str) -> None:
    """Something that a person should know, on standard error."""
    err.print(sentence, soft_wrap=True, markup=False)


@contextmanager
def training() -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """A progress bar with loss, accuracy and speed; call what it gives with what `train` reports."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("gathering", total=None, numbers="")

        def report(kind: str, numbers: dict[str, Any]) -> None:
            match kind:
                case "data":
                    progress.update(task, description=numbers["what"], total=numbers["total"], completed=0)
                case "made":
                    progress.advance(task, numbers["count"])
                case "step":
                    progress.update(
                        task,
                        description="imitating" if "imitation" in numbers else "listening",
                        total=numbers["steps"],
                        completed=numbers["step"],
                        numbers="  ".join(
                            f"{name} {numbers[name]:.3f}"
                            for name in ("imitation", "pointing", "alignment", "accuracy")
                            if name in numbers
                        ),
                    )
                case "held out":
                    judged = [
                        f"{senses}: {_judged(one)} (loss {one['loss']:.3f})"
                        for senses, one in numbers["held_out"].items()
                    ]
                    if "understood" in numbers:
                        judged.append(f"{numbers['understood']:.1%} of utterances understood")
                    progress.console.print(f"step {numbers['step']}, held out: {'; '.join(judged)}", soft_wrap=True)
                case "checkpoint":
                    progress.console.print(f"[dim]step {numbers['step']}: checkpoint written[/dim]")

        yield report
