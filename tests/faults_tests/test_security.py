"""Hostile input: names that leave their folder, names that are markup or terminal codes, secrets, open ports."""

from __future__ import annotations

import ast
import re
import socket
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest

from automl.artifacts import StudyFiles
from automl.reports.dashboard import serve_dashboard
from automl.reports.study_page import write_report
from automl.study.study import TERMS as TERMS_ATTRIBUTE
from automl.study.study import read_terms
from runners.inline import InlineRunner
from tests.automl_tests.small_competitions import put_csv, put_images
from tests.faults_tests.programs import ROOT, files_of, run, run_in_terminal, search_command
from tests.soak import driver
from tests.soak.space import TERMS

pytestmark = pytest.mark.slow

CANARIES = ("<script>canary()</script>", '"><img src=x onerror=canary()>', "</script><img src=x onerror=canary()>")


@pytest.mark.parametrize("name", ["../outside", "out\x1b[2Jside"])
def test_a_study_whose_name_leaves_its_folder_is_refused_and_nothing_is_written(name: str, work: Path) -> None:
    before = sorted(work.rglob("*"))
    code, printed = run_in_terminal(search_command(work, "--study", name))
    assert code == 3, printed
    assert "cannot name a study" in printed
    assert "\x1b" not in printed
    assert sorted(work.rglob("*")) == sorted([*before, work / "mine.py"])


class Elements(HTMLParser):
    """Counts the elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        self.found.update(f"{tag} {name}" for name, _ in attributes)


def elements_of(names: tuple[str, ...], files: StudyFiles) -> Counter[str]:
    """The elements of the report on a study that has these names in every place where a name can be."""
    study = optuna.create_study(study_name=names[0], direction="maximize")
    study.set_user_attr(TERMS_ATTRIBUTE, asdict(TERMS) | {"metric": names[1]})
    assert read_terms(study).metric == names[1]
    for number in range(12):
        trial = study.ask()
        for name in names:
            trial.suggest_categorical(name, names)
        trial.suggest_float(f"{names[2]} rate", 0.0, 1.0)
        trial.set_user_attr(names[0], names[1])
        trial.report(number / 12, 0)
        study.tell(trial, number / 12)
    files.root.mkdir()
    write_report(study, files)
    page = Elements()
    page.feed(files.report.read_text())
    return page.found


def test_markup_in_names_and_values_makes_no_element_of_the_report(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "hostile")
    assert elements_of(CANARIES, files) == elements_of(("one", "two", "three"), StudyFiles(tmp_path / "harmless"))
    page = files.report.read_text()
    assert not [canary for canary in CANARIES if canary in page]
    assert "default-src 'none'" in page


@pytest.mark.parametrize("fault", ["unreadable", "unlabelled"])
def test_terminal_codes_in_file_names_reach_no_terminal(fault: str, work: Path) -> None:
    name = "\x1b[2J\x1b]0;owned\x07leaf"
    if fault == "unreadable":
        (work / "leaves" / "train" / "t0.png").rename(work / "leaves" / "train" / f"{name}.png")
        (work / "leaves" / "train" / f"{name}.png").write_bytes(b"no image")
        table = work / "leaves" / "train.csv"
        table.write_text(table.read_text().replace("t0,", f"{name},"))
    else:
        put_csv(work / "leaves" / "train.csv", "id,label", *(f"{name}{n},cat" for n in range(9)), "t1,dog")
    code, printed = run_in_terminal(search_command(work))
    assert code == 3, printed
    assert "leaf" in printed
    assert "\x1b" not in printed


@pytest.mark.slow
def test_terminal_codes_in_class_names_reach_no_terminal(work: Path, mark: str) -> None:
    labels = [f"{n},\x1b[2Jcat" if n % 2 else f"{n},\x1b[2Jdog" for n in range(15)]
    put_images(work / "leaves", [f"train/{n}.png" for n in range(16)])
    put_csv(work / "leaves" / "train.csv", "id,label", *labels, "15,\x1b[2Jrare")
    put_csv(work / "leaves" / "sample_submission.csv", "id,label", "s0,\x1b[2Jcat", "s1,\x1b[2Jcat")
    code, printed = run_in_terminal(search_command(work, trials=1), mark=mark)
    assert code == 0, printed
    assert "rare" in printed
    assert "\x1b" not in printed


def test_terminal_codes_that_a_failed_trial_printed_reach_no_terminal(work: Path, mark: str) -> None:
    command = search_command(work, trials=1)
    finished = run(command, mark=mark, faults={"0": "raise_with_codes"})
    shown = run([*command[:3], "status", "--workdir", str(work / "runs")])
    assert "owned" in finished.stdout and "owned" in shown.stdout
    assert "\x1b" not in finished.stdout + finished.stderr + shown.stdout


def test_the_dashboard_listens_to_this_machine_alone(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "leaf")
    driver.run(files, InlineRunner(), n_trials=1)
    server = serve_dashboard(files, port=0)
    try:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert server.socket.family is socket.AF_INET
    finally:
        server.server_close()


def test_secrets_of_the_environment_are_in_no_file_and_no_line(
    work: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "KAGGLE_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-of-a-secret")
    command = search_command(work, trials=3)
    finished = run(command, mark=mark, faults={"1": "raise"})
    assert finished.returncode == 0, finished.stderr
    run([*command[:3], "report", "--workdir", str(work / "runs")])
    assert (files_of(work).report).exists()
    written = [path for path in (work / "runs").rglob("*") if path.is_file()]
    assert [path for path in written if b"canary-of-a-secret" in path.read_bytes()] == []
    assert "canary-of-a-secret" not in finished.stdout + finished.stderr


def test_no_source_unpacks_an_archive() -> None:
    sources = [path for name in ("automl", "runners") for path in (ROOT / name).rglob("*.py")]
    for path in sources:
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        assert not {name for name in called if re.search(r"\.extract(all)?$|unpack_archive|tarfile", name)}, path
