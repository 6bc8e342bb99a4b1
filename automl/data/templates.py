"""The sample submission: what the competition wants to be handed in, read from the example that it gives.

Not responsible for: finding the images that its ids name (automl.data.layouts) or writing one (automl.ensemble).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from automl.data.competition import SubmissionKind, SubmissionTemplate
from automl.data.tables import Table, read_table
from automl.errors import DataError, listed

SAMPLE_PATTERNS = ("sample_submission*.csv", "samplesubmission*.csv", "*sample_submission*.csv")  # of the lowered name
RANKING_METRICS = frozenset({"roc_auc", "log_loss"})  # scored on a probability, never on a label

DEFAULT_METRICS = {
    SubmissionKind.PROBABILITY: "roc_auc",
    SubmissionKind.PROBABILITIES: "log_loss",
    SubmissionKind.LABEL: "accuracy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sample submission: the first column is the id, every other one a target."""

    table: Table

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.table.column(0))

    @property
    def id_column(self) -> str:
        return self.table.header[0]

    @property
    def target_columns(self) -> tuple[str, ...]:
        return self.table.header[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the sample submission means, given the training labels.

    Attributes:
        classes: (n_classes,) training labels in the order of the submission's columns.
        evidence: one line that says what is submitted and from what it was inferred.
    """

    kind: SubmissionKind
    classes: tuple[str, ...]
    evidence: str


def is_sample_name(name: str) -> bool:
    """Whether a file of that name would be a sample submission."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in SAMPLE_PATTERNS)


def read_sample(root: Path) -> Sample:
    """The one sample submission in a competition's folder.

    Raises:
        DataError: there is none, there are several, or it is no table of ids and targets.
    """
    table = read_table(_sample_path(root))
    if table.delimiter != ",":
        raise DataError(
            f"{table.name} is separated by {table.delimiter!r}, but a submission by commas",
            hint="save the sample submission with commas, as the competition gives it",
        )
    if len(table.header) < 2:
        raise DataError(
            f"{table.name} has one column alone: {listed(table.header)}",
            hint="restore the sample submission: ids first, then one or more target columns",
        )
    sample = Sample(table=table)
    _require_distinct_ids(sample)
    return sample


def interpret(sample: Sample, labels: Collection[str], metric_name: str | None) -> Submission:
    """What to submit: several target columns are probabilities of classes, one is a label or a probability.

    Args:
        labels: the distinct training labels, at least two.
        metric_name: the metric that the user named; it decides where the sample fits a label and a probability.

    Raises:
        DataError: the sample fits no kind of submission with these labels.
    """
    if len(sample.target_columns) > 1:
        return _probabilities(sample, labels)
    ordered = natural_order(labels)
    values = sorted({value.strip() for value in sample.table.column(1)} - {""})
    shown = _shown(values, sample)
    if all(value in labels for value in values):
        return _label_or_probability(values, ordered, metric_name, shown)
    if len(ordered) == 2 and all(_is_probability(value) for value in values):
        return _probability(ordered, f"from {shown}")
    strange = [value for value in values if value not in labels]
    raise DataError(
        f"{sample.name} holds {listed(strange)} in column {listed(sample.target_columns)}, "
        f"but the training labels are {listed(ordered)}",
        hint="check that labels and sample submission are of the same competition",
    )


def template_of(sample: Sample, kind: SubmissionKind) -> SubmissionTemplate:
    """The sample's form, copied from it byte for byte."""
    return SubmissionTemplate(header=sample.table.header, id_column=0, kind=kind, ids=sample.ids)


def natural_order(labels: Collection[str]) -> tuple[str, ...]:
    """Labels by number where all are integers, by their text otherwise."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _sample_path(root: Path) -> Path:
    paths = sorted(path for path in root.iterdir() if is_sample_name(path.name) and not path.name.startswith("."))
    plain = [path for path in paths if path.stem.lower() in ("sample_submission", "samplesubmission")]
    chosen = plain if len(plain) == 1 else paths
    if not chosen:
        raise DataError(
            f"{root} holds no sample submission (sample_submission.csv, sampleSubmission.csv)",
            hint="put the competition's sample submission there; it says which images to predict, and in what form",
        )
    if len(chosen) > 1:
        raise DataError(
            f"{root} holds {len(chosen)} sample submissions: {listed([path.name for path in chosen])}",
            hint="leave the one that is to be filled in, and move the others away",
        )
    return chosen[0]


def _require_distinct_ids(sample: Sample) -> None:
    first_lines: dict[str, int] = {}
    for image_id, line in zip(sample.ids, sample.table.lines, strict=True):
        if not image_id.strip():
            raise DataError(f"{sample.name} has a blank id in line {line}", hint="restore the sample submission")
        if first_lines.setdefault(image_id, line) != line:
            raise DataError(
                f"{sample.name} names {listed([image_id])} in lines {first_lines[image_id]} and {line}",
                hint="restore the sample submission: each id has one row",
            )


def _probabilities(sample: Sample, labels: Collection[str]) -> Submission:
    classes = tuple(column.strip() for column in sample.target_columns)
    unknown = [column for column in classes if column not in labels]
    absent = [label for label in natural_order(labels) if label not in classes]
    hint = "check that labels and sample submission are of the same competition"
    if unknown:
        columns = "column" if len(unknown) == 1 else f"{len(unknown)} columns"
        raise DataError(f"{sample.name} has {columns} without a training image: {listed(unknown)}", hint=hint)
    if absent:
        raise DataError(f"{sample.name} has no column for the training labels {listed(absent)}", hint=hint)
    evidence = f"submission: a probability for each of {len(classes)} classes, from the columns of {sample.name}"
    return Submission(kind=SubmissionKind.PROBABILITIES, classes=classes, evidence=evidence)


def _label_or_probability(
    values: Sequence[str], classes: tuple[str, ...], metric_name: str | None, shown: str
) -> Submission:
    """The case of a sample whose values, if it has any, are all training labels."""
    if len(classes) > 2 or not all(_is_probability(value) for value in values):
        return _label(classes, f"from {shown}")
    if metric_name in RANKING_METRICS:
        return _probability(classes, f"because of the metric {metric_name}; {shown} would fit a label as well")
    return _label(
        classes, f"from {shown}, which would fit a probability as well; the metric roc_auc would ask for that"
    )


def _label(classes: tuple[str, ...], reason: str) -> Submission:
    evidence = f"submission: the label itself, {reason}"
    return Submission(kind=SubmissionKind.LABEL, classes=classes, evidence=evidence)


def _probability(classes: tuple[str, ...], reason: str) -> Submission:
    evidence = f"submission: probability of '{listed(classes[1:])}', {reason}"
    return Submission(kind=SubmissionKind.PROBABILITY, classes=classes, evidence=evidence)


def _shown(values: list[str], sample: Sample) -> str:
    if not values:
        return f"{sample.name} (blank in every row)"
    every = f"{listed(values)} in every row" if len(values) == 1 else listed(values)
    return f"{sample.name} ({every})"


def _is_probability(value: str) -> bool:
    try:
        return 0.0 <= float(value) <= 1.0
    except ValueError:
        return False
