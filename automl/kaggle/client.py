"""Wrap Kaggle's official client: sign in, submit, get a score, download a competition.

The one file that imports the package `kaggle`, an optional dependency, and only when somebody signs in. Not responsible
for: what its errors mean (automl.kaggle.refusals) or what is made of its answers (submitting, downloading).
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.errors import UnfitEnvironmentError
from automl.kaggle.credentials import list_environment_secrets
from automl.kaggle.refusals import TransientError, translate_errors

PENDING, COMPLETE, ERROR = "pending", "complete", "error"
PAGE_SIZE = 50  # submissions among which one is looked for
REQUEST_MODULE = "kagglesdk.competitions.types.competition_api_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission as Kaggle lists it; scores are None until they are published.

    Attributes:
        status: PENDING, COMPLETE or ERROR.
        error: why it could not be scored.
        submitted_at: when, in UTC.
    """

    ref: int
    status: str
    public_score: float | None = None
    private_score: float | None = None
    error: str | None = None
    message: str = ""
    submitted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionLimits:
    """How many submissions may still be made, and how many were made today."""

    n_left: int
    n_today: int
    limited_by_total: bool


class Kaggle:
    """A signed-in Kaggle client.

    Every method raises an AutomlError where Kaggle, the network or the client fails, and prints nothing.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def get_submission_limits(self, slug: str) -> SubmissionLimits | None:
        """Get how many submissions are left; None where Kaggle does not say."""
        with self._translate_errors(slug):
            limits = self._api.competition_get_submission_limits(slug)
        n_left, n_today, n_total = limits.num_allowed_now, limits.num_today, limits.num_total
        if not n_left and not n_total:  # all are zero for who has not joined
            return None
        return SubmissionLimits(n_left=n_left, n_today=n_today, limited_by_total=limits.limited_by_total)

    def submit_file(self, slug: str, path: Path, message: str) -> int | None:
        """Submit a file; return the submission's number, or None where Kaggle gives none."""
        with self._translate_errors(slug):
            answer = self._api.competition_submit(str(path), message, slug, quiet=True)
        # A failed upload shows in this text alone: the client prints the cause and raises nothing.
        if answer.message == self._api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
            raise TransientError(
                f"the upload of {path.name} failed: nothing was submitted",
                hint="check the network, then run the same command again",
            )
        return answer.ref or None

    def submit_notebook(self, slug: str, kernel: str, version: int, *, output: str, message: str) -> int | None:
        """Submit the output of a notebook's version; return the submission's number."""
        with self._translate_errors(slug):
            answer = self._api.competition_submit_code(output, message, slug, kernel, version, quiet=True)
        return answer.ref or None

    def get_submission(self, slug: str, ref: int) -> Submission:
        """Get the status of a submission, in one request.

        The client's own method is new in kaggle 2.2.5 and tries for minutes without a word; what it calls is older.
        """
        with self._translate_errors(slug), self._api.build_kaggle_client() as client:
            request = importlib.import_module(REQUEST_MODULE).ApiGetSubmissionRequest()
            request.ref = ref
            return _parse_submission(client.competitions.competition_api_client.get_submission(request))

    def list_submissions(self, slug: str) -> list[Submission]:
        """List the last submissions, the newest first."""
        with self._translate_errors(slug):
            answers = self._api.competition_submissions(slug, page_size=PAGE_SIZE) or []
            return [_parse_submission(answer) for answer in answers if answer is not None]

    def download(self, slug: str, folder: Path, *, check_room: Callable[[int], None]) -> Path:
        """Download a competition's archive into a folder, or the rest of it; return its path.

        Args:
            check_room: gets the bundle's size in bytes before any of it is fetched.
        """
        fetch, stdout, shows_progress = self._api.download_file, sys.stdout, sys.stderr.isatty()

        def checked(response: Any, outfile: str, *args: Any, **kwargs: Any) -> None:
            with contextlib.redirect_stdout(stdout):  # unlike the client, it may print
                check_room(int(response.headers.get("Content-Length") or 0))
            with _guard_transfer(Path(outfile)):
                fetch(response, outfile, *args, **kwargs)

        self._api.download_file = checked
        try:
            with self._translate_errors(slug, progress=shows_progress):
                self._api.competition_download_files(slug, path=str(folder), force=False, quiet=not shows_progress)
        finally:
            self._api.download_file = fetch
        return _find_bundle(folder, slug)

    def _translate_errors(self, slug: str, *, progress: bool = False) -> Any:
        config = self._api.config_values
        secrets = (*list_environment_secrets(), *(str(config[name]) for name in ("key", "token") if config.get(name)))
        return translate_errors(slug, secrets=secrets, progress=progress)


def sign_in(slug: str) -> Kaggle:
    """Sign in to Kaggle with the credentials that its client finds.

    Raises:
        UnfitEnvironmentError: the client is not installed, or there are no credentials that Kaggle accepts.
        TransientError: Kaggle cannot be reached.
    """
    with translate_errors(slug, secrets=list_environment_secrets()):
        api = _import_client()()
        api.authenticate()
        return Kaggle(api)


def _import_client() -> Any:
    try:
        return importlib.import_module("kaggle.api.kaggle_api_extended").KaggleApi
    except ModuleNotFoundError as error:
        if error.name in ("kaggle", "kaggle.api"):
            raise UnfitEnvironmentError(
                "Kaggle's client is not installed", hint="pip install 'automl[kaggle]'"
            ) from error
        raise UnfitEnvironmentError(
            f"Kaggle's client lacks the package {error.name}", hint=f"pip install {error.name}"
        ) from error


@contextlib.contextmanager
def _guard_transfer(archive: Path) -> Iterator[None]:
    """Turn failures of a download's bytes into TransientError: they come from a storage server, not from Kaggle.

    Raises:
        TransientError: they broke off; what has come is kept, unless it may be something else.
    """
    try:
        yield
    except OSError as error:  # as those of requests are
        if getattr(error, "response", None) is None:
            raise
        raise _make_transfer_error(archive) from error
    except ValueError as error:  # another size: kaggle 2.2.4 may have written an error's page over the bytes
        archive.unlink(missing_ok=True)
        raise _make_transfer_error(archive) from error


def _make_transfer_error(archive: Path) -> TransientError:
    return TransientError(f"the transfer of {archive.name} broke off", hint="run the same command again to go on")


def _parse_submission(answer: Any) -> Submission:
    return Submission(
        ref=int(answer.ref),
        status=str(answer.status.name).lower(),
        public_score=_parse_score(answer.public_score),
        private_score=_parse_score(answer.private_score),
        error=" ".join((answer.error_description or "").split()) or None,
        message=answer.description or "",
        submitted_at=answer.date.replace(tzinfo=UTC) if answer.date else None,
    )


def _parse_score(text: str | None) -> float | None:
    """Parse a score, which Kaggle sends as text; None where there is none."""
    try:
        score = float(text or "")
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _find_bundle(folder: Path, slug: str) -> Path:
    """Find the downloaded archive; the client takes its ending from the address of the download."""
    found = sorted(path for path in folder.glob(f"{slug}.*") if path.suffix != ".kaggle-partial")
    if not found:
        raise TransientError(f"Kaggle sent no bundle for {slug}", hint="run the same command again later")
    return found[0]
