"""Bad input as a user meets it: one clear line, a hint, the exit code of its kind, no traceback, nothing lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.conftest import automl_here

AUTOML = Path(sys.executable).parent / "automl"
Damage = Callable[[Path], None]


def search(folder: Path, *flags: str) -> Result:
    small = ("--space", "tiny", "--no-pretrained", "--trials", "1", "--cpu-slots", "1")
    return automl_here(folder, "search", *small, *flags)


@pytest.fixture
def folder(digits: Path, tmp_path: Path) -> Path:
    """A competition's folder to be spoilt."""
    return Path(shutil.copytree(digits, tmp_path / "digits"))


def remove_images(folder: Path) -> None:
    for name in ("train", "test"):
        shutil.rmtree(folder / name)


def remove_three_images(folder: Path) -> None:
    for number in (3, 14, 15):
        (folder / "train" / f"{number:04d}.png").unlink()


def cut_an_image(folder: Path) -> None:
    path = folder / "train" / "0007.png"
    path.write_bytes(path.read_bytes()[:40])


def cut_a_test_image(folder: Path) -> None:
    (folder / "test" / "0007.png").write_bytes(b"")


def rename_all_sample_ids(folder: Path) -> None:
    path = folder / "sample_submission.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"x{row}" for row in rows)]) + "\n")


def one_class_only(folder: Path) -> None:
    path = folder / "train.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{row.partition(',')[0]},0" for row in rows)]) + "\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_images, "image"),
        (remove_three_images, "names 3 images that are not in train/: 0003, 0014, 0015"),
        (cut_an_image, "0007.png"),
        (cut_a_test_image, "0007.png"),
        (rename_all_sample_ids, "sample_submission.csv"),
        (one_class_only, "have the label 0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_spoilt_data_is_named_in_one_line_with_a_hint_and_exit_3(damage: Damage, words: str, folder: Path) -> None:
    damage(folder)
    finished = search(folder)
    assert finished.exit_code == 3, finished.stderr
    problem, *seen, hint = finished.stderr.splitlines()
    assert problem.startswith("Error: ")
    assert words in problem
    assert all(line.startswith("  seen: ") for line in seen)
    assert hint.startswith("  hint: ")


@pytest.mark.slow
def test_the_hint_about_missing_images_is_the_way_out(folder: Path) -> None:
    remove_three_images(folder)
    assert "--skip-missing" in search(folder).stderr
    finished = search(folder, "--skip-missing", "--no-flips", "--epochs", "2", "--no-ensemble")
    assert finished.exit_code == 0, finished.stderr
    assert "is complete with" in finished.stdout


@pytest.mark.slow
def test_a_class_with_one_image_is_trained_on_and_named(folder: Path) -> None:
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("0000,", "0000,1", 1))  # the only image of class 10 and more
    finished = search(folder, "--no-flips", "--epochs", "2", "--no-ensemble", "--runner", "inline")
    assert finished.exit_code == 0, finished.stderr
    assert "too few images to be validated" in finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "exit_code", "words"),
    [
        (("--trials", "0"), 2, "trials"),
        (("--space", "tinny"), 2, "did you mean tiny?"),
        (("--metric", "kappa"), 2, "there is no metric 'kappa'"),
        (("--sampler", "grid"), 2, "there is no sampler 'grid'"),
        (("--pruner", "asha"), 2, "there is no pruner 'asha'"),
        (("--runner", "slurm"), 2, "there is no runner 'slurm'"),
        (("--train-folds", "9"), 2, "--train-folds 9"),
        (("--timeout", "soon"), 2, "'soon' is not a duration"),
        (("--keep-checkpoints", "2"), 2, "--keep-checkpoints 2"),
        (("--study", "../elsewhere"), 3, "cannot name a study"),
        (("--weights", "nowhere"), 7, "--weights nowhere is not a folder"),
        (("--gpus", "99"), 7, "--gpus 99 was asked, but"),
        (("--patience", "0"), 2, "--patience"),
        (("--epoch-choice", "middle"), 2, "--epoch-choice middle is not last or best"),
        (("--init-from", "nowhere"), 2, "--init-from nowhere is not the folder of a trial"),
        (("--center-lr", "fast"), 2, "--center-lr fast is not a number"),
        (("--center-lr", "-1e-3"), 2, "is not a positive number"),
        (("--center-lr", "1e-3", "--fix", "lr=1e-3"), 2, "--fix lr=1e-3 and --center-lr were both given"),
        (("--center-lr", "auto", "--fix", "lr=1e-3"), 2, "--fix lr=1e-3 and --center-lr were both given"),
        (("--epochs", "1", "--choices", "resize=24-32"), 2, "epochs = 1, but it must be at least one for each of 2"),
    ],
)
def test_flags_that_do_not_fit_are_refused_before_anything_is_written(
    flags: tuple[str, ...], exit_code: int, words: str, folder: Path
) -> None:
    finished = search(folder, *flags)
    assert finished.exit_code == exit_code, finished.stderr
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (folder / "automl_runs" / "digits" / "study.db").exists()


def test_a_center_for_a_space_that_does_not_ask_for_lr_is_refused(folder: Path) -> None:
    (folder / "mine.py").write_text(
        '"""Mine."""\n'
        "from automl.config import ModelConfig, ResizeConfig, TrialConfig\n"
        "def suggest(trial):\n"
        '    backbone = trial.suggest_categorical("backbone", ["test_resnet"])\n'
        '    return TrialConfig(model=ModelConfig(backbone=backbone), resize=ResizeConfig.parse("32"))\n'
    )
    for center in ("auto", "1e-3"):
        finished = automl_here(folder, "search", "--space", "mine.py", "--trials", "1", "--center-lr", center)
        assert finished.exit_code == 2
        assert "the space 'mine' has no parameter 'lr' to be centred" in finished.stderr
    assert not (folder / "automl_runs").exists()


@pytest.mark.slow
def test_an_unknown_backbone_and_missing_weights_stop_the_search_with_the_way_out(folder: Path) -> None:
    unknown = search(folder, "--choices", "backbone=resnet18x")
    assert unknown.exit_code == 2
    assert "timm has no backbone 'resnet18x'" in unknown.stderr
    assert "resnet18" in unknown.stderr.splitlines()[1]
    (folder / "weights").mkdir()
    command = ("search", "--space", "tiny", "--trials", "1", "--weights", "weights", "--study", "other")
    missing = automl_here(folder, *command)
    assert missing.exit_code == 7, missing.stderr
    assert "--no-pretrained" in missing.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_exit_7_with_the_flags_to_check(folder: Path) -> None:
    finished = search(folder, "--runner", "ray", "--ray-address", "127.0.0.1:1", "--slots", "2")
    assert finished.exit_code == 2  # --cpu-slots says how many run here
    command = [AUTOML, "search", "--space", "tiny", "--no-pretrained", "--trials", "1", "--runner", "ray"]
    elsewhere = [*command, "--ray-address", "127.0.0.1:1", "--slots", "2"]
    absent = subprocess.run(elsewhere, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert absent.returncode == 7, absent.stderr
    assert "Error: no Ray cluster answers at 127.0.0.1:1" in absent.stderr
    assert "--ray-address" in absent.stderr
