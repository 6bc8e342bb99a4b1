"""The kit's script in an environment of its own, without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from automl.kit import kaggle_script
from automl.kit.manifest import KitFiles, read_manifest
from automl.kit.requirements import PREDICTING
from tests.automl_tests.kit_tests.fresh import REFUSED, put_packages, run_fresh
from tests.automl_tests.kit_tests.worlds import World


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_packages(tmp_path_factory.mktemp("fresh") / "packages")


@pytest.mark.slow
def test_the_script_repeats_the_submission_with_nothing_but_the_kit_and_what_predicting_needs(
    world: World, packages: Path, tmp_path: Path
) -> None:
    views = {"views": ("identity", "mirror", "up", "smaller", "top-left"), "temperature": 1.3}
    rule = {"rule": "class weights", "weights": [0.2, 5.0, 1.0]}
    labels = world.copied(tmp_path).asking_for_labels(tmp_path / "labels").ensemble().decreed(rule=rule, member=views)
    (tmp_path / "here").mkdir()
    arguments = ("--input", labels.folder, "--device", "cpu")
    finished = run_fresh(packages, labels.kit().script, *arguments, cwd=tmp_path / "here")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "here" / "submission.csv").read_bytes() == labels.files.submission.read_bytes()
    lines = finished.stdout.splitlines()
    assert "it is byte for byte the submission that the ensemble wrote" in lines
    assert lines[-2] == "asked the network for []"


def test_the_fresh_environment_has_what_kit_json_names_and_nothing_that_searching_needs(
    packages: Path, tmp_path: Path
) -> None:
    modules = [*PREDICTING, *(name.replace("scikit-learn", "sklearn") for name in sorted(REFUSED))]
    script = tmp_path / "looking.py"
    lines = [f"print({name!r}, importlib.util.find_spec({name!r}) is not None)" for name in modules]
    script.write_text("\n".join(["import importlib.util", *lines]))
    found = run_fresh(packages, script, cwd=tmp_path).stdout.splitlines()
    assert found[: len(modules)] == [f"{name} {name in PREDICTING}" for name in modules]


STUB = """import pathlib, sys
print("at work with", *sys.argv[1:])
pathlib.Path("submission.csv").write_text("id,label\\n1,cat\\n")
sys.exit({code})
"""


def test_the_notebook_is_one_that_jupyter_reads(kit: KitFiles) -> None:
    """As the schema of the format 4.5 has it."""
    document = json.loads(kit.notebook.read_text())
    assert set(document) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    for cell in document["cells"]:
        code = {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"id", "cell_type", "metadata", "source"} | code
        assert re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", cell["id"])
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])


@pytest.mark.parametrize("depth", ["my-kit", "datasets/me/my-kit"])
def test_the_notebook_finds_the_kit_below_the_inputs_and_shows_what_the_script_says(
    kit: KitFiles, tmp_path: Path, depth: str
) -> None:
    finished = run_notebook(kit, tmp_path, depth, code=0)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == ["at work with --out submission.csv", "id,label", "1,cat"]


def test_the_notebook_fails_where_the_script_does(kit: KitFiles, tmp_path: Path) -> None:
    finished = run_notebook(kit, tmp_path, "my-kit", code=5)
    assert finished.returncode != 0
    assert "the submission was not written" in finished.stderr


def run_notebook(kit: KitFiles, folder: Path, place: str, *, code: int) -> subprocess.CompletedProcess[str]:
    """The notebook's code on a machine whose inputs hold a kit at that place, with a script that exits with a code."""
    script = folder / "input" / place / "submit.py"
    script.parent.mkdir(parents=True)
    script.write_text(STUB.format(code=code))
    (script.parent / "kit.json").write_text("{}")
    cells = json.loads(kit.notebook.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    program = text.replace('"/kaggle/input"', repr(str(folder / "input")))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.slow
def test_a_new_virtual_environment_installs_the_kit_s_wheel_and_repeats_the_submission(
    world: World, kit: KitFiles, packages: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "others.pth").write_text(f"{packages}\n")
    index = ["--no-index", "--find-links", str(kit.wheels)]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *index, "automl"], check=True)
    command = [python, "-I", kit.script, "--input", world.folder, "--device", "cpu"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "submission.csv").read_bytes() == world.files.submission.read_bytes()
    assert kaggle_script.compute_code_digest(site / "automl") == read_manifest(kit).code
