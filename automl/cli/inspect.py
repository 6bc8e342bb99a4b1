"""`automl inspect` and `automl check`: what a folder means, and whether a file would be accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import ignore_line, print_document, print_line, report_errors
from automl.cli.options import COMPETITION_FLAGS, DEFAULT_WORKDIR, HERE, Folder, StudyName, Workdir, expand_flags
from automl.errors import DataError, Notify, StorageError
from automl.readers.settings import CompetitionSettings

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles
    from automl.data.competition import Competition


LEFT_OUT = "left out"


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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else, errors included.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option(help="Write what each image is taken for: path, id, split, label.")
    ] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Show what a competition's folder was understood to be, from what, and what follows for a search."""
    from automl.cli.workdir import format_path, get_study_files
    from automl.readers.read import read_competition

    notify = ignore_line if as_json else print_line
    if names_only:
        competition = read_competition(folder, settings)
        lines: Sequence[str] = competition.evidence
        for line in lines:
            notify(line)
    else:
        files = get_study_files(workdir, study or folder.resolve().name)
        competition, lines = _look(folder, settings, files, html=html, notify=notify)
    if table is not None:
        _write_label_table(competition, table)
        notify(f"wrote {format_path(table)}")
    if as_json:
        print_document(_build_document(competition, lines))


def _look(
    folder: Path, settings: CompetitionSettings, files: StudyFiles, *, html: bool, notify: Notify
) -> tuple[Competition, list[str]]:
    """Return the competition without broken images, and all lines about it."""
    from automl.cli.workdir import format_path
    from automl.data.cleaning import clean_competition
    from automl.data.duplicates import find_duplicates
    from automl.inspection.inspection import describe_inspection, inspect_competition
    from automl.inspection.prepare import survey_competition
    from automl.inspection.recommendations import recommend
    from automl.reports.inspection_page import write_inspection
    from runners.devices import count_cpus

    competition, survey = survey_competition(folder, settings, cache=files.cache, n_threads=count_cpus(), notify=notify)
    duplicates = find_duplicates(survey)
    usable = clean_competition(competition, survey, duplicates, skip_broken=True)
    inspection = inspect_competition(competition, survey, duplicates)
    lines = [*usable.evidence[len(competition.evidence) :], *describe_inspection(inspection)]
    lines += [recommendation.format_line() for recommendation in recommend(inspection)]
    for line in lines:
        notify(line)
    if html:
        write_inspection(inspection, files.inspection)
        notify(f"wrote {format_path(files.inspection)}")
    return usable, [*competition.evidence, *lines]


def _build_document(competition: Competition, lines: Sequence[str]) -> dict[str, Any]:
    """Build what a program reads of a competition."""
    from automl.files.evidence import sort_evidence

    evidence, template = sort_evidence(lines), competition.submission
    return {
        "task": competition.task.value,
        "classes": list(competition.classes),
        "n_train": len(competition.image_ids),
        "n_test": len(competition.test_ids),
        "n_left_out": len(competition.left_out),
        "labels_from": competition.labels_from,
        "images_from": competition.images_from,
        "metric": competition.metric.name,
        "submission": {"kind": template.submission_kind.value, "columns": list(template.header)},
        "groups": competition.grouped_by,
        "evidence": list(evidence.understood),
        "warnings": list(evidence.warnings),
        "flags": [{"flag": flag, "reason": reason} for flag, reason in evidence.suggestions],
    }


def _write_label_table(competition: Competition, path: Path) -> None:
    """Write what each image is taken for: its address below the folder, id, split and label, several joined by |."""
    from automl.artifacts import write_table

    root, target_kind, texts = competition.root, competition.target_kind, competition.label_texts

    def join_labels(target: Any) -> str:
        return "|".join(target_kind.list_cells(target, texts))

    train = (
        (
            image.relative_to(root).as_posix(),
            image_id,
            "train",
            competition.written_labels.get(image_id) or join_labels(target),
        )
        for image_id, image, target in zip(
            competition.image_ids, competition.image_paths, competition.targets, strict=True
        )
    )
    absent = set(competition.unreadable_test)
    test = (
        (image.relative_to(root).as_posix(), image_id, "test", "")
        for row, (image_id, image) in enumerate(zip(competition.test_ids, competition.test_paths, strict=True))
        if row not in absent
    )
    write_table(
        path, ("path", "id", "split", "label"), [*train, *test, *((p, "", LEFT_OUT, "") for p in competition.left_out)]
    )


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
    from automl.submission.validate import find_problems, find_warnings, require_test_images

    competition = read_competition(folder, settings)
    require_test_images(competition)
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
