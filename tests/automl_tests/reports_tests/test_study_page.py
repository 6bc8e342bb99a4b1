"""A study as a page: members, views, scores, and names that are no elements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from automl.reports.study_page import OUTDATED, render_ensemble_section
from tests.automl_tests.ensemble_tests.results import example_result
from tests.automl_tests.reports_tests.sections import section_of


def test_the_report_shows_members_views_scores_and_a_map_of_errors(tmp_path: Path) -> None:
    page = section_of(example_result().to_json(), tmp_path)
    for shown in ("trial 7-pseudo", "0.2101", "0.2413", "0.0042", "+0.0104", "mirror", "heatmap", "left out"):
        assert shown in page.text
    assert page.tags.count("table") == 2


def test_a_probe_is_called_one(tmp_path: Path) -> None:
    document = example_result().to_json()
    document["members"][0] |= {"kind": "probe", "number": 41, "name": "41-probe"}
    text = section_of(document, tmp_path).text
    assert "probe 41" in text and "trial 41" not in text


def test_names_in_the_report_are_no_elements(tmp_path: Path) -> None:
    hostile = replace(example_result(), notes=("<script>canary()</script>",), rule_words="<i>")
    page = section_of(hostile.to_json() | {"metric": "<img src=x>"}, tmp_path)
    assert "i" not in page.tags and "img" not in page.tags
    assert "<script>canary" not in render_ensemble_section(tmp_path / "ensemble.json")


@pytest.mark.parametrize("document", [{"members": []}, [], {"metric": 3}])
def test_an_ensemble_of_an_earlier_version_is_called_outdated(document: object, tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text(json.dumps(document))
    assert OUTDATED in render_ensemble_section(tmp_path / "ensemble.json")
    (tmp_path / "ensemble.json").write_text("{")
    assert OUTDATED in render_ensemble_section(tmp_path / "ensemble.json")
