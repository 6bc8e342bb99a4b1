"""`automl ensemble` as a user meets it, and the table that it prints."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from automl.artifacts import StudyFiles
from automl.cli.ensemble import render_ensemble
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.search import run_search
from tests.automl_tests.ensemble_tests.results import example_result
from tests.automl_tests.reports_tests.sections import section_of
from tests.conftest import automl_here


@pytest.fixture
def fields(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The request that the command makes of the workflow, which answers with an example."""
    found: dict[str, Any] = {}

    def run_ensemble(files: StudyFiles, request: EnsembleRequest, **_: Any) -> EnsembleResult:
        found.update(asdict(request))
        return example_result()

    monkeypatch.setattr(run_search, "run_ensemble", run_ensemble)
    monkeypatch.setattr("automl.cli.workdir.find_study", lambda workdir, study: StudyFiles(tmp_path))
    return found


def test_flags_reach_the_ensemble_and_the_table_is_printed(fields: dict[str, Any], tmp_path: Path) -> None:
    choosing = ["--top", "3", "--pool", "20", "--tta", "crops", "--device", "cpu"]
    finished = automl_here(tmp_path, "ensemble", *choosing, "--max-minutes", "30", "--images", "5000")
    assert finished.exit_code == 0, finished.output
    wanted = {name: fields[name] for name in ("top", "pool", "tta", "max_minutes", "n_images", "device")}
    assert wanted == {
        "top": 3, "pool": 20, "tta": "crops", "max_minutes": 30.0, "n_images": 5000, "device": "cpu",
    }  # fmt: skip
    assert "best single trial  0.2413" in finished.output
    assert "wrote " in finished.output


def test_by_default_members_come_from_fifteen_trials(fields: dict[str, Any], tmp_path: Path) -> None:
    assert automl_here(tmp_path, "ensemble").exit_code == 0
    assert (fields["top"], fields["pool"], fields["tta"], fields["max_minutes"]) == (
        5,
        15,
        "auto",
        None,
    )


@pytest.mark.parametrize("flags", [["--images", "5"], ["--max-minutes", "0"]])
def test_flags_that_say_nothing_are_refused(flags: list[str], fields: dict[str, Any], tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "ensemble", *flags)
    assert finished.exit_code == 2
    assert "--max-minutes" in finished.stderr
    assert not fields


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


def test_a_probe_that_is_the_best_single_one_is_called_so(tmp_path: Path) -> None:
    result = replace(example_result(), best_single_number=3, best_single_kind="probe")
    assert "best single probe  0.2413, probe 3: the best of 16 by this score" in printed(result)
    assert "Probe 3 alone 0.2413" in section_of(result.to_json(), tmp_path).text
    assert "Trial 7 alone 0.2413" in section_of(example_result().to_json(), tmp_path).text


def test_a_score_whose_rows_decided_what_to_leave_out_is_not_called_independent_of_them(tmp_path: Path) -> None:
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
