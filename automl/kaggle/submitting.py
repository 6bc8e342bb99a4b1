"""Handing in: nothing twice, nothing that would be refused, and a record of every step before the next is taken.

A record is written before anything is sent. Whoever is killed in between finds the submission again among Kaggle's by
its message, which names the content. Not responsible for: the client (automl.kaggle.client), the file's form
(automl.submission.validate).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles
from automl.deadline import duration
from automl.errors import AutomlError, DataError, UnfitEnvironmentError
from automl.kaggle.client import ERROR, PENDING, Kaggle, Submission
from automl.kaggle.records import Record, forget_record, keep_in_study, keep_record, read_records
from automl.kaggle.refusals import NotFoundError, TransientError, UnclearError
from automl.kaggle.slugs import page_of

# Source: kaggle 2.2.5 asks after 5 s first and once a minute at most; less than 5 s it does not allow.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 5.0, 60.0, 1.5


def wait_for_score(
    ask: Callable[[], Submission],
    *,
    ref: int,
    timeout_s: float,
    passing: tuple[type[AutomlError], ...],
    note: Callable[[str], None],
) -> Submission:
    """The submission once it is scored or refused.

    Args:
        passing: the errors after which it is asked again.

    Raises:
        UnfitEnvironmentError: it is not, in so many seconds; it can be asked for later.
    """
    until, pause_s, told = time.monotonic() + timeout_s, FIRST_PAUSE_S, ""
    while True:
        try:
            submission = ask()
        except passing as error:
            if error.problem != told:  # once for each kind of trouble, however long it lasts
                note(f"{error.problem}; asking again")
            told = error.problem
        else:
            if submission.status != PENDING:
                return submission
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise UnfitEnvironmentError(
                f"submission {ref} is not scored after {duration(timeout_s)}",
                hint=f"ask for its score later with automl submit --wait-for {ref}",
            )
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)


Note = Callable[[str], None]
LONGEST_MESSAGE = 500  # letters
N_SHOWN = 8  # digits of a content that a message names
CLOCKS_DIFFER = timedelta(minutes=10)  # ours and Kaggle's, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is handed in: a file, or with `kernel` what a version of a notebook has written under the file's name.

    Attributes:
        content: tells it from others; see `Record`.
        kernel: "owner/notebook".
        ensemble: see `Record`.
    """

    slug: str
    path: Path
    content: str
    message: str
    kernel: str | None = None
    version: int = 0
    ensemble: dict[str, Any] | None = None


def default_message(name: str, content: str, ensemble: dict[str, Any] | None) -> str:
    """What it is, in words, with the beginning of its content."""
    if ensemble is None:
        return f"automl: {name} {content[:N_SHOWN]}"
    members = ", ".join(ensemble["members"])
    score = f"{ensemble['metric']} {ensemble['score']:.5f} +- {ensemble['score_error']:.5f} out of fold"
    return f"automl ensemble {content[:N_SHOWN]}: {score}, trials {members}"[:LONGEST_MESSAGE]


def earlier_record(files: StudyFiles, slug: str, content: str) -> Record | None:
    """The last record of the same content for the same competition."""
    same = [record for record in read_records(files) if (record.slug, record.content) == (slug, content)]
    return same[-1] if same else None


def hand_in(files: StudyFiles, parcel: Parcel, kaggle: Kaggle, *, note: Note) -> Record:
    """Hand in, and record it; the record of a submission that is not scored yet.

    Raises:
        AutomlError: Kaggle refuses it, or cannot be reached.
    """
    _require_allowance(kaggle, parcel.slug, note)
    record = Record(
        begun=datetime.now(UTC).isoformat(),
        slug=parcel.slug,
        content=parcel.content,
        file=str(parcel.path),
        message=parcel.message,
        ensemble=parcel.ensemble,
    )
    keep_record(files, record)
    try:
        ref = _send(parcel, kaggle)
    except UnclearError:
        raise  # it may have arrived: the record stays, and is asked about before the next one is sent
    except AutomlError:
        forget_record(files, record)
        raise
    if ref is None:
        found = _found_again(files, record, kaggle)
        if found is None:
            raise UnclearError(
                f"Kaggle took {parcel.path.name}, but told no number of a submission",
                hint=f"look at {page_of(parcel.slug, 'submissions')}",
            )
        return found
    return _numbered(files, record, ref)


