"""Every kind of folder is read right, image by image, or refused in words that help; never wrong in silence."""

from __future__ import annotations

import csv
import importlib
import json
import math
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from tests.automl_tests import reading_kinds
from tests.automl_tests.reading_kinds.kinds import KINDS, Folder, Kind, Read, Refused
from tests.conftest import automl_here

for module in pkgutil.iter_modules(reading_kinds.__path__):
    if module.name.startswith(("by_", "public_")):
        importlib.import_module(f"{reading_kinds.__name__}.{module.name}")


@pytest.mark.parametrize("one", [pytest.param(KINDS[name], id=name) for name in sorted(KINDS)])
def test_a_folder_is_read_right_or_refused(one: Kind, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "folder")
    truth = one.build(folder)
    root = folder.root / one.below if one.below else folder.root
    ran = automl_here(
        tmp_path, "inspect", str(root), "--names-only", "--json", "--table", str(tmp_path / "table.csv"), *one.flags
    )
    assert ran.exit_code in (0, 2, 3), ran.output
    document = json.loads(ran.stdout)
    assert document["schema"] == 1
    if isinstance(truth, Refused):
        _require_refusal(document, ran.exit_code, truth)
    else:
        assert ran.exit_code == 0, document
        _require_truth(document, tmp_path / "table.csv", truth)


def _require_refusal(document: dict[str, Any], exit_code: int, truth: Refused) -> None:
    assert exit_code == truth.exit_code, document
    error = document["error"]
    assert "\n" not in error["problem"]
    assert "\n" not in error["hint"]
    said = "\n".join([error["problem"], error["hint"], *error["seen"]])
    for words in truth.says:
        assert words in said, error


def _require_truth(document: dict[str, Any], table: Path, truth: Read) -> None:
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    read = {row["path"]: row["label"] for row in rows if row["split"] == "train"}
    assert read.keys() == truth.train.keys(), document
    wrong = {path: (read[path], label) for path, label in truth.train.items() if not _is_same(read[path], label)}
    assert not wrong, f"{len(wrong)} labels are wrong: {wrong}"
    assert document["n_train"] == len(truth.train)
    if truth.test is not None:
        assert [row["path"] for row in rows if row["split"] == "test"] == list(truth.test)
        assert document["n_test"] == len(truth.test)
    for key in ("task", "groups", "n_left_out"):
        if (wanted := getattr(truth, key)) is not None:
            assert document[key] == wanted, document
    if truth.classes is not None:
        assert document["classes"] == list(truth.classes)
    if truth.submission_kind is not None:
        assert document["submission"]["kind"] == truth.submission_kind, document
    if truth.columns is not None:
        assert document["submission"]["columns"] == list(truth.columns)
    lines = [*document["evidence"], *document["warnings"], *(f"{f['flag']} ({f['reason']})" for f in document["flags"])]
    for words in truth.says:
        assert words in "\n".join(lines), lines


def _is_same(read: str, label: str | float) -> bool:
    if isinstance(label, str):
        return read == label
    return bool(read) and math.isclose(float(read), label, rel_tol=1e-6)
