"""The command `sensorimotor`: one verb for each thing that people do with a policy.

Every verb has `--json`: one JSON object on standard output and nothing else. Progress goes to standard error. Exit
status: 0 done, 1 the job failed, 2 wrong use, 130 interrupted. Heavy imports happen inside the verbs.
"""

import sys
from typing import Annotated

import typer

from sensorimotor.errors import SensorimotorError
from sensorimotor.pipelines.cli_acting import acting
from sensorimotor.pipelines.cli_data import data
from sensorimotor.pipelines.cli_learning import learning
from sensorimotor.pipelines.cli_offline import offline

app = typer.Typer(
    help="Train a policy that sees, hears and reads; export it once; run it inside a latency budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for verbs in (acting, learning, offline):
    app.add_typer(verbs)
app.add_typer(data, name="data")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"sensorimotor {version('sensorimotor')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors of this library become one sentence and an exit status."""
    try:
        app()
    except SensorimotorError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.exit(1)
