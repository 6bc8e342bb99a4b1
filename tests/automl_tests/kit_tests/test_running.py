"""A kit at work in this process: the very submission again, hidden test sets, and what is wrong with images."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import read_json, write_json
from automl.errors import DataError, UnfitEnvironmentError
from automl.kit import running
from automl.kit.manifest import KitFiles
from automl.kit.running import KitRun, run_kit
from tests.automl_tests.kit_tests.worlds import CLASSES, N_TEST, World, put_folder, submitted
from tests.automl_tests.small_competitions import put_csv

pytestmark = pytest.mark.slow

SAME = "it is byte for byte the submission that the ensemble wrote"


def probabilities(content: bytes) -> np.ndarray:
    return np.array([[float(row[name]) for name in CLASSES] for row in csv.DictReader(io.StringIO(content.decode()))])


def test_the_same_images_give_the_same_submission_byte_for_byte(world: World, kit: KitFiles, tmp_path: Path) -> None:
    content, lines = submitted(kit, world.folder, tmp_path)
    assert content == world.files.submission.read_bytes()
    assert lines[-1] == SAME


def test_all_kinds_of_views_folds_temperatures_and_a_clip_are_repeated(world: World, tmp_path: Path) -> None:
    views = ("identity", "mirror", "up", "smaller", "top-left")
    copy = world.copied(tmp_path).decreed(
        rule={"rule": "clip", "temperature": 0.9, "edge": 0.05},
        member={"views": views, "temperature": 1.3, "folds": (0, 1)},
    )
    content, lines = submitted(copy.kit(), copy.folder, tmp_path / "scratch")
    assert content == copy.files.submission.read_bytes()
    assert content != world.files.submission.read_bytes()
    assert lines[-1] == SAME


def test_ranks_are_repeated(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path).decreed(by_rank=True)
    content, _ = submitted(copy.kit(), copy.folder, tmp_path / "scratch")
    assert content == copy.files.submission.read_bytes()
    assert content != world.files.submission.read_bytes()


def test_labels_are_decided_by_the_same_rule(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path).asking_for_labels(tmp_path / "labels").ensemble()
    weights = {"rule": "class weights", "weights": [0.2, 5.0, 1.0]}
    plain = copy.files.submission.read_bytes()
    content, lines = submitted(copy.decreed(rule=weights).kit(), copy.folder, tmp_path / "scratch")
    assert content == copy.files.submission.read_bytes() != plain
    assert lines[-1] == SAME


def test_half_weights_give_nearly_the_same_probabilities(world: World, tmp_path: Path) -> None:
    kit = world.kit(out=tmp_path / "kit", half=True)
    content, lines = submitted(kit, world.folder, tmp_path / "scratch")
    exact = world.files.submission.read_bytes()
    assert content != exact
    assert np.abs(probabilities(content) - probabilities(exact)).max() < 0.01
    assert lines[-1] == f"{SAME.replace('is', 'is not', 1)}: weights are float16 here"


def test_a_hidden_test_set_of_another_number_is_predicted_and_nothing_compared(kit: KitFiles, tmp_path: Path) -> None:
    put_folder(tmp_path / "hidden", n_test=23, seed=1)
    for path in (tmp_path / "hidden" / "train").iterdir():
        path.unlink()
    (tmp_path / "hidden" / "train.csv").unlink()
    content, lines = submitted(kit, tmp_path / "hidden", tmp_path / "scratch")
    assert len(probabilities(content)) == 23
    assert content.decode().splitlines()[1].startswith("test0,")
    assert "byte for byte" not in lines[-1]


def test_missing_and_broken_images_get_the_prior_and_are_reported(world: World, kit: KitFiles, tmp_path: Path) -> None:
    put_folder(tmp_path / "hidden")
    (tmp_path / "hidden" / "test" / "test3.jpg").unlink()
    broken = tmp_path / "hidden" / "test" / "test5.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    (tmp_path / "hidden" / "test" / "test6.jpg").write_bytes(b"")
    content, lines = submitted(kit, tmp_path / "hidden", tmp_path / "scratch")
    found, exact = probabilities(content), probabilities(world.files.submission.read_bytes())
    assert found[[3, 5, 6]] == pytest.approx(np.full((3, 3), 1 / 3))
    others = [row for row in range(N_TEST) if row not in (3, 5, 6)]
    assert found[others] == pytest.approx(exact[others], abs=1e-6)
    assert "warning: 1 test image is missing: its row gets the prior (test3)" in lines
    assert any(line.startswith("broken: the prior for 2 test images: ") and "test5.jpg" in line for line in lines)


def test_a_test_set_without_any_image_gets_the_prior(kit: KitFiles, tmp_path: Path) -> None:
    put_csv(tmp_path / "hidden" / "sample_submission.csv", "id,left,middle,right", "a,0,0,1", "b,0,0,1")
    content, _ = submitted(kit, tmp_path / "hidden", tmp_path / "scratch")
    assert probabilities(content) == pytest.approx(np.full((2, 3), 1 / 3))


def test_the_data_is_found_where_kaggle_mounts_it(
    world: World, kit: KitFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "find_competition", lambda slug, header: {"bright-sides": world.folder}[slug])
    assert submitted(kit, None, tmp_path)[0] == world.files.submission.read_bytes()


def test_a_time_that_does_not_suffice_leaves_parts_out_and_says_so(world: World, kit: KitFiles, tmp_path: Path) -> None:
    content, lines = submitted(kit, world.folder, tmp_path, max_minutes=1e-6)
    assert len(probabilities(content)) == N_TEST
    assert any("left out" in line for line in lines)
    plenty, _ = submitted(kit, world.folder, tmp_path / "again", max_minutes=60.0)
    assert plenty == world.files.submission.read_bytes()


def test_the_time_runs_from_the_start_of_the_script(world: World, kit: KitFiles, tmp_path: Path) -> None:
    _, lines = submitted(kit, world.folder, tmp_path, max_minutes=60.0, started=time.monotonic() - 3700)
    assert any("left out" in line for line in lines)


def test_another_submission_s_form_is_refused_in_a_line(
    kit: KitFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_folder(tmp_path / "other")
    put_csv(tmp_path / "other" / "sample_submission.csv", "id,label", "test0,left")
    run = KitRun(
        folder=tmp_path / "other",
        out=tmp_path / "submission.csv",
        max_minutes=None,
        device="cpu",
        scratch=tmp_path,
        started=0.0,
    )
    assert run_kit(kit.root, run) == DataError.exit_code
    problem, hint = capsys.readouterr().err.splitlines()
    assert problem.startswith("Error: ") and "id, label" in problem
    assert hint.startswith("  hint: ")
    assert run_kit(kit.root, replace(run, folder=tmp_path / "nowhere")) == DataError.exit_code
    assert run_kit(kit.root, replace(run, device="cuda:99")) == UnfitEnvironmentError.exit_code
    assert not run.out.exists()


def test_other_versions_than_the_ensemble_s_are_reported(world: World, copied_kit: KitFiles, tmp_path: Path) -> None:
    document = read_json(copied_kit.manifest)
    document["versions"]["timm"] = "0.0.1"
    write_json(copied_kit.manifest, document)
    _, lines = submitted(copied_kit, world.folder, tmp_path / "scratch")
    assert lines[0].startswith("versions: timm ") and "instead of 0.0.1" in lines[0]


def test_nothing_but_the_submission_is_written_beside_the_scratch(world: World, kit: KitFiles, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for root in (world.folder, kit.root) for path in root.rglob("*")}
    submitted(kit, world.folder, tmp_path / "scratch", out=tmp_path / "scratch" / "submission.csv")
    assert before == {path: path.stat().st_mtime_ns for root in (world.folder, kit.root) for path in root.rglob("*")}
