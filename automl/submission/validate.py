"""What is worth a look in a submission that would be accepted: signs that it is not what was meant.

Not responsible for: what a scorer would refuse (automl.submission.check_file, automl.submission.check_values).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from automl.data.competition import Competition, SubmissionKind
from automl.errors import DataError, listed
from automl.files.tables import Table, find_tables, read_header, read_table
from automl.readers.submission_template import is_sample_name
from automl.submission.check_file import Row, SubmissionFile, id_problems, read_back
from automl.submission.check_values import number_in, targets_of, value_problems
from automl.submission.decide import takes_decisions

MIN_DIGITS = 8  # Source: mle-bench's graders ask for sums within 1e-6; a float32 has no more than nine
Rows = list[tuple[Row, list[str]]]


def remarks_on(competition: Competition, file: SubmissionFile) -> list[str]:
    """Remarks on a file without problems, a line each."""
    rows = list(targets_of(competition, file))
    found = [*_about_order(competition, file), *_about_sample(competition, file)]
    match competition.submission.kind:
        case SubmissionKind.PROBABILITY | SubmissionKind.PROBABILITIES:
            found += [*_about_digits(competition, rows), *_about_certainty(competition, rows), *_about_constancy(rows)]
        case SubmissionKind.VALUES:
            found += _about_constancy(rows)
        case _ if competition.submission.cells is None:
            found += [*_about_classes(competition, rows), *_about_constancy(rows)]
            found += [*_about_short_rankings(competition, rows), *_about_blanks(competition, rows)]
        case _:
            found += _about_constancy(rows)
    return found


def _about_order(competition: Competition, file: SubmissionFile) -> Iterable[str]:
    template = competition.submission
    column = file.positions[template.id_column]
    for row, own_id in zip(file.rows, template.ids, strict=True):
        if row.values[column] != own_id:
            yield (
                f"from line {row.line} on the rows are in another order than the sample's; scorers join them by id, "
                f"so this does no harm"
            )
            return


def _about_sample(competition: Competition, file: SubmissionFile) -> Iterable[str]:
    """Whether it is the sample itself."""
    own = {row.values[file.positions[competition.submission.id_column]]: row.values for row in file.rows}
    id_column = competition.submission.id_column
    for table in _samples(competition):
        alike = (_is_alike(own.get(row[id_column]), row, file) for row in table.rows)
        if len(table.rows) == len(own) and all(alike):
            yield f"all values are those of {table.name}: the sample itself is handed in"


def _samples(competition: Competition) -> Iterable[Table]:
    """Sample submissions of the folder that have the header; none where the folder is gone.

    Not other tables: the file that is looked at may itself lie in the folder.
    """
    if not competition.root.is_dir():
        return
    try:
        tables = find_tables(competition.root)
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
    number = number_in(first)
    return number is not None and number == number_in(second)


def _about_digits(competition: Competition, rows: Rows) -> Iterable[str]:
    """Rounded probabilities; a metric that is best served by 0 and 1 needs no digits."""
    if takes_decisions(competition):
        return
    most = 0
    for _, values in rows:
        for text in values:
            most = max(most, _significant_digits(text))
            if most >= MIN_DIGITS:
                return
    yield (
        f"no probability has more than {most} significant digit{'s' if most != 1 else ''}: rounding makes ties, and "
        f"costs log loss; write {MIN_DIGITS} or more"
    )


def _significant_digits(text: str) -> int:
    mantissa = text.strip().lstrip("+-").lower().partition("e")[0]
    return len(mantissa.replace(".", "").lstrip("0"))


def _about_certainty(competition: Competition, rows: Rows) -> Iterable[str]:
    """Probabilities of 0 and 1, which cost most where they are wrong and the score is a log loss."""
    if "log_loss" not in competition.metric.name:
        return
    lines = [row.line for row, values in rows if any(number_in(text) in (0.0, 1.0) for text in values)]
    if lines:
        many = f"{len(lines)} lines have" if len(lines) > 1 else "1 line has"
        yield (f"{many} probabilities of exactly 0 or 1, first line {lines[0]}: a wrong one costs 34.5 under log loss")


def _about_constancy(rows: Rows) -> Iterable[str]:
    if len(rows) > 1 and all(values == rows[0][1] for _, values in rows):
        yield f"all {len(rows)} rows hold the same: {listed(rows[0][1])}"


def _about_blanks(competition: Competition, rows: Rows) -> Iterable[str]:
    """Empty lists of labels, which scorers read as no label at all."""
    lines = [row.line for row, values in rows if not "".join(values).strip()]
    if lines and competition.scorer.facts.always_labelled:
        alike = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        yield f"line {lines[0]} has no label, but every training image has one{alike}"


def _about_classes(competition: Competition, rows: Rows) -> Iterable[str]:
    """Classes that the training images have and the file does not, where there are rows enough for all."""
    ranked = competition.submission.kind is not SubmissionKind.LABEL
    named = Counter(token for _, values in rows for text in values for token in (text.split() if ranked else [text]))
    never = [name for name in competition.classes if name not in named]
    if never and len(rows) >= competition.n_classes:
        yield f"{len(never)} of {competition.n_classes} classes are never named: {listed(never)}"


def _about_short_rankings(competition: Competition, rows: Rows) -> Iterable[str]:
    if competition.submission.kind is not SubmissionKind.RANKING:
        return
    wanted = min(competition.submission.n_ranked, competition.n_classes)
    lines = [row.line for row, values in rows if len(values[0].split()) < wanted]
    if lines:
        many = f"{len(lines)} lines name" if len(lines) > 1 else "1 line names"
        yield f"{many} fewer than {wanted} classes, first line {lines[0]}: each further one may score"


def problems(competition: Competition, content: bytes) -> list[str]:
    """Everything for which a scorer would refuse the file: a line for each kind, with the first line that offends.

    Empty where the file would be accepted.
    """
    file = read_back(content, competition.submission)
    if not file.header:
        return file.problems
    ids = id_problems(file, competition.submission)
    return [*file.problems, *ids, *value_problems(competition, file)]


def remarks(competition: Competition, content: bytes) -> list[str]:
    """What is worth a look in a file that would be accepted, a line each; nothing for a file with problems."""
    if problems(competition, content):
        return []
    return remarks_on(competition, read_back(content, competition.submission))
