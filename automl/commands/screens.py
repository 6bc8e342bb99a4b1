"""Where a command prints: a terminal, a file, or nowhere.

Not responsible for: what a search shows (automl.display).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from automl.errors import printable

if TYPE_CHECKING:
    from automl.display import Screen


def open_console() -> Any:
    """Standard output, with lines as long as they are where it is no terminal."""
    from rich.console import Console

    return Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=160)


@contextmanager
def open_screen(*, quiet: bool) -> Iterator[Screen]:
    """What a search is shown on."""
    from automl.display import LiveScreen, PlainScreen, QuietScreen

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
