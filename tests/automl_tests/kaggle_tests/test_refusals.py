"""Whatever Kaggle or its client refuses with becomes one line and a hint, without secrets."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.errors import AutomlError, StorageError, UnfitEnvironmentError, UsageError
from automl.kaggle.refusals import MAX_REASON_LENGTH, NotFoundError, TransientError, UnclearError, translate_errors
from tests.automl_tests.kaggle_tests.commands import submit
from tests.automl_tests.kaggle_tests.platform import SIGNATURE, TOKEN, Platform


@pytest.mark.parametrize("method", ["StartSubmissionUpload", "CreateSubmission"])
@pytest.mark.parametrize(
    ("status", "message", "exit_code", "expected"),
    [
        (400, "Submission not allowed: your team has used its Submission allowance (5 of 5).", 7, "midnight UTC"),
        (400, "This competition only accepts Submissions from Notebooks.", 2, "automl kit"),
        (400, "Bad Request", 2, "joined the competition"),
        (401, "Unauthorized", 7, "does not accept the credentials of KAGGLE_API_TOKEN"),
        (403, "You cannot submit until you accept the competition rules", 7, "competitions/leaves/rules"),
        (404, "Not found", 2, "check the name at https://www.kaggle.com/competitions/leaves"),
        (429, "Too many requests", 7, "wait some minutes"),
        (500, "Internal error", 7, "trouble at this moment (500)"),
    ],
)
def test_a_refusal_is_one_line_and_a_hint(
    kaggle: Platform, here: Path, method: str, status: int, message: str, exit_code: int, expected: str
) -> None:
    kaggle.failures[method] = [(status, f"{message} {TOKEN} https://storage.example/x?{SIGNATURE}")]
    finished = submit(here)
    assert (finished.exit_code, expected in finished.stderr) == (exit_code, True), finished.stderr
    assert kaggle.submissions == []


def raised(error: BaseException, *secrets: str) -> AutomlError:
    """What becomes of an error of Kaggle's client."""
    with pytest.raises(AutomlError) as caught, translate_errors("leaves", secrets=secrets):
        raise error
    assert "\n" not in f"{caught.value.problem}{caught.value.hint}"
    return caught.value


def answered(status: int, body: Any) -> Exception:
    """An error with the response that it came of."""
    error = OSError("client's own words")
    error.response = SimpleNamespace(status_code=status, json=lambda: body)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "translated", "words"),
    [
        (SystemExit(1), UnfitEnvironmentError, "credentials"),
        (ConnectionResetError("reset"), TransientError, "Kaggle cannot be reached (ConnectionResetError)"),
        (TimeoutError(), TransientError, "Kaggle cannot be reached (TimeoutError)"),
        (OSError(errno.ENOSPC, "No space left"), StorageError, "No space left"),
        (KeyError("ref"), UnclearError, "Kaggle's client failed: KeyError: 'ref'"),
        (answered(404, {"message": "Not found"}), NotFoundError, "does not find it for leaves: Not found"),
        (answered(503, None), TransientError, "trouble at this moment (503): client's own words"),
        (answered(200, {"code": 403, "message": "Rules"}), UnfitEnvironmentError, "denies access to leaves: Rules"),
    ],
)
def test_whatever_the_client_raises_is_translated(
    error: BaseException, translated: type[AutomlError], words: str
) -> None:
    found = raised(error)
    assert type(found) is translated
    assert words in found.problem


def test_our_own_errors_pass_unchanged() -> None:
    own = UsageError("two\x20words", hint="none")
    with pytest.raises(UsageError) as caught, translate_errors("leaves"):
        raise own
    assert caught.value is own


def test_secrets_signatures_and_whole_pages_are_never_shown() -> None:
    found = raised(ValueError(f"at https://x.org/y?sig=1&more=2 with {TOKEN}\n" + "page " * 999), TOKEN)
    assert TOKEN not in found.problem and "sig=1" not in found.problem
    assert "https://x.org/y with ***" in found.problem
    assert len(found.problem) < MAX_REASON_LENGTH + 100


def test_the_client_is_silenced_but_for_its_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (False, True):
        with translate_errors("leaves", progress=progress):
            print("chatter")
            print("bar", file=sys.stderr)
        assert capsys.readouterr() == ("", "bar\n" if progress else "")
