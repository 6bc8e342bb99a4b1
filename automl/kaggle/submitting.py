"""Submit to Kaggle: nothing twice, nothing that would be refused, every step recorded before the next is taken.

A record is written before anything is sent. After an interruption the submission is found again among Kaggle's by its
message, which names the content.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles
from automl.errors import AutomlError, DataError, Notify, UnfitEnvironmentError
from automl.kaggle.client import ERROR, PENDING, Kaggle, Submission
from automl.kaggle.records import SubmissionRecord, delete_record, read_records, save_in_study, save_record
from automl.kaggle.refusals import NotFoundError, TransientError, UnclearError
from automl.kaggle.slugs import build_page_url
from automl.study.deadline import format_duration

# Source: kaggle 2.2.5 asks after 5 s first and once a minute at most; less than 5 s it does not allow.
FIRST_PAUSE_S, MAX_PAUSE_S, GROWTH = 5.0, 60.0, 1.5
MAX_MESSAGE_LENGTH = 500  # letters
DIGEST_DIGITS_SHOWN = 8  # in a message
MAX_CLOCK_DIFFERENCE = timedelta(minutes=10)  # ours and Kaggle's, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRequest:
    """A file to submit, or with `kernel` the output of a notebook's version under the file's name.

    Attributes:
        content: identifies it; see `SubmissionRecord`.
        kernel: "owner/notebook".
        ensemble: see `SubmissionRecord`.
    """

    slug: str
    path: Path
    content: str
    message: str
    kernel: str | None = None
    version: int = 0
    ensemble: dict[str, Any] | None = None


def build_message(name: str, content: str, ensemble: dict[str, Any] | None) -> str:
    """Build the submission's message: what it is, with the beginning of its digest."""
    if ensemble is None:
        return f"automl: {name} {content[:DIGEST_DIGITS_SHOWN]}"
    members = ", ".join(ensemble["members"])
    score = f"{ensemble['metric']} {ensemble['score']:.5f} +- {ensemble['score_error']:.5f} out of fold"
    return f"automl ensemble {content[:DIGEST_DIGITS_SHOWN]}: {score}, trials {members}"[:MAX_MESSAGE_LENGTH]


def find_earlier_record(files: StudyFiles, slug: str, content: str) -> SubmissionRecord | None:
    """Return the last record of the same content for the same competition."""
    same = [record for record in read_records(files) if (record.slug, record.content) == (slug, content)]
    return same[-1] if same else None


def submit_and_record(
    files: StudyFiles, request: SubmissionRequest, kaggle: Kaggle, *, notify: Notify
) -> SubmissionRecord:
    """Submit a file or a notebook, and record it; return the record, not scored yet.

    Raises:
        AutomlError: Kaggle refuses it, or cannot be reached.
    """
    _require_allowance(kaggle, request.slug, notify)
    record = SubmissionRecord(
        begun=datetime.now(UTC).isoformat(),
        slug=request.slug,
        content=request.content,
        file=str(request.path),
        message=request.message,
        ensemble=request.ensemble,
    )
    save_record(files, record)
    try:
        ref = _send(request, kaggle)
    except UnclearError:
        raise  # it may have arrived: the record stays, and is looked up before the next one is sent
    except AutomlError:
        delete_record(files, record)
        raise
    if ref is None:
        found = _find_sent_submission(files, record, kaggle)
        if found is None:
            raise UnclearError(
                f"Kaggle took {request.path.name}, but gave no number of a submission",
                hint=f"look at {build_page_url(request.slug, 'submissions')}",
            )
        return found
    return _save_number(files, record, ref)


def find_sent_record(files: StudyFiles, record: SubmissionRecord, kaggle: Kaggle) -> SubmissionRecord | None:
    """Find out whether an interrupted submission has arrived: return its record with its number, else delete it."""
    found = _find_sent_submission(files, record, kaggle)
    if found is None:
        delete_record(files, record)
    return found


def wait_for_score(
    files: StudyFiles, record: SubmissionRecord, kaggle: Kaggle, *, timeout_s: float, notify: Notify
) -> SubmissionRecord:
    """Wait for the score, and save it in the record and in the study.

    Raises:
        DataError: Kaggle could not score it.
        UnfitEnvironmentError: there is no score in so many seconds.
    """
    ref = record.ref or 0
    is_ours = any(other.ref == ref for other in read_records(files))
    scored = _poll_submission(
        lambda: kaggle.get_submission(record.slug, ref),
        ref=ref,
        timeout_s=timeout_s,
        retry_on=(TransientError, NotFoundError)
        if is_ours
        else (TransientError,),  # a new one may not be found at once
        notify=notify,
    )
    outcome = {name: getattr(scored, name) for name in ("status", "public_score", "private_score", "error")}
    record = replace(record, **outcome)
    save_record(files, record)
    save_in_study(files, notify)
    if record.status == ERROR:
        raise make_scoring_error(record)
    return record


