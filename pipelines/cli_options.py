"""What several verbs of the command line have in common: options, what they are given, and what they print."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sensorimotor.errors import OutputPathError, UsageError

PolicyArgument = Annotated[str, typer.Argument(help="A bundle directory, or the name of a bundled policy.")]
BindOption = Annotated[
    list[str] | None, typer.Option(help="INPUT=NAME: the column or feature that feeds an input; may be repeated.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="INPUT=TEXT: what a text input is told; may be repeated.")
]
DeviceOption = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="cuda: an NVIDIA GPU.")]
PrecisionOption = Annotated[
    Literal["fp32", "fp16"],
    typer.Option("--precision", help="fp16: pretrained encoders in half precision, where the bundle has them."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
INTERRUPTED = 130
CACHE = Path("~/.cache/sensorimotor")


def pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as JSON where it is, else as it stands."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--option {text!r}: expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
    except RecursionError as error:
        raise UsageError(
            f"--option {key}: expected a value, got lists in lists {len(value)} characters long"
        ) from error


def named(option: str, given: list[str] | None) -> dict[str, str]:
    """NAME=TEXT, each name once."""
    pairs = [one.partition("=") for one in given or ()]
    named = {name: text for name, equals, text in pairs if name and equals}
    if len(named) < len(pairs):
        raise UsageError(f"{option}: expected NAME=TEXT, each name once, got {', '.join(map(repr, given or ()))}")
    return named


def print_json(content: Any) -> None:
    """One JSON object, or list, on standard output.

    Raises:
        OutputPathError: It takes no more, as where the disk is full.
    """
    try:
        print(json.dumps(content), flush=True)
    except BrokenPipeError:  # who has read enough is no trouble
        raise
    except OSError as error:
        with suppress(OSError):  # it would be tried again at the end
            sys.stdout.close()
        raise OutputPathError(f"cannot write to standard output: {error.strerror}") from error
