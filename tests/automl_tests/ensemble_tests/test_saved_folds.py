"""Where the files of members lie, and what of them is refused; and probes as members of a pool."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays, read_json, write_arrays, write_json
from automl.ensemble.apply import locate_fold_weights
from automl.ensemble.candidates import Candidate, list_probes, read_members, select_candidates
from automl.ensemble.ensemble_recipe import PROBE
from automl.ensemble.saved_folds import get_member_files, read_search_folds, require_same_competition
from automl.errors import StorageError
from tests.automl_tests.ensemble_tests.recipes import member_of
from tests.automl_tests.ensemble_tests.small_probes import put_twin_probe
from tests.automl_tests.ensemble_tests.small_studies import TrainedStudy


@pytest.fixture
def own(probed: TrainedStudy, tmp_path: Path) -> TrainedStudy:
    """The study with three trials and two probes, to be changed."""
    shutil.copytree(probed.files.root, tmp_path / "study")
    return replace(probed, files=StudyFiles(tmp_path / "study"))


def test_a_probe_and_a_trial_of_one_number_have_files_of_their_own(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    assert get_member_files(files, 3, "search") == get_member_files(files, 3, "pseudo") == files.get_trial_files(3)
    assert get_member_files(files, 3, PROBE) == files.get_probe_files(3)
    probe = member_of(3, 1.0, member_kind=PROBE)
    assert probe.name == "3-probe"
    assert locate_fold_weights(files, probe, 2) == files.get_probe_files(3).get_weights_path(2)


def test_a_probe_is_read_with_all_rows_and_the_folds_of_its_heads(probed: TrainedStudy) -> None:
    (probe,) = list_probes(probed.files, print)[:1]
    (member,) = read_members([probe], probed.files, probed.competition, probed.folds, notify=print)
    assert (member.name, member.title, member.is_probe) == ("1-probe", "probe 1", True)
    assert np.array_equal(member.rows, np.arange(len(probed.folds)))
    assert np.array_equal(member.folds, probed.folds)
    assert sorted(member.models) == [0, 1, 2]


def test_trials_choose_the_rows_and_probes_are_cut_to_them(probed: TrainedStudy) -> None:
    lines: list[str] = []
    candidates = [*probed.candidates, *list_probes(probed.files, print)]
    pool = read_members(candidates, probed.files, probed.competition, probed.folds, notify=lines.append)
    trials = read_members(probed.candidates, probed.files, probed.competition, probed.folds, notify=print)
    assert [member.name for member in pool] == [*(trial.name for trial in trials), "1-probe", "0-probe"]
    assert all(np.array_equal(member.rows, trials[0].rows) for member in pool)
    assert [member.oof.tobytes() for member in pool[:3]] == [member.oof.tobytes() for member in trials]
    assert lines == ["members are compared on the 60 rows that all of them have out of fold"]


def test_a_probe_without_some_of_the_rows_is_left_out_by_its_name(own: TrainedStudy) -> None:
    probe, lines = own.files.get_probe_files(0), []
    oof = read_arrays(probe.oof)
    few = {name: oof[name][oof["folds"] > 0] for name in ("rows", "folds", "probs")}
    write_arrays(probe.oof, **few)
    candidates = [*own.candidates, *list_probes(own.files, print)]
    pool = read_members(candidates, own.files, own.competition, own.folds, notify=lines.append)
    assert [member.name for member in pool if member.is_probe] == ["1-probe"]
    assert lines[0] == "probe 0 is left out: it has no prediction for some rows that the others share"


def test_damaged_and_unfinished_probes_are_passed_over_and_the_damaged_ones_named(own: TrainedStudy) -> None:
    lines: list[str] = []
    own.files.get_probe_files(0).config.write_text("{")
    own.files.get_probe_files(1).result.unlink()
    (own.files.probes / "notes").mkdir()
    assert list_probes(own.files, lines.append) == []
    (line,) = lines
    assert line.startswith("probe 0 is left out: ") and "config.json" in line
    shutil.rmtree(own.files.probes)
    assert list_probes(own.files, lines.append) == []


def test_skipped_probes_are_none(own: TrainedStudy) -> None:
    result = own.files.get_probe_files(1).result
    write_json(result, {**read_json(result), "outcome": "skipped", "score": None})
    assert [probe.name for probe in list_probes(own.files, print)] == ["0-probe"]


def test_probes_of_another_split_are_left_out(own: TrainedStudy) -> None:
    lines: list[str] = []
    other = (own.folds + 1) % 3
    with pytest.raises(StorageError, match="not of this competition and split"):
        require_same_competition(read_search_folds(own.files.get_probe_files(0)), own.competition, other)
    probes, trial = list_probes(own.files, print), own.candidates[0]
    oof = read_arrays(own.files.get_probe_files(0).oof)
    write_arrays(own.files.get_probe_files(0).oof, **{**oof, "folds": (oof["folds"] + 1) % 3})
    pool = read_members([trial, *probes], own.files, own.competition, own.folds, notify=lines.append)
    assert [member.name for member in pool] == [trial.name, "1-probe"]
    assert lines[0].startswith("probe 0 is left out: ")


def test_a_pool_has_the_best_trials_and_five_probes_of_which_different_backbones_go_first(own: TrainedStudy) -> None:
    for number in range(2, 8):
        put_twin_probe(own.files, number, of=0, score=0.001 * number)
    probes = list_probes(own.files, print)
    assert [probe.number for probe in probes] == [2, 3, 4, 5, 6, 7, 1, 0]
    trials = [replace(own.candidates[0], number=number) for number in (5, 3, 4)]
    pseudo = replace(trials[0], member_kind="pseudo")
    chosen = select_candidates([trials[0], pseudo, *trials[1:], *probes], 2)
    assert [candidate.name for candidate in chosen[:3]] == ["5", "5-pseudo", "3"]
    assert [candidate.name for candidate in chosen[3:]] == ["2-probe", "3-probe", "4-probe", "5-probe", "1-probe"]


def test_a_trial_is_not_counted_with_a_probe_of_its_number(own: TrainedStudy) -> None:
    probes = list_probes(own.files, print)
    trial = Candidate(number=1, score=0.5, config=own.candidates[0].config)
    assert select_candidates([trial, *probes], 1) == [trial, *probes]
    assert select_candidates(probes, 1) == probes
