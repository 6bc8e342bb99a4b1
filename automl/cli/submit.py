"""`automl submit`: a submission checked, handed in at Kaggle, waited for, and its score kept with the study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import reported, say_line, say_nothing
from automl.cli.options import DEFAULT_WORKDIR, StudyName, Workdir
from automl.errors import DataError, StorageError, UsageError

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles
    from automl.data.competition import Competition
    from automl.kaggle.client import Kaggle
    from automl.kaggle.records import Record
    from automl.kaggle.submitting import Parcel

FILE_TIMEOUT, NOTEBOOK_TIMEOUT = "30m", "12h"  # a notebook may run for twelve hours before it is scored
OUTPUT = Path("submission.csv")  # the name that code competitions ask for


@reported
def submit(
    file: Annotated[Path | None, typer.Argument(help="The submission.", show_default="the study's own")] = None,
    competition: Annotated[
        str | None, typer.Option(help="Kaggle's name of the competition; by default the study's.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="What to write beside it, instead of what it is made of.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the score.")] = True,
    timeout: Annotated[
        str | None, typer.Option(help=f"How long to wait; {FILE_TIMEOUT}, and {NOTEBOOK_TIMEOUT} for a notebook.")
    ] = None,
    wait_for: Annotated[int | None, typer.Option(min=1, help="Hand in nothing; wait for this submission.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Hand it in although it was handed in before.")] = False,
    kernel: Annotated[
        str | None, typer.Option(help="Hand in what this notebook has written: owner/notebook; with --version.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="The version of the notebook.")] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Hand in a submission at Kaggle, if it would be accepted, and record its score in the study.

    Needs Kaggle's own client: pip install 'automl[kaggle]'. The same file is not handed in twice: the same command
    again asks for its score.
    """
    from automl.data.competition import load_competition
    from automl.deadline import parse_duration
    from automl.kaggle.client import sign_in
    from automl.kaggle.records import handing_in
    from automl.study.study import read_study
    from automl.workdir import existing_study

    _require_whole(kernel, version)
    timeout_s = parse_duration(timeout or (NOTEBOOK_TIMEOUT if kernel else FILE_TIMEOUT))
    files = existing_study(workdir, study)
    read_study(files)
    understood = load_competition(files.competition)
    slug = _slug(understood, competition)
    if wait_for is not None:
        record = _known_record(files, slug, wait_for)
        _wait(files, record, sign_in(record.slug), timeout_s=timeout_s)
        return
    if kernel is not None and version is not None:
        parcel = _of_notebook(slug, kernel, version, output=file or OUTPUT)
    else:
        parcel = _of_file(files, understood, slug, file or files.submission)
    parcel = replace(parcel, message=parcel.message if message is None else message)
    kaggle = sign_in(slug)
    with handing_in(files):
        record = _handed_in(files, parcel, kaggle, again=again, waits=wait)
    if wait:
        _wait(files, record, kaggle, timeout_s=timeout_s)
    else:
        _tell_later(record)


def _require_whole(kernel: str | None, version: int | None) -> None:
    if (kernel is None) != (version is None):
        raise UsageError(
            "--kernel and --version belong together: "
            + ("--kernel" if kernel is None else "--version")
            + " is missing",
            hint="give --kernel OWNER/NOTEBOOK --version N",
        )
    if kernel is not None and (kernel.count("/") != 1 or not all(kernel.split("/"))):
        raise UsageError(f"--kernel {kernel} is no notebook", hint="give it as OWNER/NOTEBOOK, as in its address")


def _slug(competition: Competition, given: str | None) -> str:
    from automl.kaggle.slugs import slug_of_study
    from automl.readers.settings import Asked, asked_here

    asked = asked_here(Asked(competition=given), Path()).competition
    slug, source = slug_of_study(competition.root, competition.evidence, asked)
    say_line(f"competition: {slug}, {source}")
    return slug