def find_again(files: StudyFiles, record: Record, kaggle: Kaggle) -> Record | None:
    """The record with its number, where what was being sent has arrived at Kaggle's; None and no record where not."""
    found = _found_again(files, record, kaggle)
    if found is None:
        forget_record(files, record)
    return found


def await_score(files: StudyFiles, record: Record, kaggle: Kaggle, *, timeout_s: float, note: Note) -> Record:
    """The record with the score, kept in the study too.

    Raises:
        DataError: Kaggle could not score it.
        UnfitEnvironmentError: there is no score in so many seconds.
    """
    ref = record.ref or 0
    is_ours = any(other.ref == ref for other in read_records(files))
    scored = wait_for_score(
        lambda: kaggle.submission(record.slug, ref),
        ref=ref,
        timeout_s=timeout_s,
        passing=(TransientError, NotFoundError) if is_ours else (TransientError,),  # a new one may not be found at once
        note=note,
    )
    outcome = {name: getattr(scored, name) for name in ("status", "public_score", "private_score", "error")}
    record = replace(record, **outcome)
    keep_record(files, record)
    keep_in_study(files, note)
    if record.status == ERROR:
        raise scoring_error(record)
    return record


def scoring_error(record: Record) -> DataError:
    """What to say of a submission that Kaggle could not score."""
    return DataError(
        f"Kaggle could not score submission {record.ref}: {record.error or 'it does not say why'}",
        hint=f"see {page_of(record.slug, 'submissions')}, and compare the file with the sample submission there",
    )


def score_lines(record: Record) -> list[str]:
    """What a scored submission is told with: the scores, and what was expected."""
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


def _found_again(files: StudyFiles, record: Record, kaggle: Kaggle) -> Record | None:
    taken = {other.ref for other in read_records(files)}
    earliest = datetime.fromisoformat(record.begun) - CLOCKS_DIFFER
    for submission in kaggle.recent(record.slug):
        is_older = submission.made is not None and submission.made < earliest
        if submission.message == record.message and submission.ref not in taken and not is_older:
            return _numbered(files, record, submission.ref)
    return None


def _require_allowance(kaggle: Kaggle, slug: str, note: Note) -> None:
    """Say how many submissions are left; the submission itself finds out where Kaggle does not tell."""
    try:
        allowance = kaggle.allowance(slug)
    except AutomlError:
        return
    if allowance is None:
        return
    if not allowance.n_left and allowance.in_total:
        hint = f"choose among those at {page_of(slug, 'submissions')}"
        raise UnfitEnvironmentError(f"{slug} takes no more submissions in all", hint=hint)
    if not allowance.n_left:
        hint = "run the same command again after midnight UTC"
        raise UnfitEnvironmentError(f"{slug} takes no more submissions today: {allowance.n_today} made", hint=hint)
    note(f"submissions: {allowance.n_left} left {'in all' if allowance.in_total else 'today'}, this one among them")


def _send(parcel: Parcel, kaggle: Kaggle) -> int | None:
    if parcel.kernel is None:
        return kaggle.submit_file(parcel.slug, parcel.path, parcel.message)
    return kaggle.submit_notebook(
        parcel.slug, parcel.kernel, parcel.version, output=parcel.path.name, message=parcel.message
    )


def _numbered(files: StudyFiles, record: Record, ref: int) -> Record:
    record = replace(record, ref=ref, status="pending")
    keep_record(files, record)
    return record
