"""Record submissions and their scores: a JSON list in the study's folder, and a copy in the study itself."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles, read_json, write_json
from automl.errors import AutomlError, Notify, StorageError, StudyInUseError
from automl.study.study import open_study, read_study, read_terms

ATTRIBUTE = "submissions"  # user attribute of the study
SENDING = "sending"  # a record's status until Kaggle has given its number


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRecord:
    """A submission as the study records it.

    Attributes:
        begun: when, ISO 8601 in UTC; no two records of a study have the same.
        content: what identifies it: the SHA-256 of the file, or the notebook and its version.
        file: its path, or the name of what the notebook has written.
        status: "sending", "pending", "complete" or "error".
        ref: Kaggle's number of it; None while that is not known.
        error: what Kaggle says where it could not be scored.
        ensemble: metric, cross-fitted score, its standard error and members, where the file is the ensemble's.
    """

    begun: str
    slug: str
    content: str
    file: str
    message: str
    status: str = SENDING
    ref: int | None = None
    public_score: float | None = None
    private_score: float | None = None
    error: str | None = None
    ensemble: Mapping[str, Any] | None = None


@contextlib.contextmanager
def lock_submissions(files: StudyFiles) -> Iterator[None]:
    """Keep other processes from submitting, so that none sends what this one is sending.

    Raises:
        StudyInUseError: another process is submitting.
        StorageError: the folder cannot be written.
    """
    path = files.submissions.with_suffix(".lock")
    try:
        file = path.open("w")
    except OSError as error:
        hint = "fix the permissions, then run the same command again"
        raise StorageError(f"{path} cannot be opened: {error.strerror}", hint=hint) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyInUseError(
                f"another process submits for '{files.root.name}'",
                hint="wait for it, then run the same command again",
            ) from error
        yield


def read_records(files: StudyFiles) -> list[SubmissionRecord]:
    """Read the records of all submissions, the oldest first.

    Raises:
        StorageError: the file is damaged.
    """
    if not files.submissions.exists():
        return []
    document = read_json(files.submissions)
    names = {field.name for field in fields(SubmissionRecord)}
    try:
        return [
            SubmissionRecord(**{name: value for name, value in entry.items() if name in names}) for entry in document
        ]
    except (AttributeError, TypeError) as error:
        raise StorageError(
            f"{files.submissions} is no list of submissions", hint="restore the file, or move it away"
        ) from error


def save_record(files: StudyFiles, record: SubmissionRecord) -> None:
    """Save a record, in place of the one that was begun at the same time."""
    others = [other for other in read_records(files) if other.begun != record.begun]
    write_json(files.submissions, [asdict(each) for each in sorted([*others, record], key=lambda each: each.begun)])


def delete_record(files: StudyFiles, record: SubmissionRecord) -> None:
    """Delete the record of what was not submitted after all."""
    write_json(files.submissions, [asdict(each) for each in read_records(files) if each.begun != record.begun])


def save_in_study(files: StudyFiles, notify: Notify) -> None:
    """Copy the records into the study; where a search holds it, the next submission will."""
    try:
        with open_study(files, read_terms(read_study(files))) as study:
            study.optuna_study.set_user_attr(ATTRIBUTE, [asdict(record) for record in read_records(files)])
    except AutomlError as error:  # what was submitted is submitted, whatever becomes of the study
        notify(f"{error.problem}: the submission stands in {files.submissions.name} alone")


def summarize_ensemble(files: StudyFiles, path: Path, content: bytes) -> dict[str, Any] | None:
    """Return metric, score and members of the ensemble that wrote the file; None for any other file.

    The running submission of a later search has the same place, but another content.
    """
    if not files.ensemble.exists():
        return None
    ensemble = read_json(files.ensemble)
    if not _is_complete(ensemble) or not _is_submission_of(ensemble, files, path, content):
        return None
    members = ensemble["members"]
    return {
        "metric": ensemble.get("metric"),
        "score": ensemble.get("score"),
        "score_error": ensemble.get("score_error"),
        "members": [member.get("name", str(member.get("number"))) for member in members],
        "weights": [member.get("weight") for member in members],
    }


def _is_complete(ensemble: Any) -> bool:
    """Whether the ensemble's file has the fields that are read, as that of another version may not."""
    if not isinstance(ensemble, dict) or not isinstance(ensemble.get("members"), list):
        return False
    return all(isinstance(ensemble.get(name), int | float) for name in ("score", "score_error"))


def _is_submission_of(ensemble: Mapping[str, Any], files: StudyFiles, path: Path, content: bytes) -> bool:
    digest = ensemble.get("submission_digest")
    if digest is not None:
        return bool(digest == hashlib.sha256(content).hexdigest())
    own = path.resolve() == Path(ensemble.get("submission") or "").resolve()
    return own and path.stat().st_mtime_ns <= files.ensemble.stat().st_mtime_ns  # the ensemble writes it first
