"""Assemble the command line of its commands.

Everything heavy is imported inside the commands, so that `automl --help` answers at once.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from automl import __version__
from automl.cli.ensemble import ensemble
from automl.cli.find_lr import find_lr
from automl.cli.inspect import check, inspect
from automl.cli.kaggle import download, submit
from automl.cli.kit import kit
from automl.cli.predict import predict
from automl.cli.probe import probe
from automl.cli.refit import refit
from automl.cli.search import search
from automl.cli.spaces import spaces
from automl.cli.status import dashboard, report, status

app = typer.Typer(
    name="automl",
    help="Hyperparameter search for image-classification competitions, from the folder to the submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(download)
app.command()(inspect)
app.command()(probe)
app.command()(search)
app.command()(refit)
app.command()(ensemble)
app.command()(predict)
app.command()(kit)
app.command()(check)
app.command()(submit)
app.command("find-lr")(find_lr)
app.command()(status)
app.command()(spaces)
app.command()(dashboard)
app.command()(report)


def main() -> None:
    """Run the command line of this process."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"automl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
