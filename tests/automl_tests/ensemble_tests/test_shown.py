"""What a terminal and the report show of an ensemble."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from automl.cli.ensemble import render_ensemble
from automl.ensemble.ensemble_recipe import parse_recipe
from automl.ensemble.ensemble_result import EnsembleResult
from automl.reports.study_page import OUTDATED, render_ensemble_section
from tests.automl_tests.ensemble_tests.results import example_result


def printed(result: EnsembleResult) -> str:
    console = Console(width=100, file=io.StringIO())
    for part in render_ensemble(result):
        console.print(part, highlight=False, markup=False)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def cells_of(text: str, first: str) -> list[str]:
    """The words of the first line that begins with that word."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [first])


def test_each_member_has_a_line_with_weight_score_gain_time_and_network() -> None:
    text = printed(example_result())
    network = "convnext_tiny.in12k_ft_in1k"
    assert cells_of(text, "7") == ["7", "0.500", "0.2413", "+0.0104", "42.1", network, "224", "5", "7"]
    assert cells_of(text, "7-pseudo")[:4] == ["7-pseudo", "0.200", "0.2601", "-0.0002"]


def test_the_score_stands_beside_the_best_trial_and_its_luck() -> None:
    text = printed(example_result())
    assert "log_loss, smaller is better" in text
    assert "ensemble           0.2101 +- 0.0123, on 320 images out of fold" in text
    assert "  without views    0.2188" in text
    assert (
        "best single trial  0.2413, trial 7: the best of 16 by this score, which flatters it by about 0.0042\n" in text
    )


def test_a_score_whose_rows_told_what_to_leave_out_is_not_called_independent_of_them(tmp_path: Path) -> None:
    for is_trimmed in (False, True):
        result = replace(example_result(), is_trimmed=is_trimmed)
        for text in (printed(result), section_of(result.to_json(), tmp_path).text):
            assert ("choices made without it" in text) is not is_trimmed
            assert ("which also told what to leave out" in text) is is_trimmed


def test_views_and_correlations_are_shown() -> None:
    text = printed(example_result())
    assert cells_of(text, "mirror")[:4] == ["mirror", "-0.0003", "top-left", "+0.0011"]
    assert "0.61      0.93" in text
    assert "0.58" in text


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(len(line.rstrip()) for line in printed(example_result()).splitlines()) <= 100
    named = "vit_huge_plus_patch16_dinov3.lvd1689m_with_a_longer_name"
    result = example_result()
    first, *others = result.members
    longest = replace(first, config=replace(first.config, model=replace(first.config.model, backbone=named)))
    text = printed(replace(result, recipe=replace(result.recipe, members=(longest, *others))))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_one_member_without_views_needs_no_more_than_a_line() -> None:
    result = example_result()
    alone = replace(
        result,
        recipe=replace(result.recipe, members=result.members[:1]),
        member_gains={"7": None},
        views=("identity",),
        view_gains={},
        error_correlations=((1.0,),),
        n_trials=1,
    )
    text = printed(alone)
    assert cells_of(text, "7")[3] == "-"
    assert "the only one" in text
    assert "alike" not in text and "without views" not in text and "err" not in text


class Tags(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def section_of(document: object, folder: Path) -> Tags:
    path = folder / "ensemble.json"
    path.write_text(json.dumps(document))
    page = Tags()
    page.feed(render_ensemble_section(path))
    return page


def test_the_report_shows_members_views_scores_and_a_map_of_errors(tmp_path: Path) -> None:
    page = section_of(example_result().to_json(), tmp_path)
    for shown in ("trial 7-pseudo", "0.2101", "0.2413", "0.0042", "+0.0104", "mirror", "heatmap", "left out"):
        assert shown in page.text
    assert page.tags.count("table") == 2


def test_names_in_the_report_are_no_elements(tmp_path: Path) -> None:
    hostile = replace(example_result(), notes=("<script>canary()</script>",), rule_words="<i>")
    page = section_of(hostile.to_json() | {"metric": "<img src=x>"}, tmp_path)
    assert "i" not in page.tags and "img" not in page.tags
    assert "<script>canary" not in render_ensemble_section(tmp_path / "ensemble.json")


@pytest.mark.parametrize("document", [{"members": []}, [], {"metric": 3}])
def test_an_ensemble_of_an_earlier_version_is_said_to_be_one(document: object, tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text(json.dumps(document))
    assert OUTDATED in render_ensemble_section(tmp_path / "ensemble.json")
    (tmp_path / "ensemble.json").write_text("{")
    assert OUTDATED in render_ensemble_section(tmp_path / "ensemble.json")


def test_the_recipe_survives_the_way_through_json() -> None:
    result = example_result()
    document = json.loads(json.dumps(result.to_json()))
    assert parse_recipe(document["recipe"]) == result.recipe
