"""A user's score function: found from any folder, declared by its attributes, refused where it returns no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.errors import UsageError
from automl.metrics.custom import is_user_metric, load_user_score
from automl.metrics.registry import get_metric, require_fits
from automl.tasks import Task


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_users_function_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine.py", "def brier(y_true, y_pred): return ((y_pred[:, 1] - y_true) ** 2).mean()\n")
    monkeypatch.chdir(tmp_path)
    metric = get_metric("mine.py:brier")
    assert metric.name == f"{tmp_path.resolve() / 'mine.py'}:brier"
    monkeypatch.chdir("/")
    again = get_metric(metric.name)
    assert again(np.array([0, 1]), np.array([[0.8, 0.2], [0.4, 0.6]])) == pytest.approx((0.04 + 0.16) / 2)
    assert again.greater_is_better and again.needs == "probabilities"
    require_fits(again, task=Task.MULTILABEL, classes=("a", "b"))


def test_the_users_function_declares_what_it_needs(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.py",
        "def wrong(y_true, y_pred): return (y_true != y_pred).sum()\n"
        "wrong.greater_is_better = False\nwrong.needs = 'label'\nwrong.tasks = ['binary']\n",
    )
    metric = get_metric(f"{path}:wrong")
    assert metric(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])) == 1.0
    assert metric.direction == "minimize"
    assert metric.tasks == {Task.BINARY}


def test_another_content_of_the_users_file_is_another_metric(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "def score(y_true, y_pred): return 1.0\n")
    first = get_metric(f"{path}:score")
    (tmp_path / "moved").mkdir()
    moved = get_metric(f"{write(tmp_path / 'moved' / 'mine.py', path.read_text())}:score")
    write(path, "def score(y_true, y_pred): return 2.0\n")
    assert first.identity == moved.identity
    assert first.identity != get_metric(f"{path}:score").identity
    assert get_metric("accuracy").identity == "accuracy"


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("", "absent.py:score", "there is no file"),
        ("def other(): pass\n", "mine.py:score", "defines no function score"),
        ("score = 3\n", "mine.py:score", "defines no function score"),
        ("def score(: pass\n", "mine.py:score", "cannot be loaded: SyntaxError"),
        ("import nothing_of_this_name\n", "mine.py:score", "cannot be loaded: ModuleNotFoundError"),
        ("def score(): pass\n", "mine.py", "names no function"),
        ("def score(): pass\n", "mine.py:", "names no function"),
        ("def score(): pass\nscore.needs = 'logits'\n", "mine.py:score", "needs 'logits'"),
        ("def score(): pass\nscore.needs = 'ranking'\n", "mine.py:score", "ranking of 0 classes"),
        ("def score(): pass\nscore.tasks = ['detection']\n", "mine.py:score", "detection"),
    ],
)
def test_a_file_without_a_usable_function_is_named(tmp_path: Path, text: str, name: str, problem: str) -> None:
    write(tmp_path / "mine.py", text)
    with pytest.raises(UsageError, match=problem):
        get_metric(f"{tmp_path}/{name}")


@pytest.mark.parametrize("result", ["None", "'0.5'", "float('nan')", "float('inf')", "[1.0, 2.0]", "1 / 0"])
def test_what_is_no_number_is_no_score_of_the_users_function(tmp_path: Path, result: str) -> None:
    path = write(tmp_path / "mine.py", f"def score(y_true, y_pred): return {result}\n")
    with pytest.raises(UsageError, match=r"mine.py:score (returns|fails)"):
        get_metric(f"{path}:score")(np.array([0, 1]), np.eye(2))


@pytest.mark.parametrize(
    ("name", "is_function"),
    [("mine.py:score", True), ("/a b/mine.py", True), ("mine.py:", True), ("map@5", False), ("py:score", False)],
)
def test_a_users_metric_is_known_by_its_name(name: str, is_function: bool) -> None:
    assert is_user_metric(name) is is_function


def test_the_function_of_a_file_is_loaded_with_the_digest_of_its_content(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "def score(y_true, y_pred): return (y_true == y_pred).mean()\n")
    loaded = load_user_score(f"{path}:score")
    assert loaded.address == f"{path.resolve()}:score"
    assert loaded(np.array([0, 1]), np.array([0, 0])) == 0.5
    write(path, path.read_text() + "# other\n")
    assert load_user_score(f"{path}:score").digest != loaded.digest
