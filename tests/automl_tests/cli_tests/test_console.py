"""What a command prints: lines that command no terminal, errors with a hint, and the exit code of a signal."""

from __future__ import annotations

import signal

import pytest
import typer

from automl.cli.console import convert_runner_errors, ignore_line, open_display, print_line, report_errors
from automl.errors import DataError, UnfitEnvironmentError
from automl.search.progress import PlainDisplay, QuietDisplay
from runners.base import Interrupted, NoPlaceError


def test_a_line_commands_no_terminal_and_quiet_prints_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("leaf \x1b]0;title\x07é")
    ignore_line("leaf")
    assert capsys.readouterr().out == "leaf \\x1b]0;title\\x07é\n"


def test_an_error_ends_in_two_lines_on_stderr_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    @report_errors
    def command(name: str) -> str:
        """Read a file."""
        if name == "good":
            return "read"
        raise DataError(f"{name} is damaged", hint="download it again")

    assert command("good") == "read"
    assert (command.__name__, command.__doc__) == ("command", "Read a file.")
    with pytest.raises(typer.Exit) as ended:
        command("a\x1b[2J.csv")
    assert ended.value.exit_code == DataError.exit_code
    assert capsys.readouterr().err == "Error: a\\x1b[2J.csv is damaged\n  hint: download it again\n"


def test_ctrl_c_ends_a_command_with_130_and_a_bug_keeps_its_traceback() -> None:
    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        report_errors(fail)(KeyboardInterrupt())
    assert ended.value.exit_code == 130
    with pytest.raises(ZeroDivisionError):
        report_errors(fail)(ZeroDivisionError())


def test_what_a_runner_raises_becomes_an_exit_code_or_an_error_with_the_flags_to_check() -> None:
    lines: list[str] = []
    with pytest.raises(typer.Exit) as ended, convert_runner_errors(lines.append, interrupted="it goes on"):
        raise Interrupted(signal.SIGTERM)
    assert (ended.value.exit_code, lines) == (128 + signal.SIGTERM, ["it goes on"])
    with (
        pytest.raises(UnfitEnvironmentError, match="no node has 8 GPUs") as refused,
        convert_runner_errors(lines.append, interrupted="it goes on"),
    ):
        raise NoPlaceError("no node has 8 GPUs")
    assert "--gpus-per-trial" in refused.value.hint
    assert lines == ["it goes on"]


def test_progress_is_plain_lines_where_there_is_no_terminal_and_none_where_it_is_quiet() -> None:
    with open_display(quiet=False) as plain, open_display(quiet=True) as quiet:
        assert isinstance(plain, PlainDisplay)
        assert isinstance(quiet, QuietDisplay)
