"""`automl status`, `automl report` and `automl dashboard` as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.reports import dashboard
from automl.study.study import open_study
from tests.automl_tests.study_tests.studies import SPACE, TERMS
from tests.conftest import automl_here


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    """A study with three complete trials, the second one the best, and one that failed."""
    files = StudyFiles(tmp_path / "automl_runs" / "leaf")
    with open_study(files, TERMS, sampler="random") as study:
        for score in (0.5, 0.9, 0.7, None):
            trial = study.ask(SPACE)
            SPACE(trial)
            if score is None:
                trial.set_user_attr("fail_reason", "out of memory \x1b[2J")
            study.tell(trial, TrialState.COMPLETE if score else TrialState.FAIL, score)
    return files


def test_status_shows_the_best_trials_first_and_why_others_failed(files: StudyFiles, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "status", "--top", "2")
    assert finished.exit_code == 0, finished.output
    assert "study 'leaf': accuracy (maximize), space tiny, 9 epochs" in finished.stdout
    assert "4 trials: " in finished.stdout and "3 complete" in finished.stdout
    rows = [line.split()[:2] for line in finished.stdout.splitlines() if line.split()[:1] in (["0"], ["1"], ["2"])]
    assert rows == [["1", "0.9000"], ["2", "0.7000"]]
    assert "trial 3 failed: out of memory \\x1b[2J" in finished.stdout


def test_a_report_is_one_page_in_the_studys_folder(files: StudyFiles, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "report")
    assert (finished.exit_code, finished.stdout) == (0, "wrote automl_runs/leaf/report.html\n")
    assert "leaf" in files.report.read_text()


def test_the_dashboard_prints_its_address_before_it_serves(
    files: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        server_port = 4321

        def serve_forever(self) -> None:
            raise KeyboardInterrupt

    ports: list[int] = []
    monkeypatch.setattr(dashboard, "serve_dashboard", lambda files, port: ports.append(port) or Server())
    finished = automl_here(tmp_path, "dashboard", "--port", "4321")
    assert (finished.exit_code, ports) == (130, [4321])
    assert finished.stdout == "dashboard of study 'leaf': http://127.0.0.1:4321/ (Ctrl-C ends it)\n"


@pytest.mark.parametrize("command", ["status", "report", "dashboard"])
def test_without_a_study_there_is_nothing_to_show(command: str, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, command)
    assert finished.exit_code == 2
    assert "holds 0 studies" in finished.stderr
