"""Samplers by name, seeded so that no draw depends on a process's past."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.errors import UsageError
from automl.space import load_space
from automl.study.probe_evidence import Prior
from automl.study.samplers import SeededQuestions, build_sampler, compute_shares
from automl.study.study import open_study
from automl.suggest import Params
from tests.automl_tests.study_tests.studies import SPACE, TERMS


def test_a_resumed_study_does_not_draw_again_what_was_drawn_before(files: StudyFiles) -> None:
    values = []
    for _ in range(6):
        with open_study(files, TERMS, sampler="random") as study:
            trial = study.ask(SPACE)
            SPACE(trial)
            values.append(trial.params["x"])
            study.tell(trial, TrialState.COMPLETE, 0.1)
    assert len(set(values)) == 6


def test_the_same_seed_draws_the_same_trials_in_another_study(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        with open_study(StudyFiles(tmp_path / name), TERMS) as study:
            trials = [study.ask(SPACE) for _ in range(3)]
            for trial in trials:
                SPACE(trial)
            drawn.append([trial.params for trial in trials])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_each_sampler_proposes_different_trials(files: StudyFiles, name: str) -> None:
    with open_study(files, TERMS, sampler=name) as study:
        values = set()
        for number in range(14):
            trial = study.ask(SPACE)
            SPACE(trial)
            values.add(trial.params["x"])
            study.tell(trial, TrialState.COMPLETE, number / 14)
    assert len(values) == 14


def test_an_unknown_sampler_or_pruner_names_the_known_ones(files: StudyFiles) -> None:
    with pytest.raises(UsageError) as error:
        build_sampler("grid", study_seed=0, trial_number=0)
    assert "tpe" in error.value.hint
    with pytest.raises(UsageError, match="no pruner"), open_study(files, TERMS, pruner="asha"):
        pass
    assert not files.study_db.exists()


# ---- A prior --------------------------------------------------------------------------------------------------------

PRIOR = {"backbone": {"test_byobnet": 9.0, "test_resnet": 1.0}, "resize": {"32": 1.0, "48": 8.0}}
EAGER = {"backbone": {"test_byobnet": 1.0, "test_resnet": 0.0, "test_efficientnet": 0.0}}
TINY = load_space("tiny")
OTHERS = ("loss", "optimizer", "augment", "batch_size", "freeze_epochs", "lr")


def draw_answers(*, prior: Prior | None, n_complete: int, n_drawn: int = 120, sampler: str = "tpe") -> list[Params]:
    """What the trials after n_complete ones answer, each as if it was the next, with the same number complete."""
    study = optuna.create_study(direction="maximize")
    for number in range(n_complete):
        study.sampler = optuna.samplers.RandomSampler(seed=number)
        trial = study.ask()
        TINY(trial)
        study.tell(trial, float(trial.params["backbone"] == "test_resnet"))
    answers = []
    for number in range(n_drawn):
        trial = study.ask()

        def seed(question: str, number: int = number) -> None:
            study.sampler = build_sampler(sampler, study_seed=0, trial_number=number, question=question, prior=prior)

        TINY(SeededQuestions(trial, seed))
        answers.append(trial.params)
    return answers


def share_of(answers: list[Params], name: str, value: str) -> float:
    return [params[name] for params in answers].count(value) / len(answers)


def test_a_prior_weighs_choices_and_excludes_none() -> None:
    shares = compute_shares({"a": 9.0, "b": 1.0, "c": 0.0}, "backbone", ["a", "b", "c", "d"])
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) == shares[2] == pytest.approx(0.2 / 4)
    assert shares[0] > shares[3] > shares[1]  # nobody knows d: it weighs as much as those that are known on average


def test_before_a_trial_is_complete_backbones_and_sizes_are_drawn_from_the_prior() -> None:
    answers = draw_answers(prior=PRIOR, n_complete=0)
    assert share_of(answers, "backbone", "test_byobnet") == pytest.approx(0.2 / 3 + 0.8 * 9 / 15, abs=0.12)
    assert share_of(answers, "backbone", "test_resnet") == pytest.approx(0.2 / 3 + 0.8 * 1 / 15, abs=0.12)
    assert share_of(answers, "resize", "32-48") == pytest.approx(0.2 / 3 + 0.8 * 8 / 10, abs=0.12)


def test_the_prior_fades_as_trials_complete() -> None:
    few, many = (draw_answers(prior=EAGER, n_complete=n, n_drawn=60) for n in (0, 40))
    assert share_of(few, "backbone", "test_byobnet") == pytest.approx(0.2 / 3 + 0.8, abs=0.1)
    assert share_of(many, "backbone", "test_byobnet") == pytest.approx(0.2, abs=0.15)  # what trials say counts now
    assert share_of(many, "backbone", "test_resnet") > 0.5


def test_draws_are_the_trials_own_and_leave_what_has_no_prior_to_tpe() -> None:
    drawn, again, plain = (draw_answers(prior=prior, n_complete=0, n_drawn=20) for prior in (PRIOR, PRIOR, None))
    assert drawn == again
    assert [[params[name] for name in OTHERS] for params in drawn] == [
        [params[name] for name in OTHERS] for params in plain
    ]
    assert [params["backbone"] for params in drawn] != [params["backbone"] for params in plain]


def test_a_choice_from_the_prior_is_not_sampled_together_with_the_others() -> None:
    study = optuna.create_study(direction="maximize")
    for seed in range(12):
        study.sampler = optuna.samplers.RandomSampler(seed=seed)
        trial = study.ask()
        TINY(trial)
        study.tell(trial, 0.5)
    together = set()
    for number in range(12, 40):
        sampler = build_sampler("tpe", study_seed=0, trial_number=number, prior=PRIOR)
        found = sampler.infer_relative_search_space(study, study.trials[0])
        assert {"lr", "optimizer", "dropout"} <= found.keys()
        together.add(("backbone" in found, "resize" in found))
    assert together == {(True, True), (True, False), (False, True), (False, False)}


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_other_samplers_do_without_a_prior(name: str) -> None:
    drawn, plain = (draw_answers(prior=prior, n_complete=0, n_drawn=10, sampler=name) for prior in (PRIOR, None))
    assert drawn == plain


@pytest.mark.parametrize("prior", [None, {}])
def test_without_a_prior_the_sampler_is_optunas_own(prior: Prior | None) -> None:
    assert type(build_sampler("tpe", study_seed=0, trial_number=0, prior=prior)) is optuna.samplers.TPESampler
