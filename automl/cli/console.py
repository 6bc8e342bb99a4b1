"""Print a command's lines, progress and errors, to a terminal, a file, or nowhere."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from automl.errors import AutomlError, Notify, UnfitEnvironmentError, escape_control_characters

if TYPE_CHECKING:
    from automl.search.progress import Display

DOCUMENT_SCHEMA = 1

P = ParamSpec("P")
R = TypeVar("R")


def open_console() -> Any:
    """Return standard output, with lines as long as they are where it is no terminal."""
    from rich.console import Console

    return Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=160)


@contextmanager
def open_display(*, quiet: bool) -> Iterator[Display]:
    """Open the display of a search's or a refit's progress."""
    from automl.search.progress import LiveDisplay, PlainDisplay, QuietDisplay

    console = open_console()
    if quiet:
        yield QuietDisplay()
        return
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield LiveDisplay(live)


def print_line(text: str) -> None:
    """Print a line, which may hold names of the folder's files: they command no terminal."""
    typer.echo(escape_control_characters(text))


def ignore_line(text: str) -> None:
    """Print nothing, as `--quiet` wants it."""


def print_document(content: Mapping[str, Any]) -> None:
    """Print one JSON document, and nothing else, for a program to read: ASCII, its version under "schema"."""
    typer.echo(json.dumps({"schema": DOCUMENT_SCHEMA, **content}, indent=1))


def _describe_error(error: AutomlError) -> dict[str, Any]:
    return {"kind": error.category, "problem": error.problem, "hint": error.hint, "seen": list(error.seen)}


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Have the command end in one line with a hint and the error's exit code where an AutomlError escapes.

    A command with a parameter `as_json` prints the error as a JSON document where it is set.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AutomlError as error:
            if kwargs.get("as_json"):
                print_document({"error": _describe_error(error)})
            else:
                lines = [
                    f"Error: {error.problem}",
                    *(f"  seen: {line}" for line in error.seen),
                    f"  hint: {error.hint}",
                ]
                typer.echo(escape_control_characters("\n".join(lines)), err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error

    return wrapped


@contextmanager
def convert_runner_errors(notify: Notify, *, interrupted: str) -> Iterator[None]:
    """Convert what a runner raises to an AutomlError, or to the exit code of a signal.

    Args:
        interrupted: the line to print after a signal.
    """
    from runners.base import Interrupted, NoPlaceError

    try:
        yield
    except NoPlaceError as error:
        hint = "check --ray-address, --gpus-per-trial and --cpus-per-trial"
        raise UnfitEnvironmentError(str(error), hint=hint) from error
    except Interrupted as signal:
        notify(interrupted)
        raise typer.Exit(128 + signal.signal_number) from signal
