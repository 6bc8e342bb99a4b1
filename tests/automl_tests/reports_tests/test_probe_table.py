"""Probes in status and report: the best first, what was skipped and why, and whether trials agree with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.probing.probe_job import COMPLETED, SKIPPED, ProbeCandidate, ProbeReport
from automl.probing.probe_study import ProbeTerms, open_probe_study
from automl.reports.probe_table import format_probe_rows, render_probe_status
from automl.reports.study_page import write_report
from automl.study.study import open_study, read_study
from tests.automl_tests.study_tests.studies import TERMS
from tests.conftest import automl_here

TERMS_OF_PROBES = ProbeTerms(competition_fingerprint="f", metric="accuracy", direction="maximize", seed=0)


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    """Four probes, the last of which was skipped, and no trials yet."""
    files = StudyFiles(tmp_path / "automl_runs" / "leaf")
    files.root.mkdir(parents=True)
    with open_probe_study(files, TERMS_OF_PROBES) as probes:
        candidates = [ProbeCandidate(f"resnet{depth}", 160) for depth in (18, 34, 50, 101)]
        for (number, candidate), score in zip(probes.begin(candidates).items(), (0.7, 0.8, 0.9, None), strict=True):
            report = ProbeReport(number=number, candidate=candidate, outcome=SKIPPED, reason="no weights <here>")
            if score is not None:
                report = ProbeReport(
                    number=number,
                    candidate=candidate,
                    outcome=COMPLETED,
                    score=score,
                    score_error=0.011,
                    head="linear",
                    ms_per_image=12.345,
                    seconds=65.0,
                    image_size=168,
                )
            probes.record(report)
    return files


def add_trials(files: StudyFiles, scores: dict[str, float]) -> None:
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    with open_study(files, TERMS) as study:
        for backbone, score in scores.items():
            distributions = {"backbone": CategoricalDistribution(sorted(scores))}
            study.optuna_study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE, value=score, params={"backbone": backbone}, distributions=distributions
                )
            )


def test_status_shows_probes_alone_before_there_are_trials(files: StudyFiles, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "status")
    assert finished.exit_code == 0, finished.output
    assert "3 probes, 1 skipped" in finished.stdout
    rows = [line.split() for line in finished.stdout.splitlines() if "168 px" in line]
    assert rows[0][:2] == ["2", "resnet50"] and "0.9000" in rows[0] and "0.0110" in rows[0] and "12.3" in rows[0]
    assert [row[0] for row in rows] == ["2", "1", "0"]
    assert "skipped: resnet101 at 160 px: no weights <here>" in finished.stdout


def test_the_agreement_of_probes_and_trials_is_spearmans(files: StudyFiles) -> None:
    add_trials(files, {"resnet18": 0.9, "resnet34": 0.95, "resnet50": 0.99})
    lines = [part for part in render_probe_status(read_study(files), files, top=10) if isinstance(part, str)]
    assert lines[-1] == "probes and trials agree, 1.00 (Spearman's correlation of 3 pairs)"
    files.study_db.unlink()


def test_too_few_pairs_have_no_agreement(files: StudyFiles) -> None:
    add_trials(files, {"resnet18": 0.9, "resnet34": 0.95})
    parts = list(render_probe_status(read_study(files), files, top=10))
    assert not any("agree" in part for part in parts if isinstance(part, str))


def test_the_page_has_a_section_with_their_table(files: StudyFiles) -> None:
    add_trials(files, {"resnet18": 0.99, "resnet34": 0.95, "resnet50": 0.9})
    write_report(read_study(files), files)
    page = files.report.read_text()
    assert "<h2>Probes</h2>" in page and "resnet50" in page and "12.3" in page
    assert "agree, -1.00" in page


def test_a_size_that_the_backbone_could_not_take_is_shown_as_it_was_used() -> None:
    candidate = ProbeCandidate("vit", 220, "mirror")
    report = ProbeReport(number=1, candidate=candidate, outcome=COMPLETED, score=0.5, image_size=224)
    assert format_probe_rows([report])[0][2] == "224 px"
