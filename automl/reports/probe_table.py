"""Tables of a study's probes for the terminal and the page, and how far probes and trials agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from automl.artifacts import StudyFiles
from automl.probing.probe_job import ProbeReport
from automl.probing.probe_study import ProbeStudy, list_probe_scores, read_probe_study
from automl.study.deadline import format_duration
from automl.study.probe_evidence import compute_rank_correlation, pair_probes_and_trials

COLUMNS = ("probe", "backbone", "size", "view", "head", "score", "error", "ms/image", "time")
FIRST_NUMBER = 5  # of the columns, from which on they hold numbers


def render_probe_status(study: optuna.Study | None, files: StudyFiles, *, top: int) -> Iterator[str | Table]:
    """Yield how many probes there are, the best of them, what was skipped, and whether trials agree with them.

    Args:
        study: of the trials, or None where there are none yet.
    """
    probes = read_probe_study(files)
    if probes is None:
        return
    completed, skipped = probes.list_reports(), probes.list_skipped()
    yield f"{len(completed)} probes, {len(skipped)} skipped"
    if completed:
        yield build_probe_table(completed[:top])
    for reason, names in _group_by_reason(skipped).items():
        yield f"skipped: {', '.join(names)}: {reason}"
    if study is not None and (agreement := describe_agreement(probes, study)):
        yield agreement


def build_probe_table(reports: Sequence[ProbeReport]) -> Table:
    """Build the table of probes in their order."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if index >= FIRST_NUMBER else "left")
    for row in format_probe_rows(reports):
        table.add_row(*row)
    return table


def format_probe_rows(reports: Iterable[ProbeReport]) -> list[list[str]]:
    """Format a row of COLUMNS for each probe."""
    return [
        [
            str(report.number),
            report.candidate.backbone,
            f"{report.image_size or report.candidate.image_size} px",
            report.candidate.view,
            report.head or "",
            f"{report.value:.4f}",
            f"{report.score_error or 0.0:.4f}",
            f"{report.ms_per_image or 0.0:.3g}",
            format_duration(report.seconds or 0.0),
        ]
        for report in reports
    ]


def describe_agreement(probes: ProbeStudy, study: optuna.Study) -> str | None:
    """Return Spearman's correlation of probes and complete trials in a line; None where there are too few pairs."""
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MINIMIZE else 1.0
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [(trial.params, sign * _get_value(trial)) for trial in complete]
    pairs = pair_probes_and_trials(list_probe_scores(probes, sign=sign), trials)
    correlation = compute_rank_correlation([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    if correlation is None:
        return None
    return f"probes and trials agree, {correlation:.2f} (Spearman's correlation of {len(pairs)} pairs)"


def _get_value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _group_by_reason(skipped: Iterable[ProbeReport]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for report in skipped:
        groups.setdefault(report.reason, []).append(str(report.candidate))
    return groups
