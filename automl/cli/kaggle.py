"""`automl submit` and `automl download`: Kaggle's side of a competition, by its own client."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import ignore_line, print_line, report_errors
from automl.cli.options import DEFAULT_WORKDIR, StudyName, Workdir
from automl.errors import DataError, StorageError, UsageError

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles
    from automl.data.competition import Competition
    from automl.kaggle.client import Kaggle
    from automl.kaggle.records import SubmissionRecord
    from automl.kaggle.submitting import SubmissionRequest

FILE_TIMEOUT, NOTEBOOK_TIMEOUT = "30m", "12h"  # a notebook may run for twelve hours before it is scored
OUTPUT = Path("submission.csv")  # the name that code competitions ask for


@report_errors
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
    wait_for: Annotated[int | None, typer.Option(min=1, help="Submit nothing; wait for this submission.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Submit it although it was submitted before.")] = False,
    kernel: Annotated[
        str | None, typer.Option(help="Submit what this notebook has written: owner/notebook; with --version.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="The version of the notebook.")] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Submit to Kaggle, if it would be accepted, and record its score in the study.

    Needs Kaggle's own client: pip install 'automl[kaggle]'. The same file is not submitted twice: the same command
    again asks for its score.
    """
    from automl.cli.workdir import find_study
    from automl.data.competition import load_competition
    from automl.kaggle.client import sign_in
    from automl.kaggle.records import lock_submissions
    from automl.study.deadline import parse_duration
    from automl.study.study import read_study
    from automl.submission.validate import require_test_images

    _require_notebook_version(kernel, version)
    timeout_s = parse_duration(timeout or (NOTEBOOK_TIMEOUT if kernel else FILE_TIMEOUT))
    files = find_study(workdir, study)
    read_study(files)
    understood = load_competition(files.competition)
    require_test_images(understood)
    slug = _find_slug(understood, competition)
    if wait_for is not None:
        record = _find_record(files, slug, wait_for)
        _wait(files, record, sign_in(record.slug), timeout_s=timeout_s)
        return
    if kernel is not None and version is not None:
        request = _build_notebook_request(slug, kernel, version, output=file or OUTPUT)
    else:
        request = _build_file_request(files, understood, slug, file or files.submission)
    request = replace(request, message=request.message if message is None else message)
    kaggle = sign_in(slug)
    with lock_submissions(files):
        record = _submit_once(files, request, kaggle, again=again, waits=wait)
    if wait:
        _wait(files, record, kaggle, timeout_s=timeout_s)
    else:
        _print_status(record)


def _require_notebook_version(kernel: str | None, version: int | None) -> None:
    if (kernel is None) != (version is None):
        raise UsageError(
            "--kernel and --version belong together: "
            + ("--kernel" if kernel is None else "--version")
            + " is missing",
            hint="give --kernel OWNER/NOTEBOOK --version N",
        )
    if kernel is not None and (kernel.count("/") != 1 or not all(kernel.split("/"))):
        raise UsageError(f"--kernel {kernel} is no notebook", hint="give it as OWNER/NOTEBOOK, as in its address")


def _find_slug(competition: Competition, given: str | None) -> str:
    from automl.kaggle.slugs import resolve_slug
    from automl.readers.settings import CompetitionSettings, load_settings

    flag = load_settings(CompetitionSettings(competition=given), Path()).competition
    slug, source = resolve_slug(competition.root, competition.evidence, flag)
    print_line(f"competition: {slug}, {source}")
    return slug


def _find_record(files: StudyFiles, slug: str, ref: int) -> SubmissionRecord:
    """Return the record of that number, or a new one of a submission that was submitted elsewhere."""
    from datetime import UTC, datetime

    from automl.kaggle.records import SubmissionRecord, read_records

    known = [record for record in read_records(files) if record.ref == ref]
    begun = datetime.now(UTC).isoformat()
    return known[0] if known else SubmissionRecord(begun=begun, slug=slug, content="", file="", message="", ref=ref)


def _build_notebook_request(slug: str, kernel: str, version: int, *, output: Path) -> SubmissionRequest:
    from automl.kaggle.submitting import SubmissionRequest

    content = f"{kernel} version {version}"
    message = f"automl: {output.name} of {content}"
    return SubmissionRequest(slug=slug, path=output, content=content, message=message, kernel=kernel, version=version)


