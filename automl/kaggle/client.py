"""Kaggle's official client, as two commands use it: sign in, hand in, ask for a score, fetch a bundle.

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
from automl.kaggle.credentials import secrets_of_environment
from automl.kaggle.refusals import TransientError, told_plainly

PENDING, COMPLETE, ERROR = "pending", "complete", "error"
N_RECENT = 50  # submissions among which one is looked for
REQUESTS = "kagglesdk.competitions.types.competition_api_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission as Kaggle has it; scores are None until they are published.

    Attributes:
        status: PENDING, COMPLETE or ERROR.
        error: why it could not be scored.
        made: when, in UTC.
    """

    ref: int
    status: str
    public_score: float | None = None
    private_score: float | None = None
    error: str | None = None
    message: str = ""
    made: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many submissions may still be made now, and how many were made today."""

    n_left: int
    n_today: int
    in_total: bool


class Kaggle:
    """Somebody's access to Kaggle.

    Every method raises an AutomlError where Kaggle, the network or the client fails, and prints nothing.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def allowance(self, slug: str) -> Allowance | None:
        """What is left for today; None where Kaggle does not tell."""
        with self._plainly(slug):
            limits = self._api.competition_get_submission_limits(slug)
        n_left, n_today, n_total = limits.num_allowed_now, limits.num_today, limits.num_total
        if not n_left and not n_total:  # all are zero for who has not joined
            return None
        return Allowance(n_left=n_left, n_today=n_today, in_total=limits.limited_by_total)

    def submit_file(self, slug: str, path: Path, message: str) -> int | None:
        """Hand in a file; the submission's number, or None where Kaggle tells none."""
        with self._plainly(slug):
            answer = self._api.competition_submit(str(path), message, slug, quiet=True)
        # A failed upload is told by this text alone: the client prints the cause and raises nothing.
        if answer.message == self._api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
            raise TransientError(
                f"the upload of {path.name} failed: nothing was handed in",
                hint="check the network, then run the same command again",
            )
        return answer.ref or None

    def submit_notebook(self, slug: str, kernel: str, version: int, *, output: str, message: str) -> int | None:
        """Hand in what a version of a notebook has written; the submission's number."""
        with self._plainly(slug):
            answer = self._api.competition_submit_code(output, message, slug, kernel, version, quiet=True)
        return answer.ref or None

    def submission(self, slug: str, ref: int) -> Submission:
        """How a submission fares; asked once.

        The client's own method is new in kaggle 2.2.5 and tries for minutes, untold; what it calls is older.
        """
        with self._plainly(slug), self._api.build_kaggle_client() as client:
            request = importlib.import_module(REQUESTS).ApiGetSubmissionRequest()
            request.ref = ref
            return _submission_of(client.competitions.competition_api_client.get_submission(request))

    def recent(self, slug: str) -> list[Submission]:
        """The last submissions, the newest first."""
        with self._plainly(slug):
            answers = self._api.competition_submissions(slug, page_size=N_RECENT) or []
            return [_submission_of(answer) for answer in answers if answer is not None]

    def download(self, slug: str, folder: Path, *, check_room: Callable[[int], None]) -> Path:
        """Fetch a competition's bundle into a folder, or the rest of it; the archive's path.

        Args:
            check_room: gets the bundle's size in bytes before any of it is fetched.
        """
        fetch, screen, shows = self._api.download_file, sys.stdout, sys.stderr.isatty()

        def checked(response: Any, outfile: str, *args: Any, **kwargs: Any) -> None:
            with contextlib.redirect_stdout(screen):  # unlike the client, it may speak
                check_room(int(response.headers.get("Content-Length") or 0))
            with _transfer(Path(outfile)):
                fetch(response, outfile, *args, **kwargs)

        self._api.download_file = checked
        try:
            with self._plainly(slug, progress=shows):
                self._api.competition_download_files(slug, path=str(folder), force=False, quiet=not shows)
        finally:
            self._api.download_file = fetch
        return _bundle_in(folder, slug)

    def _plainly(self, slug: str, *, progress: bool = False) -> Any:
        kept = self._api.config_values
        secrets = (*secrets_of_environment(), *(str(kept[name]) for name in ("key", "token") if kept.get(name)))
        return told_plainly(slug, secrets=secrets, progress=progress)


def sign_in(slug: str) -> Kaggle:
    """Access to Kaggle with the credentials that its client finds.

    Raises:
        UnfitEnvironmentError: the client is not installed, or there are no credentials that Kaggle accepts.
        TransientError: Kaggle cannot be reached.
    """
    with told_plainly(slug, secrets=secrets_of_environment()):
        api = _client_class()()
        api.authenticate()
        return Kaggle(api)


def _client_class() -> Any:
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
def _transfer(archive: Path) -> Iterator[None]:
    """Around the bytes themselves, which another server sends: what it refuses is no refusal of Kaggle's.

    Raises:
        TransientError: they broke off; what has come is kept, unless it may be something else.
    """
    try:
        yield
    except OSError as error:  # as those of requests are
        if getattr(error, "response", None) is None:
            raise
        raise _broken_off(archive) from error
    except ValueError as error:  # another size: kaggle 2.2.4 may have written an error's page over the bytes
        archive.unlink(missing_ok=True)
        raise _broken_off(archive) from error


def _broken_off(archive: Path) -> TransientError:
    return TransientError(f"the transfer of {archive.name} broke off", hint="run the same command again to go on")


def _submission_of(answer: Any) -> Submission:
    return Submission(
        ref=int(answer.ref),
        status=str(answer.status.name).lower(),
        public_score=_number(answer.public_score),
        private_score=_number(answer.private_score),
        error=" ".join((answer.error_description or "").split()) or None,
        message=answer.description or "",
        made=answer.date.replace(tzinfo=UTC) if answer.date else None,
    )


def _number(text: str | None) -> float | None:
    """A score, which Kaggle sends as text; None for none."""
    try:
        score = float(text or "")
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _bundle_in(folder: Path, slug: str) -> Path:
    """The file that the client has put into the folder: it takes the ending from the address of the download."""
    found = sorted(path for path in folder.glob(f"{slug}.*") if path.suffix != ".kaggle-partial")
    if not found:
        raise TransientError(f"Kaggle sent no bundle for {slug}", hint="run the same command again later")
    return found[0]