def make_scoring_error(record: SubmissionRecord) -> DataError:
    """Build the error for a submission that Kaggle could not score."""
    return DataError(
        f"Kaggle could not score submission {record.ref}: {record.error or 'it does not say why'}",
        hint=f"see {build_page_url(record.slug, 'submissions')}, and compare the file with the sample submission there",
    )


def format_scores(record: SubmissionRecord) -> list[str]:
    """Format the scores of a submission, and the out-of-fold score that was expected."""
    public = "is not published" if record.public_score is None else f"{record.public_score:.5f}"
    lines = [f"public score {public} (submission {record.ref} to {record.slug})"]
    if record.private_score is not None:
        lines.append(f"private score {record.private_score:.5f}")
    if record.ensemble is not None:
        expected = record.ensemble
        lines.append(
            f"out of fold it was {expected['score']:.5f} +- {expected['score_error']:.5f} ({expected['metric']})"
        )
    return lines


def _poll_submission(
    fetch: Callable[[], Submission],
    *,
    ref: int,
    timeout_s: float,
    retry_on: tuple[type[AutomlError], ...],
    notify: Notify,
) -> Submission:
    """Poll a submission until it is scored or refused.

    Args:
        retry_on: the errors after which it is tried again.

    Raises:
        UnfitEnvironmentError: it is not, in so many seconds; it can be waited for later.
    """
    until, pause_s, last_problem = time.monotonic() + timeout_s, FIRST_PAUSE_S, ""
    while True:
        try:
            submission = fetch()
        except retry_on as error:
            if error.problem != last_problem:  # once for each kind of trouble, however long it lasts
                notify(f"{error.problem}; asking again")
            last_problem = error.problem
        else:
            if submission.status != PENDING:
                return submission
        remaining_s = until - time.monotonic()
        if remaining_s <= 0:
            raise UnfitEnvironmentError(
                f"submission {ref} is not scored after {format_duration(timeout_s)}",
                hint=f"ask for its score later with automl submit --wait-for {ref}",
            )
        time.sleep(min(pause_s, remaining_s))
        pause_s = min(pause_s * GROWTH, MAX_PAUSE_S)


def _find_sent_submission(files: StudyFiles, record: SubmissionRecord, kaggle: Kaggle) -> SubmissionRecord | None:
    other_refs = {other.ref for other in read_records(files)}
    earliest = datetime.fromisoformat(record.begun) - MAX_CLOCK_DIFFERENCE
    for submission in kaggle.list_submissions(record.slug):
        is_older = submission.submitted_at is not None and submission.submitted_at < earliest
        if submission.message == record.message and submission.ref not in other_refs and not is_older:
            return _save_number(files, record, submission.ref)
    return None


def _require_allowance(kaggle: Kaggle, slug: str, notify: Notify) -> None:
    """Report how many submissions are left; where Kaggle does not say, the submission itself finds out."""
    try:
        limits = kaggle.get_submission_limits(slug)
    except AutomlError:
        return
    if limits is None:
        return
    if not limits.n_left and limits.limited_by_total:
        hint = f"choose among those at {build_page_url(slug, 'submissions')}"
        raise UnfitEnvironmentError(f"{slug} takes no more submissions in all", hint=hint)
    if not limits.n_left:
        hint = "run the same command again after midnight UTC"
        raise UnfitEnvironmentError(f"{slug} takes no more submissions today: {limits.n_today} made", hint=hint)
    period = "in all" if limits.limited_by_total else "today"
    notify(f"submissions: {limits.n_left} left {period}, this one among them")


def _send(request: SubmissionRequest, kaggle: Kaggle) -> int | None:
    if request.kernel is None:
        return kaggle.submit_file(request.slug, request.path, request.message)
    return kaggle.submit_notebook(
        request.slug, request.kernel, request.version, output=request.path.name, message=request.message
    )


def _save_number(files: StudyFiles, record: SubmissionRecord, ref: int) -> SubmissionRecord:
    record = replace(record, ref=ref, status="pending")
    save_record(files, record)
    return record
