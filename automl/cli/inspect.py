"""`automl inspect` and `automl check`: what a folder means, and whether a file would be accepted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import print_line, report_errors
from automl.cli.options import COMPETITION_FLAGS, DEFAULT_WORKDIR, HERE, Folder, StudyName, Workdir, expand_flags
from automl.errors import DataError, StorageError
from automl.readers.settings import CompetitionSettings

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles


@report_errors
@expand_flags(settings=COMPETITION_FLAGS)
def inspect(
    *,
    folder: Folder = HERE,
    settings: CompetitionSettings,
    names_only: Annotated[
        bool, typer.Option("--names-only", help="Do not open the images; answers within seconds.")
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Write a page with figures and sample images too.")] = False,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Show what a competition's folder was understood to be, from what, and what follows for a search."""
    from automl.cli.workdir import get_study_files
    from automl.readers.read import read_competition

    if names_only:
        for line in read_competition(folder, settings).evidence:
            print_line(line)
        return
    _look(folder, settings, get_study_files(workdir, study or folder.resolve().name), html=html)


def _look(folder: Path, settings: CompetitionSettings, files: StudyFiles, *, html: bool) -> None:
    from automl.cli.workdir import format_path
    from automl.data.cleaning import clean_competition
    from automl.data.duplicates import find_duplicates
    from automl.inspection.inspection import describe_inspection, inspect_competition
    from automl.inspection.prepare import survey_competition
    from automl.inspection.recommendations import recommend
    from automl.reports.inspection_page import write_inspection
    from runners.devices import count_cpus

    competition, survey = survey_competition(
        folder, settings, cache=files.cache, n_threads=count_cpus(), notify=print_line
    )
    duplicates = find_duplicates(survey)
    usable = clean_competition(competition, survey, duplicates, skip_broken=True)
    inspection = inspect_competition(competition, survey, duplicates)
    for line in [*usable.evidence[len(competition.evidence) :], *describe_inspection(inspection)]:
        print_line(line)
    for what, why in recommend(inspection):
        print_line(f"suggestion: {what} ({why})")
    if html:
        write_inspection(inspection, files.inspection)
        typer.echo(f"wrote {format_path(files.inspection)}")


@report_errors
@expand_flags(settings=COMPETITION_FLAGS)
def check(
    *,
    file: Annotated[Path, typer.Argument(help="The submission.")],
    folder: Folder = HERE,
    settings: CompetitionSettings,
) -> None:
    """Say what the competition would refuse in a submission, whoever wrote it, before the competition does."""
    from automl.readers.read import read_competition
    from automl.submission.validate import find_problems, find_warnings

    competition = read_competition(folder, settings)
    content = _content(file)
    found = find_problems(competition, content)
    for line in find_warnings(competition, content) if not found else []:
        print_line(f"remark: {line}")
    for line in found[1:]:
        print_line(f"problem: {line}")
    if found:
        raise DataError(f"{file} would be refused: {found[0]}", hint="compare it with the sample submission")
    typer.echo(f"{file} would be accepted: {len(competition.submission.ids)} rows")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}", hint="name the submission's file") from error
