"""What people see on the terminal of what a recipe would make."""

from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sensorimotor.pipelines.console import action_rows, inputs_table, out, pairs

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def check_table(report: dict[str, Any]) -> None:
    """Print what `check` found."""
    out.print(f"[bold]{escape(report['recipe'])}[/bold]\n")
    out.print(inputs_table(report["signature"]))
    out.print()
    out.print(_parts(report["parts"]))
    batch, bundle, parity = report["batch"], report["bundle"], report["parity"]
    horizon = report["signature"]["horizon"]
    latched = [part["part"] for part in report["parts"] if part["once"]]
    rows: dict[str, str | Text] = {**action_rows(report["signature"])}
    if horizon > 1:
        rows["plan"] = f"{horizon} actions, {horizon / report['signature']['rate_hz']:.3g} s"
    rows["parameters"] = f"{report['parameters']:,}, of which {report['learning']:,} learn"
    rows["a decision"] = f"{amount(report['flops'])}FLOP" + (
        f", if all but {', '.join(latched)} is new" if latched else ", if everything is new"
    )
    rows["bundle"] = f"{bundle['bytes'] / 1e6:.1f} MB, without its golden set"
    rows["one batch"] = f"{batch['decisions']} decisions in {batch['seconds']:.1f} s, loss {batch['loss']:.4g}"
    rows["export"] = (
        f"differs by {parity['max_error']:.1e} (allowed {parity['tolerance']:.0e}) in {parity['rows']} rows of noise"
    )
    rows["checked in"] = f"{report['seconds']:.0f} s; nothing was kept"
    out.print(pairs(rows))
    if report["stood_in"]:
        out.print("\n[bold yellow]not as it will be[/bold yellow]")
        for sentence in report["stood_in"]:
            out.print(Text(f"  {sentence}"), soft_wrap=True)


def _parts(parts: list[dict[str, Any]]) -> Table:
    table = Table(title="network", title_justify="left")
    for name in ("part", "what", "weights", "parameters", "learn", "tokens", "FLOP"):
        table.add_column(name, justify="left" if name in ("part", "what", "weights") else "right")
    for part in parts:
        tokens = f"{part['tokens']} x {part['dim']}" if part["tokens"] else "–"
        flops = amount(part["flops"]) + (" once" if part["once"] else "")
        sizes = f"{part['parameters']:,}", f"{part['learning']:,}"
        table.add_row(Text(part["part"]), Text(part["kind"]), part["training"], *sizes, tokens, flops)
    return table


def amount(number: float) -> str:
    """A number with three digits and the letter of its scale, to put a unit behind.

    >>> [amount(number) for number in (12_223_438_848, 8_960, 7)]
    ['12.2 G', '8.96 k', '7 ']
    """
    scale, letter = next(((scale, letter) for scale, letter in _SCALES if number >= scale), (1.0, ""))
    return f"{number / scale:.3g} {letter}"