def _known_record(files: StudyFiles, slug: str, ref: int) -> Record:
    """The record of that number, or a new one of a submission that was handed in elsewhere."""
    from datetime import UTC, datetime

    from automl.kaggle.records import Record, read_records

    known = [record for record in read_records(files) if record.ref == ref]
    begun = datetime.now(UTC).isoformat()
    return known[0] if known else Record(begun=begun, slug=slug, content="", file="", message="", ref=ref)


def _of_notebook(slug: str, kernel: str, version: int, *, output: Path) -> Parcel:
    from automl.kaggle.submitting import Parcel

    content = f"{kernel} version {version}"
    message = f"automl: {output.name} of {content}"
    return Parcel(slug=slug, path=output, content=content, message=message, kernel=kernel, version=version)


def _of_file(files: StudyFiles, competition: Competition, slug: str, path: Path) -> Parcel:
    """A file that would be accepted; what is odd about it is said.

    Raises:
        StorageError: it cannot be read.
        DataError: it would be refused.
    """
    import hashlib

    from automl.kaggle.records import ensemble_behind
    from automl.kaggle.submitting import Parcel, default_message
    from automl.submission.validate import problems, remarks

    content = _content(path)
    found = problems(competition, content)
    for line in found[1:]:
        say_line(f"problem: {line}")
    if found:
        raise DataError(
            f"{path} would be refused, so nothing was handed in: {found[0]}",
            hint="compare it with the sample submission",
        )
    for line in remarks(competition, content):
        say_line(f"remark: {line}")
    digest = hashlib.sha256(content).hexdigest()
    ensemble = ensemble_behind(files, path, content)
    message = default_message(path.name, digest, ensemble)
    return Parcel(slug=slug, path=path.resolve(), content=digest, message=message, ensemble=ensemble)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "name the submission's file, or write one with automl ensemble"
        raise StorageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _handed_in(files: StudyFiles, parcel: Parcel, kaggle: Kaggle, *, again: bool, waits: bool) -> Record:
    """The record of this content: of the earlier submission where there is one, else of a new one.

    Raises:
        AutomlError: Kaggle refuses it, or could not score it before.
    """
    from automl.kaggle.client import ERROR
    from automl.kaggle.records import SENDING, keep_in_study
    from automl.kaggle.submitting import earlier_record, find_again, hand_in, scoring_error

    earlier = earlier_record(files, parcel.slug, parcel.content)
    while earlier is not None and earlier.status == SENDING:  # one that never arrived may hide one that did
        earlier = find_again(files, earlier, kaggle) or earlier_record(files, parcel.slug, parcel.content)
    if earlier is not None and not again:
        day = earlier.begun[:16].replace("T", " ")
        say_line(f"{parcel.path.name} was handed in before, at {day} UTC, as submission {earlier.ref}; --again repeats")
        if earlier.status == ERROR:
            raise scoring_error(earlier)
        return earlier
    record = hand_in(files, parcel, kaggle, note=say_line)
    say_line(f"handed in {parcel.path.name} to {parcel.slug}: submission {record.ref}, '{record.message}'")
    keep_in_study(files, say_nothing if waits else say_line)
    return record


def _wait(files: StudyFiles, record: Record, kaggle: Kaggle, *, timeout_s: float) -> None:
    from automl.kaggle.submitting import await_score, score_lines

    with _resumable(record):
        say_line(f"waiting for the score of submission {record.ref}; Ctrl-C ends the waiting alone")
        scored = await_score(files, record, kaggle, timeout_s=timeout_s, note=say_line)
    for line in score_lines(scored):
        say_line(line)


def _tell_later(record: Record) -> None:
    from automl.kaggle.client import COMPLETE
    from automl.kaggle.submitting import score_lines

    for line in score_lines(record) if record.status == COMPLETE else []:
        say_line(line)
    if record.status != COMPLETE:
        say_line(f"not waiting; automl submit --wait-for {record.ref} asks for its score")


@contextmanager
def _resumable(record: Record) -> Iterator[None]:
    """Say how to go on where the waiting is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        say_line(f"submission {record.ref} goes on being scored; automl submit --wait-for {record.ref} asks again")
        raise
