"""Probes in an ensemble: beside trials of their numbers, by themselves, as models unlike trials, and in the views."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.ensemble.blending import rank_diverse_first
from automl.ensemble.candidates import Candidate, list_probes
from automl.ensemble.contributions import find_best_single
from automl.ensemble.ensemble_recipe import PROBE, RecipeMember, describe_member, read_recipe
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.selection import fit_member_blend
from automl.ensemble.tta_selection import list_trained_views
from automl.errors import NoUsableModelError
from automl.search.run_search import list_candidates, run_ensemble
from tests.automl_tests.ensemble_tests import recipes
from tests.automl_tests.ensemble_tests.scripted import TARGETS, labelled, member_of, sure
from tests.automl_tests.ensemble_tests.small_probes import put_probe
from tests.automl_tests.ensemble_tests.small_studies import N_TEST, N_TRAIN, TrainedStudy


@pytest.fixture
def copied(probed: TrainedStudy, tmp_path: Path) -> TrainedStudy:
    """The study with three trials and two probes, to be changed."""
    shutil.copytree(probed.files.root, tmp_path / "study", ignore=shutil.ignore_patterns("predictions"))
    return replace(probed, files=StudyFiles(tmp_path / "study"))


def submitted(path: Path) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([float(row["label"]) for row in csv.DictReader(file)])


def test_trials_and_probes_are_chosen_from_by_their_own_names(copied: TrainedStudy, tmp_path: Path) -> None:
    probes = list_probes(copied.files, print)
    result = copied.build(tmp_path / "s.csv", candidates=[*copied.candidates, *probes])
    assert {"0-probe", "1-probe"} & {member.name for member in result.members}
    assert (result.n_pool, result.n_trials, result.n_rows) == (5, 5, 60)
    assert (result.best_single_number, result.best_single_kind) == (1, PROBE)
    document = read_json(copied.files.ensemble)
    assert (document["best_single_number"], document["best_single_kind"]) == (1, PROBE)
    assert read_recipe(copied.files.ensemble) == result.recipe
    right = np.arange(N_TRAIN, N_TRAIN + N_TEST) % 2
    assert ((submitted(tmp_path / "s.csv") > 0.5) == right).mean() > 0.8
    again = copied.build(tmp_path / "again.csv", candidates=[*copied.candidates, *probes])
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "s.csv").read_bytes()
    assert [member.weight for member in again.members] == [member.weight for member in result.members]


def test_probes_alone_make_an_ensemble_on_all_rows(copied: TrainedStudy, tmp_path: Path) -> None:
    result = copied.build(tmp_path / "s.csv", candidates=list_probes(copied.files, print))
    assert all(member.member_kind == PROBE and member.shares_backbone for member in result.members)
    assert (result.n_rows, result.n_trials) == (N_TRAIN, 2)
    assert describe_member(result.best_single_number, result.best_single_kind) == "probe 1"
    assert [member.folds for member in result.members] == [(0, 1, 2)] * len(result.members)


def test_a_probe_whose_weights_are_gone_serves_with_its_files_and_its_own_name(
    copied: TrainedStudy, tmp_path: Path
) -> None:
    (probe,) = list_probes(copied.files, print)[:1]
    shutil.rmtree(copied.files.backbones)
    result = copied.build(tmp_path / "s.csv", candidates=[probe])
    assert any(note.startswith("probe 1 answers with the predictions in its files") for note in result.notes)
    assert result.members[0].seconds_per_image == 0.0
    expected = read_arrays(copied.files.get_probe_files(1).test)["probs"][:, 1]
    assert np.array_equal(np.argsort(submitted(tmp_path / "s.csv")), np.argsort(expected))


def test_the_study_s_candidates_are_trials_and_then_probes_best_first(copied: TrainedStudy) -> None:
    assert [own.name for own in list_candidates(copied.files, [], print)] == ["1-probe", "0-probe"]


def test_probes_are_best_first_by_a_metric_that_is_greater_too(copied: TrainedStudy) -> None:
    document = read_json(copied.files.competition)
    assert document["metric"] == "log_loss"
    text = copied.files.competition.read_text().replace('"log_loss"', '"accuracy"')
    copied.files.competition.write_text(text)
    assert [own.name for own in list_probes(copied.files, print)] == ["0-probe", "1-probe"]


def test_a_study_without_a_complete_trial_and_without_a_probe_has_no_ensemble(tmp_path: Path) -> None:
    from tests.automl_tests.refit_tests.studies import end_trials
    from tests.automl_tests.training_tests.trial_builders import write_study

    files = write_study(tmp_path)
    end_trials(files, lambda number: (None, 0.0), 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(NoUsableModelError, match="no trial of study 'study' is complete"):
        run_ensemble(files, None, notify=print)  # type: ignore[arg-type]


def test_the_best_single_one_is_found_among_trials_and_probes_of_one_number() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(0)
    kinds = {"search": 0.7, PROBE: 0.9}
    pool = [
        member_of(competition, 4, sure(TARGETS, rng.random(len(TARGETS)) < right), member_kind=member_kind)
        for member_kind, right in kinds.items()
    ]
    trials = [Candidate(4, 0.0, own.config, own.member_kind) for own in pool]
    best = find_best_single(trials, StudyFiles(Path("/nowhere")), OofPredictions(pool, competition, {}))
    assert (best.number, best.member_kind, best.n_trials) == (4, PROBE, 2)
    assert best.optimism >= 0


def test_a_probe_and_a_trial_on_one_backbone_count_as_unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    competition, seen = labelled(TARGETS), []
    probs = [sure(TARGETS, np.arange(len(TARGETS)) % 10 > n) for n in range(3)]
    pool = [member_of(competition, 0, probs[0]), member_of(competition, 1, probs[1])]
    pool.append(member_of(competition, 0, probs[2], member_kind=PROBE))
    monkeypatch.setattr("automl.ensemble.selection.fit_blend", lambda *given, **named: seen.append(named["traits"]))
    fit_member_blend(pool, competition, 5)
    (traits,) = seen
    assert rank_diverse_first(np.array([1.0, 0.999, 0.998]), traits).tolist() == [0, 2, 1]


@pytest.mark.parametrize(("policy", "views"), [("none", ("identity",)), ("light", ("identity", "mirror"))])
def test_a_probe_s_head_has_been_shown_mirrored_images_at_most(policy: str, views: tuple[str, ...]) -> None:
    probs = sure(TARGETS, TARGETS == TARGETS)
    competition = replace(labelled(TARGETS), flips=True)
    assert list_trained_views(member_of(competition, 0, probs, policy=policy, member_kind=PROBE)) == views
    trial = member_of(competition, 0, probs, policy="light")
    assert "centre" in list_trained_views(trial)


@pytest.mark.slow
def test_a_probe_that_was_shown_mirrored_images_is_tried_under_that_view_alone(
    copied: TrainedStudy, tmp_path: Path
) -> None:
    competition = replace(copied.competition, flips=True)
    probe = put_probe(copied.files, competition, copied.folds, 7, policy="light")
    result = copied.build(tmp_path / "s.csv", candidates=[probe], competition=competition, tta="auto")
    (line,) = [note for note in result.notes if note.startswith("views: ")]
    assert "mirror" in line and "crops" not in line


def test_a_recipe_keeps_whether_folds_share_a_backbone_and_older_ones_say_no() -> None:
    member = recipes.member_of(3, 1.0, member_kind=PROBE, shares_backbone=True, folds=range(5))
    assert RecipeMember.from_json(member.to_json()) == member
    assert "shares_backbone" not in recipes.member_of(3, 1.0).to_json()
    assert not RecipeMember.from_json(recipes.member_of(3, 1.0).to_json()).shares_backbone
    assert [describe_member(3, kind) for kind in ("search", "pseudo", PROBE)] == [
        "trial 3",
        "trial 3-pseudo",
        "probe 3",
    ]
