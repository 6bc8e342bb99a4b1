"""What automl.toml says where no flag does."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import UsageError
from automl.readers.settings import CompetitionSettings, load_settings, require_settings
from automl.tasks import Task


def written(folder: Path, text: str) -> Path:
    (folder / "automl.toml").write_text(text)
    return folder


def test_without_a_file_the_flags_are_all_there_is(tmp_path: Path) -> None:
    assert load_settings(CompetitionSettings(metric="qwk"), tmp_path) == CompetitionSettings(metric="qwk")


def test_the_file_says_what_no_flag_does(tmp_path: Path) -> None:
    folder = written(
        tmp_path, 'metric = "qwk"\ntask = "ordinal"\ngroup = "patient_id"\nflips = false\nskip_broken = true\n'
    )
    expected = CompetitionSettings(metric="qwk", task=Task.ORDINAL, group="patient_id", flips=False, skip_broken=True)
    assert load_settings(CompetitionSettings(), folder) == expected


def test_numbers_and_folders_are_said_in_the_file_too(tmp_path: Path) -> None:
    folder = written(tmp_path, 'class_level = 2\nadd = "val/"\nsubmission = "labels"\nfollow_links = true\n')
    expected = CompetitionSettings(class_level=2, add="val/", submission="labels", follow_links=True)
    assert require_settings(load_settings(CompetitionSettings(), folder)) == expected
    for wrong in (CompetitionSettings(class_level=0), CompetitionSettings(submission="guesses")):
        with pytest.raises(UsageError):
            require_settings(wrong)


def test_a_flag_goes_before_the_file(tmp_path: Path) -> None:
    folder = written(tmp_path, 'metric = "qwk"\nflips = false\n')
    assert load_settings(CompetitionSettings(metric="accuracy", flips=True), folder) == CompetitionSettings(
        metric="accuracy", flips=True
    )


def test_weights_are_a_table(tmp_path: Path) -> None:
    folder = written(tmp_path, 'metric = "weighted_log_loss"\n[metric_weights]\nany = 2\nepidural = 1.5\n')
    assert load_settings(CompetitionSettings(), folder).metric_weights == (("any", 2.0), ("epidural", 1.5))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("metric = qwk", "is not TOML"),
        ("metrik = 'qwk'", "the key 'metrik'"),
        ("metric = 3", "metric = 3"),
        ("flips = 'no'", "flips = 'no'"),
        ("flips = 0", "flips = 0"),
        ("class_level = true", "class_level = True"),
        ("task = 'grading'", "task = 'grading'"),
        ("metric_weights = 2", "metric_weights = 2"),
        ("[metric_weights]\nany = -1", "metric_weights = {'any': -1}"),
        ("[metric_weights]\nany = true", "metric_weights = {'any': True}"),
        ("[metric_weights]\n", "metric_weights = {}"),
    ],
)
def test_what_means_nothing_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load_settings(CompetitionSettings(), written(tmp_path, text))
    assert problem in raised.value.problem
    assert "automl.toml" in raised.value.problem


def test_a_misspelt_key_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load_settings(CompetitionSettings(), written(tmp_path, "groups = 'patient'"))
    assert raised.value.hint == "did you mean group?"
