"""Where a command prints: a terminal, a file, or nowhere.

Not responsible for: what a search shows (automl.search.progress).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from automl.errors import AutomlError, UnfitEnvironmentError, printable

if TYPE_CHECKING:
    from automl.search.progress import Screen


def open_console() -> Any:
    """Standard output, with lines as long as they are where it is no terminal."""
    from rich.console import Console

    return Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=160)


@contextmanager
def open_screen(*, quiet: bool) -> Iterator[Screen]:
    """What a search is shown on."""
    from automl.search.progress import LiveScreen, PlainScreen, QuietScreen

    console = open_console()
    if quiet:
        yield QuietScreen()
        return
    if not console.is_terminal:
        yield PlainScreen(console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield LiveScreen(live)


def say_line(text: str) -> None:
    """Print a line, which may hold names of the folder's files: they command no terminal."""
    typer.echo(printable(text))


def say_nothing(text: str) -> None:
    """What `--quiet` does with a line."""


P = ParamSpec("P")
R = TypeVar("R")


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """The command, ending in one line with a hint and the exit code of its kind where an AutomlError escapes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AutomlError as error:
            typer.echo(printable(f"Error: {error.problem}\n  hint: {error.hint}"), err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error

    return wrapped


@contextmanager
def runner_outcomes(say: Callable[[str], None], *, interrupted: str) -> Iterator[None]:
    """While a runner runs: what it raises becomes an AutomlError, or the exit code of a signal.

    Args:
        interrupted: what to say after a signal.
    """
    from runners.base import Interrupted, NoPlaceError

    try:
        yield
    except NoPlaceError as error:
        hint = "check --ray-address, --gpus-per-trial and --cpus-per-trial"
        raise UnfitEnvironmentError(str(error), hint=hint) from error
    except Interrupted as signal:
        say(interrupted)
        raise typer.Exit(128 + signal.signal_number) from signal
