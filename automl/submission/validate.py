"""Validate a submission: problems for which a scorer would refuse it, and warnings where it may be a mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from automl.data.competition import Competition, SubmissionKind
from automl.errors import DataError, join_names
from automl.files.tables import Table, find_tables, read_header, read_table
from automl.readers.submission_template import is_sample_name
from automl.submission.check_file import Row, SubmissionFile, find_id_problems, parse_submission
from automl.submission.check_values import find_value_problems, iterate_values, parse_number
from automl.submission.decide import is_decided_by_fitted_rule

MIN_DIGITS = 8  # Source: mle-bench's graders ask for sums within 1e-6; a float32 has no more than nine
Rows = list[tuple[Row, list[str]]]


def require_test_images(competition: Competition) -> None:
    """Require test images, without which nothing can be submitted.

    Raises:
        DataError: there are none.
    """
    if not competition.has_test_images:
        raise DataError(
            f"{competition.root} has no test images, so that there is nothing to submit",
            hint="predict new images instead: automl predict FOLDER",
        )


def find_problems(competition: Competition, content: bytes) -> list[str]:
    """Find all for which a scorer would refuse the file: a line for each type of problem, with the first line at fault.

    Empty where the file would be accepted.
    """
    file = parse_submission(content, competition.submission)
    if not file.header:
        return file.problems
    ids = find_id_problems(file, competition.submission)
    return [*file.problems, *ids, *find_value_problems(competition, file)]


def find_warnings(competition: Competition, content: bytes) -> list[str]:
    """Find what is suspicious in a file that would be accepted, a line each; nothing for a file with problems."""
    if find_problems(competition, content):
        return []
    return _warn(competition, parse_submission(content, competition.submission))


def _warn(competition: Competition, file: SubmissionFile) -> list[str]:
    """Warnings about a file without problems, a line each."""
    rows = list(iterate_values(competition, file))
    found = [*_warn_of_order(competition, file), *_warn_of_sample(competition, file)]
    match competition.submission.submission_kind:
        case SubmissionKind.PROBABILITY | SubmissionKind.PROBABILITIES:
            found += [
                *_warn_of_digits(competition, rows),
                *_warn_of_certainty(competition, rows),
                *_warn_of_constancy(rows),
            ]
        case SubmissionKind.VALUES:
            found += _warn_of_constancy(rows)
        case SubmissionKind.LABEL if competition.heads:
            found += _warn_of_constancy(rows)
        case _ if not competition.has_flags:
            found += [*_warn_of_classes(competition, rows), *_warn_of_constancy(rows)]
            found += [*_warn_of_short_rankings(competition, rows), *_warn_of_blanks(competition, rows)]
        case _:
            found += _warn_of_constancy(rows)
    return found


def _warn_of_order(competition: Competition, file: SubmissionFile) -> Iterable[str]:
    template = competition.submission
    column = file.positions[template.id_column]
    for row, own_id in zip(file.rows, template.ids, strict=True):
        if row.values[column] != own_id:
            yield (
                f"from line {row.line} on the rows are in another order than the sample's; scorers join them by id, "
                f"so this does no harm"
            )
            return


def _warn_of_sample(competition: Competition, file: SubmissionFile) -> Iterable[str]:
    """Whether it is the sample itself."""
    own = {row.values[file.positions[competition.submission.id_column]]: row.values for row in file.rows}
    id_column = competition.submission.id_column
    for table in _read_samples(competition):
        alike = (_is_alike(own.get(row[id_column]), row, file) for row in table.rows)
        if len(table.rows) == len(own) and all(alike):
            yield f"all values are those of {table.name}: the sample itself is submitted"


def _read_samples(competition: Competition) -> Iterable[Table]:
    """Sample submissions of the folder that have the header; none where the folder is gone.

    Not other tables: the file that is validated may itself lie in the folder.
    """
    if not competition.root.is_dir():
        return
    try:
        tables = find_tables(competition.root, follow_links=True)  # as allowed when the competition was read
    except DataError:
        return
    for path in (path for name, path in tables.items() if is_sample_name(name)):
        try:
            if read_header(path) == competition.submission.header:
                yield read_table(path)
        except DataError:
            continue


def _is_alike(own: list[str] | None, row: tuple[str, ...], file: SubmissionFile) -> bool:
    if own is None:
        return False
    values = (own[at] for at in file.positions)
    return all(a == b or _is_same_number(a, b) for a, b in zip(values, row, strict=True))


def _is_same_number(first: str, second: str) -> bool:
    number = parse_number(first)
    return number is not None and number == parse_number(second)


def _warn_of_digits(competition: Competition, rows: Rows) -> Iterable[str]:
    """Rounded probabilities; a metric that is best served by 0 and 1 needs no digits."""
    if is_decided_by_fitted_rule(competition):
        return
    most = 0
    for _, values in rows:
        for text in values:
            most = max(most, _count_digits(text))
            if most >= MIN_DIGITS:
                return
    yield (
        f"no probability has more than {most} significant digit{'s' if most != 1 else ''}: rounding makes ties, and "
        f"costs log loss; write {MIN_DIGITS} or more"
    )


def _count_digits(text: str) -> int:
    mantissa = text.strip().lstrip("+-").lower().partition("e")[0]
    return len(mantissa.replace(".", "").lstrip("0"))


def _warn_of_certainty(competition: Competition, rows: Rows) -> Iterable[str]:
    """Probabilities of 0 and 1, which cost most where they are wrong and the score is a log loss."""
    if "log_loss" not in competition.metric.name:
        return
    lines = [row.line for row, values in rows if any(parse_number(text) in (0.0, 1.0) for text in values)]
    if lines:
        many = f"{len(lines)} lines have" if len(lines) > 1 else "1 line has"
        yield (f"{many} probabilities of exactly 0 or 1, first line {lines[0]}: a wrong one costs 34.5 under log loss")


def _warn_of_constancy(rows: Rows) -> Iterable[str]:
    if len(rows) > 1 and all(values == rows[0][1] for _, values in rows):
        yield f"all {len(rows)} rows hold the same: {join_names(rows[0][1])}"


def _warn_of_blanks(competition: Competition, rows: Rows) -> Iterable[str]:
    """Empty lists of labels, which scorers read as no label at all."""
    lines = [row.line for row, values in rows if not any(map(competition.submission.split_labels, values))]
    if lines and competition.scorer.context.always_labelled:
        alike = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        yield f"line {lines[0]} has no label, but every training image has one{alike}"


def _warn_of_classes(competition: Competition, rows: Rows) -> Iterable[str]:
    """Classes that the training images have and the file does not, where there are rows enough for all."""
    is_one = competition.submission.submission_kind is SubmissionKind.LABEL
    split: Callable[[str], list[str]] = (lambda text: [text]) if is_one else competition.submission.split_labels
    named = Counter(token for _, values in rows for text in values for token in split(text))
    never = [name for name in competition.classes if name not in named]
    if never and len(rows) >= competition.n_classes:
        yield f"{len(never)} of {competition.n_classes} classes are never named: {join_names(never)}"


def _warn_of_short_rankings(competition: Competition, rows: Rows) -> Iterable[str]:
    if competition.submission.submission_kind is not SubmissionKind.RANKING:
        return
    wanted = min(competition.submission.n_ranked, competition.n_classes)
    split = competition.submission.split_labels
    lines = [row.line for row, values in rows if len(split(values[0])) < wanted]
    if lines:
        many = f"{len(lines)} lines name" if len(lines) > 1 else "1 line names"
        yield f"{many} fewer than {wanted} classes, first line {lines[0]}: each further one may score"
