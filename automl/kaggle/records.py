"""What was handed in and what it scored: a JSON list in the study's folder, and the same in the study itself.

Not responsible for: handing in (automl.kaggle.submitting).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles, read_json, write_json
from automl.errors import AutomlError, StorageError, StudyInUseError
from automl.study.study import open_study, read_study, terms_of

ATTRIBUTE = "submissions"  # user attribute of the study
SENDING = "sending"  # a record's status until Kaggle has told its number


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One submission.

    Attributes:
        begun: when, ISO 8601 in UTC; no two records of a study have the same.
        content: what tells it from others: the SHA-256 of the file, or the notebook and its version.
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
def handing_in(files: StudyFiles) -> Iterator[None]:
    """Keep other processes from handing in, so that none sends what this one is sending.

    Raises:
        StudyInUseError: another process is handing in.
        StorageError: the folder cannot be written.
    """
    path = files.submissions.with_suffix(".lock")
    try:
        file = path.open("w")
    except OSError as error:
        hint = "mend the permissions, then run the same command again"
        raise StorageError(f"{path} cannot be opened: {error.strerror}", hint=hint) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyInUseError(
                f"another process hands in a submission of '{files.root.name}'",
                hint="wait for it, then run the same command again",
            ) from error
        yield


def read_records(files: StudyFiles) -> list[Record]:
    """What was handed in so far, the oldest first.

    Raises:
        StorageError: the file is damaged.
    """
    if not files.submissions.exists():
        return []
    document = read_json(files.submissions)
    names = {field.name for field in fields(Record)}
    try:
        return [Record(**{name: value for name, value in entry.items() if name in names}) for entry in document]
    except (AttributeError, TypeError) as error:
        raise StorageError(
            f"{files.submissions} is no list of submissions", hint="restore the file, or move it away"
        ) from error


def keep_record(files: StudyFiles, record: Record) -> None:
    """Write a record down, in place of the one that was begun at the same time."""
    others = [other for other in read_records(files) if other.begun != record.begun]
    write_json(files.submissions, [asdict(each) for each in sorted([*others, record], key=lambda each: each.begun)])


def forget_record(files: StudyFiles, record: Record) -> None:
    """Strike out a record of what was not handed in after all."""
    write_json(files.submissions, [asdict(each) for each in read_records(files) if each.begun != record.begun])


def keep_in_study(files: StudyFiles, note: Callable[[str], None]) -> None:
    """Copy the records into the study; where a search is at work on it, the next submission will."""
    try:
        with open_study(files, terms_of(read_study(files))) as study:
            study.optuna_study.set_user_attr(ATTRIBUTE, [asdict(record) for record in read_records(files)])
    except AutomlError as error:  # what was handed in is handed in, whatever becomes of the study
        note(f"{error.problem}: the submission stands in {files.submissions.name} alone")


def ensemble_behind(files: StudyFiles, path: Path, content: bytes) -> dict[str, Any] | None:
    """What the ensemble is and promises where the file is its own; None for any other file.

    The running submission of a later search has the same place, but another content.
    """
    if not files.ensemble.exists():
        return None
    ensemble = read_json(files.ensemble)
    if not _is_whole(ensemble) or not _is_its_own(ensemble, files, path, content):
        return None
    members = ensemble["members"]
    return {
        "metric": ensemble.get("metric"),
        "score": ensemble.get("score"),
        "score_error": ensemble.get("score_error"),
        "members": [member.get("name", str(member.get("number"))) for member in members],
        "weights": [member.get("weight") for member in members],
    }


def _is_whole(ensemble: Any) -> bool:
    """Whether it says what is taken from it, as that of another version may not."""
    if not isinstance(ensemble, dict) or not isinstance(ensemble.get("members"), list):
        return False
    return all(isinstance(ensemble.get(name), int | float) for name in ("score", "score_error"))


def _is_its_own(ensemble: Mapping[str, Any], files: StudyFiles, path: Path, content: bytes) -> bool:
    digest = ensemble.get("submission_digest")
    if digest is not None:
        return bool(digest == hashlib.sha256(content).hexdigest())
    own = path.resolve() == Path(ensemble.get("submission", "")).resolve()
    return own and path.stat().st_mtime_ns <= files.ensemble.stat().st_mtime_ns  # the ensemble writes it first
