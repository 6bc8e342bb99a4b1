"""House rules: who may import whom, what the command line may load, what no line of code may do."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [path for package in ("automl", "runners", "search_spaces") for path in (ROOT / package).rglob("*.py")]
HEAVY = ("numpy", "torch", "timm", "ray", "optuna", "pandas", "plotly", "albumentations", "sklearn", "PIL", "cv2")


def test_imports_keep_to_the_layers() -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout


def loaded_by(program: str) -> set[str]:
    listing = (
        f"{program}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    finished = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return set(json.loads(finished.stdout.splitlines()[-1]))


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import automl.cli.app, typer.testing\n"
        "assert typer.testing.CliRunner().invoke(automl.cli.app.app, ['search', '--help']).exit_code == 0"
    )
    assert loaded_by(program) & set(HEAVY) == set()


def test_the_driver_of_a_search_loads_no_torch_before_the_ensemble() -> None:
    program = "import automl.search.run_search, automl.search.progress, automl.training.entry_points, runners.process"
    assert loaded_by(program) & {"torch", "timm", "albumentations", "ray"} == set()


def test_a_worker_loads_no_optuna_and_no_ray() -> None:
    assert loaded_by("import automl.training.trial, runners.worker") & {"optuna", "ray", "sqlalchemy"} == set()


def names_called(path: Path) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {ast.unparse(call.func) for call in calls}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_unpickles_evaluates_or_starts_a_shell(path: Path) -> None:
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "joblib.load", "dill.load", "yaml.load", "os.system"}
    assert names_called(path) & (forbidden | {"torch.hub.load", "cv2.imread", "torch.save"}) == set()
    text = path.read_text()
    assert "shell=True" not in text
    assert "weights_only=False" not in text
    assert "allow_pickle=True" not in text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_what_it_is(path: Path) -> None:
    if path.stat().st_size:
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_imports_a_package_root_that_re_exports() -> None:
    roots = [path for path in SOURCES if path.name == "__init__.py"]
    for path in roots:
        assert not [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
