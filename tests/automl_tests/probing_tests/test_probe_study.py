"""The second study: probes are begun, recorded once, ranked, and bound to one competition and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.errors import UsageError
from automl.probing.probe_job import COMPLETED, SKIPPED, ProbeCandidate, ProbeReport
from automl.probing.probe_study import ProbeTerms, list_probe_scores, open_probe_study, read_probe_study
from automl.study.study import open_study, read_study
from tests.automl_tests.study_tests.studies import TERMS

PROBE_TERMS = ProbeTerms(competition_fingerprint="f", metric="log_loss", direction="minimize", seed=0)
A, B = ProbeCandidate("resnet18", 160), ProbeCandidate("resnet34", 224)


def completed(number: int, candidate: ProbeCandidate, score: float) -> ProbeReport:
    return ProbeReport(
        number=number,
        candidate=candidate,
        outcome=COMPLETED,
        score=score,
        score_error=0.01,
        head="linear",
        ms_per_image=2.0,
        seconds=3.0,
    )


def make_folder(root: Path) -> StudyFiles:
    """A study's folder as its lock makes it."""
    root.mkdir()
    return StudyFiles(root)


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return make_folder(tmp_path / "leaf")


def test_probes_lie_beside_the_trials_in_one_file_and_these_stay_what_they_are(files: StudyFiles) -> None:
    with open_study(files, TERMS), open_probe_study(files, PROBE_TERMS) as probes:
        (number,) = probes.begin([A])
        probes.record(completed(number, A, 0.3))
    names = optuna.study.get_all_study_names(f"sqlite:///{files.study_db}")
    assert sorted(names) == ["leaf", "leaf-probes"]
    assert read_study(files).get_trials() == []
    (trial,) = optuna.load_study(study_name="leaf-probes", storage=f"sqlite:///{files.study_db}").get_trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.3)
    assert trial.params == {"backbone": "resnet18", "image_size": 160, "view": "identity"}
    assert trial.user_attrs["head"] == "linear" and trial.user_attrs["ms_per_image"] == 2.0


def test_what_is_done_is_not_begun_again_and_what_was_interrupted_keeps_its_number(files: StudyFiles) -> None:
    with open_probe_study(files, PROBE_TERMS) as probes:
        assert probes.begin([A, B]) == {0: A, 1: B}
        probes.record(completed(0, A, 0.3))
    with open_probe_study(files, PROBE_TERMS) as probes:
        assert probes.begin([B, A, replace(A, image_size=192)]) == {1: B, 2: replace(A, image_size=192)}


def test_a_report_that_comes_twice_is_recorded_once(files: StudyFiles) -> None:
    with open_probe_study(files, PROBE_TERMS) as probes:
        probes.begin([A])
        probes.record(completed(0, A, 0.3))
        probes.record(completed(0, A, 0.9))
        assert [report.score for report in probes.list_reports()] == [0.3]


def test_reports_are_best_first_whichever_way_the_metric_points(files: StudyFiles, tmp_path: Path) -> None:
    for direction, expected in (("minimize", [1, 0]), ("maximize", [0, 1])):
        with open_probe_study(make_folder(tmp_path / direction), replace(PROBE_TERMS, direction=direction)) as probes:
            probes.begin([A, B])
            probes.record(completed(0, A, 0.3))
            probes.record(completed(1, B, 0.2))
            assert [report.number for report in probes.list_reports()] == expected


def test_what_had_no_time_is_skipped_and_can_be_made_later(files: StudyFiles) -> None:
    with open_probe_study(files, PROBE_TERMS) as probes:
        probes.begin([A, B])
        probes.record(ProbeReport(number=0, candidate=A, outcome=SKIPPED, reason="no weights"))
        assert [report.candidate for report in probes.record_unfinished("no time left")] == [B]
        assert {report.reason for report in probes.list_skipped()} == {"no weights", "no time left"}
        assert probes.begin([B]) == {2: B}
        probes.record(completed(2, B, 0.2))
        assert [report.candidate for report in probes.list_skipped()] == [A]


def test_probes_of_another_split_or_metric_are_refused(files: StudyFiles) -> None:
    with open_probe_study(files, PROBE_TERMS):
        pass
    for name, other in (("seed", replace(PROBE_TERMS, seed=1)), ("metric", replace(PROBE_TERMS, metric="accuracy"))):
        with pytest.raises(UsageError, match=f"made with another {name}"), open_probe_study(files, other):
            pass


def test_evidence_has_the_best_score_of_each_backbone_and_size_greater_being_better(files: StudyFiles) -> None:
    mirrored = replace(A, view="mirror")
    with open_probe_study(files, PROBE_TERMS) as probes:
        probes.begin([A, mirrored, B])
        for number, (candidate, score) in enumerate([(A, 0.3), (mirrored, 0.25), (B, 0.4)]):
            probes.record(completed(number, candidate, score))
        scores = [(own.backbone, own.image_size, own.score) for own in list_probe_scores(probes, sign=-1.0)]
    assert scores == [("resnet18", 160, -0.25), ("resnet34", 224, -0.4)]


def test_a_folder_without_probes_has_none_and_one_with_probes_alone_says_so(files: StudyFiles) -> None:
    assert read_probe_study(files) is None
    with open_probe_study(files, PROBE_TERMS):
        pass
    probes = read_probe_study(files)
    assert probes is not None and probes.list_reports() == []
    with pytest.raises(UsageError, match="holds probes alone"):
        read_study(files)