def _build_file_request(files: StudyFiles, competition: Competition, slug: str, path: Path) -> SubmissionRequest:
    """Build the request for a file that would be accepted; what is odd about it is printed.

    Raises:
        StorageError: it cannot be read.
        DataError: it would be refused.
    """
    import hashlib

    from automl.kaggle.records import summarize_ensemble
    from automl.kaggle.submitting import SubmissionRequest, build_message
    from automl.submission.validate import find_problems, find_warnings

    content = _read_content(path)
    found = find_problems(competition, content)
    for line in found[1:]:
        print_line(f"problem: {line}")
    if found:
        raise DataError(
            f"{path} would be refused, so nothing was submitted: {found[0]}",
            hint="compare it with the sample submission",
        )
    for line in find_warnings(competition, content):
        print_line(f"remark: {line}")
    digest = hashlib.sha256(content).hexdigest()
    ensemble = summarize_ensemble(files, path, content)
    message = build_message(path.name, digest, ensemble)
    return SubmissionRequest(slug=slug, path=path.resolve(), content=digest, message=message, ensemble=ensemble)


def _read_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "name the submission's file, or write one with automl ensemble"
        raise StorageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _submit_once(
    files: StudyFiles, request: SubmissionRequest, kaggle: Kaggle, *, again: bool, waits: bool
) -> SubmissionRecord:
    """Return the record of this content: of the earlier submission where there is one, else of a new one.

    Raises:
        AutomlError: Kaggle refuses it, or could not score it before.
    """
    from automl.kaggle.client import ERROR
    from automl.kaggle.records import SENDING, save_in_study
    from automl.kaggle.submitting import find_earlier_record, find_sent_record, make_scoring_error, submit_and_record

    earlier = find_earlier_record(files, request.slug, request.content)
    while earlier is not None and earlier.status == SENDING:  # one that never arrived may hide one that did
        earlier = find_sent_record(files, earlier, kaggle) or find_earlier_record(files, request.slug, request.content)
    if earlier is not None and not again:
        day = earlier.begun[:16].replace("T", " ")
        print_line(
            f"{request.path.name} was submitted before, at {day} UTC, as submission {earlier.ref}; --again repeats"
        )
        if earlier.status == ERROR:
            raise make_scoring_error(earlier)
        return earlier
    record = submit_and_record(files, request, kaggle, notify=print_line)
    print_line(f"submitted {request.path.name} to {request.slug}: submission {record.ref}, '{record.message}'")
    save_in_study(files, ignore_line if waits else print_line)
    return record


def _wait(files: StudyFiles, record: SubmissionRecord, kaggle: Kaggle, *, timeout_s: float) -> None:
    from automl.kaggle.submitting import format_scores, wait_for_score

    with _explain_interruption(record):
        print_line(f"waiting for the score of submission {record.ref}; Ctrl-C ends the waiting alone")
        scored = wait_for_score(files, record, kaggle, timeout_s=timeout_s, notify=print_line)
    for line in format_scores(scored):
        print_line(line)


def _print_status(record: SubmissionRecord) -> None:
    from automl.kaggle.client import COMPLETE
    from automl.kaggle.submitting import format_scores

    for line in format_scores(record) if record.status == COMPLETE else []:
        print_line(line)
    if record.status != COMPLETE:
        print_line(f"not waiting; automl submit --wait-for {record.ref} asks for its score")


@contextmanager
def _explain_interruption(record: SubmissionRecord) -> Iterator[None]:
    """Print how to go on where the waiting is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        print_line(f"submission {record.ref} goes on being scored; automl submit --wait-for {record.ref} asks again")
        raise


@report_errors
def download(
    competition: Annotated[str, typer.Argument(metavar="SLUG", help="Kaggle's name of the competition.")],
    into: Annotated[Path | None, typer.Option(help="The folder to make.", show_default="SLUG, here")] = None,
) -> None:
    """Fetch a competition's files from Kaggle and unpack them; the same command again goes on where it stopped.

    Needs Kaggle's own client: pip install 'automl[kaggle]'.
    """
    from automl.kaggle.client import sign_in
    from automl.kaggle.downloading import download_competition
    from automl.kaggle.slugs import parse_slug

    slug = parse_slug(competition)
    folder = into or Path(slug)
    download_competition(slug, folder, lambda: sign_in(slug), notify=print_line)
    print_line(f"next: cd {shlex.quote(str(folder))}; automl inspect")
