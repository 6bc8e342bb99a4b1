"""`automl inspect` and `automl check`: what a folder means, and whether a file would be accepted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import reported, say_line
from automl.cli.options import DEFAULT_WORKDIR, HERE, NOTHING, Folder, StudyName, Workdir, asking
from automl.errors import DataError, StorageError
from automl.readers.settings import Asked

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles


@reported
@asking
def inspect(
    folder: Folder = HERE,
    asked: Asked = NOTHING,
    names_only: Annotated[
        bool, typer.Option("--names-only", help="Do not open the images; answers within seconds.")
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Write a page with figures and sample images too.")] = False,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Show what a competition's folder was understood to be, from what, and what follows for a search."""
    from automl.readers.read import read_competition
    from automl.workdir import study_files

    if names_only:
        for line in read_competition(folder, asked).evidence:
            say_line(line)
        return
    _look(folder, asked, study_files(workdir, study or folder.resolve().name), html=html)


def _look(folder: Path, asked: Asked, files: StudyFiles, *, html: bool) -> None:
    from automl.data.cleaning import refined
    from automl.data.duplicates import find_duplicates
    from automl.inspection.inspection import described, inspect_competition
    from automl.inspection.prepare import look_at
    from automl.inspection.recommendations import suggestions_of
    from automl.reports.inspection_page import write_inspection
    from automl.workdir import shown
    from runners.devices import cpu_count

    competition, survey = look_at(folder, asked, cache=files.cache, n_threads=cpu_count(), note=say_line)
    duplicates = find_duplicates(survey)
    usable = refined(competition, survey, duplicates, skip_broken=True)
    inspection = inspect_competition(competition, survey, duplicates)
    for line in [*usable.evidence[len(competition.evidence) :], *described(inspection)]:
        say_line(line)
    for what, why in suggestions_of(inspection):
        say_line(f"suggestion: {what} ({why})")
    if html:
        write_inspection(inspection, files.inspection)
        typer.echo(f"wrote {shown(files.inspection)}")


@reported
@asking
def check(
    file: Annotated[Path, typer.Argument(help="The submission.")],
    folder: Folder = HERE,
    asked: Asked = NOTHING,
) -> None:
    """Say what the competition would refuse in a submission, whoever wrote it, before the competition does."""
    from automl.readers.read import read_competition
    from automl.submission.validate import problems, remarks

    competition = read_competition(folder, asked)
    content = _content(file)
    found = problems(competition, content)
    for line in remarks(competition, content) if not found else []:
        say_line(f"remark: {line}")
    for line in found[1:]:
        say_line(f"problem: {line}")
    if found:
        raise DataError(f"{file} would be refused: {found[0]}", hint="compare it with the sample submission")
    typer.echo(f"{file} would be accepted: {len(competition.submission.ids)} rows")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}", hint="name the submission's file") from error
