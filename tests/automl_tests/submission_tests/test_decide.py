"""From members' files to the accepted file, for every task and every form of submission."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from automl.artifacts import write_arrays
from automl.data.competition import Competition, SubmissionKind
from automl.decisions.rules import parse_rule
from automl.decisions.temperature import apply_temperature
from automl.ensemble.blending import compute_ranks
from automl.metrics.registry import METRICS, get_metric
from automl.submission.decide import get_deciding_metric, is_blended_by_rank
from automl.submission.validate import find_problems
from automl.submission.write import write_submission
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import competition_of
from tests.automl_tests.submission_tests.forms import FORMS, N_TEST, N_TRAIN, FormStudy, make_study

LABELS_OF = re.compile(r"[^ ]+(?: [^ ]+)*")


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def values_of(path: Path, competition: Competition) -> np.ndarray:
    """(n_test, n_classes) numbers of a file, be it wide or long."""
    rows = [[float(value) for value in row[1:]] for row in read(path)[1:]]
    if competition.submission.cells is None:
        return np.array(rows)
    table = np.full((len(competition.test_ids), competition.n_classes), np.nan)
    for (image, column), (value,) in zip(competition.submission.cells, rows, strict=True):
        table[image, column] = value
    return table


def is_right_file(path: Path, competition: Competition) -> bool:
    """By the rules of the reference alone: header, ids, and a value of the right form in every row."""
    header, *rows = read(path)
    numbers = [[float(value) for value in row[1:]] for row in rows if form_of(competition) == "numbers"]
    checks: dict[str, Callable[[], bool]] = {
        "numbers": lambda: bool(np.isfinite(numbers).all()),
        "names": lambda: all({*re.findall(r"\w+", row[1])} <= {*competition.classes} for row in rows),
    }
    right_rows = [row[0] for row in rows] == list(competition.submission.ids)
    content = path.read_bytes()
    text = b"\r" not in content and content.endswith(b"\n") and not content.startswith(b"\xef")
    return tuple(header) == competition.submission.header and right_rows and text and checks[form_of(competition)]()


def form_of(competition: Competition) -> str:
    kind = competition.submission.submission_kind
    by_name = kind in (SubmissionKind.LABEL, SubmissionKind.LABELS, SubmissionKind.RANKING)
    return "names" if by_name and not competition.has_flags else "numbers"


@pytest.fixture(params=FORMS)
def study(request: pytest.FixtureRequest, tmp_path: Path) -> FormStudy:
    return make_study(request.param, tmp_path)


def test_members_of_every_form_become_a_file_that_is_accepted(study: FormStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv")
    assert is_right_file(tmp_path / "s.csv", study.competition)
    assert find_problems(study.competition, (tmp_path / "s.csv").read_bytes()) == []
    assert np.isfinite([result.score, result.score_error]).all()
    metric = study.competition.metric
    assert not metric.is_better(result.best_single_score, result.score + (0.2 if metric.greater_is_better else -0.2))


def test_the_rule_is_kept_and_decides_the_test_images_as_it_decides_rows_out_of_fold(
    study: FormStudy, tmp_path: Path
) -> None:
    """The test images are twenty of the training images, and there is one member alone."""
    competition, number = study.competition, study.candidates[0].number
    trial = study.files.get_trial_files(number)
    with np.load(trial.oof) as arrays:
        oof = arrays["probs"]
    write_arrays(trial.test, probs=oof[:N_TEST])
    result = study.build(tmp_path / "all.csv", candidates=study.candidates[:1])
    document = json.loads(study.files.ensemble.read_text())
    assert (document["rule"], document["rule_kind"]) == (result.recipe.rule, result.rule_source)
    rule = parse_rule(document["rule"], get_deciding_metric(competition), competition.scorer.context)
    exact = compute_ranks(oof[None])[0] if result.recipe.by_rank else oof.astype(np.float64)
    exact = apply_temperature(exact, result.members[0].temperature, competition.task)
    decided = replace(competition, test_ids=competition.image_ids, submission=as_oof(competition))
    write_submission(decided, exact, tmp_path / "oof.csv", rule)
    out_of_fold = {row[0]: row[1:] for row in read(tmp_path / "oof.csv")[1:]}
    renamed = dict(zip(as_oof(competition).ids, competition.submission.ids, strict=False))
    if not result.recipe.by_rank:  # ranks among twenty are others than ranks among two hundred
        for row in read(tmp_path / "all.csv")[1:]:
            own = next(own for own, test in rows_alike(decided, competition).items() if test == row[0])
            assert out_of_fold[own] == row[1:]
    assert renamed


def rows_alike(decided: Competition, competition: Competition) -> dict[str, str]:
    """The row of the out-of-fold file that stands for the same image (and class) as a row of the test file."""
    if competition.submission.cells is None or decided.submission.cells is None:
        return dict(zip(decided.submission.ids[:N_TEST], competition.submission.ids, strict=True))
    at = dict(zip(decided.submission.cells, decided.submission.ids, strict=True))
    return {at[cell]: own for cell, own in zip(competition.submission.cells, competition.submission.ids, strict=True)}


def as_oof(competition: Competition):  # type: ignore[no-untyped-def]
    """The template as if the training images were submitted."""
    template = competition.submission
    if template.cells is None:
        return replace(template, ids=competition.image_ids)
    cells = tuple((image, column) for image in range(N_TRAIN) for column in range(competition.n_classes))
    ids = tuple(f"{competition.image_ids[image]}_{competition.classes[column]}" for image, column in cells)
    return replace(template, ids=ids, cells=cells)


@pytest.mark.slow
def test_a_decision_does_not_depend_on_the_other_test_images(study: FormStudy, tmp_path: Path) -> None:
    if study.competition.metric.needs == "order":
        pytest.skip("ranks are among all test images")
    study.build(tmp_path / "many.csv")
    few = replace_tests(study, 1, tmp_path / "few")
    few.build(tmp_path / "few.csv")
    many = {row[0]: row[1:] for row in read(tmp_path / "many.csv")}
    assert all(many[row[0]] == row[1:] for row in read(tmp_path / "few.csv")[1:])


def replace_tests(study: FormStudy, n_test: int, root: Path) -> FormStudy:
    """The same study with the first test images alone."""
    competition, template = study.competition, study.competition.submission
    kept = [row for row, cell in enumerate(template.cells or [(i, 0) for i in range(N_TEST)]) if cell[0] < n_test]
    files = replace(study.files, root=root)
    for candidate in study.candidates:
        for name in ("oof", "test"):
            with np.load(getattr(study.files.get_trial_files(candidate.number), name)) as arrays:
                own = dict(arrays)
            own["probs"] = own["probs"][: n_test if name == "test" else None]
            write_arrays(getattr(files.get_trial_files(candidate.number), name), **own)
    submission = replace(
        template,
        ids=tuple(template.ids[row] for row in kept),
        cells=None if template.cells is None else tuple(template.cells[row] for row in kept),
    )
    fewer = replace(
        competition,
        test_ids=competition.test_ids[:n_test],
        test_paths=competition.test_paths[:n_test],
        submission=submission,
    )
    return replace(study, competition=fewer, files=files)


def test_unreadable_images_get_the_prior_and_a_note(study: FormStudy, tmp_path: Path) -> None:
    unseen = replace(study.competition, unreadable_test=(2, 5))
    for candidate in study.candidates:
        with np.load(study.files.get_trial_files(candidate.number).test) as arrays:
            probs = arrays["probs"]
        probs[[2, 5]] = (
            np.eye(unseen.n_classes)[0] if unseen.task.target_kind.is_single_class else 1.0
        )  # of black images
        write_arrays(study.files.get_trial_files(candidate.number).test, probs=probs)
    result = study.build(tmp_path / "s.csv", competition=unseen)
    assert any(note.startswith("2 of 20 test images are missing or broken") for note in result.notes)
    if form_of(unseen) == "numbers" and not unseen.has_flags:
        values = values_of(tmp_path / "s.csv", unseen)
        assert values[[2, 5]] == pytest.approx(
            np.tile(expected_of_unseen(unseen, result.recipe.by_rank), (2, 1)), rel=1e-6
        )
        assert np.unique(values[:, 0]).size > 10
    else:
        rows = [row[1:] for row in read(tmp_path / "s.csv")[1:]]
        rule = parse_rule(dict(result.recipe.rule), get_deciding_metric(unseen), unseen.scorer.context)
        prior_rows = np.tile(unseen.prior, (N_TEST, 1))
        write_submission(unseen, prior_rows, tmp_path / "prior.csv", rule)
        for own, (image, _) in enumerate(unseen.submission.cells or [(i, 0) for i in range(N_TEST)]):
            if image in (2, 5):
                assert rows[own] == read(tmp_path / "prior.csv")[1 + own][1:]


def expected_of_unseen(competition: Competition, by_rank: bool) -> np.ndarray:
    if competition.submission.submission_kind is SubmissionKind.VALUES:
        return competition.targets.mean(axis=0)
    middle = np.full(competition.n_classes, 0.5) if by_rank else competition.prior
    return middle[1:] if competition.submission.submission_kind is SubmissionKind.PROBABILITY else middle


def test_ranks_are_of_the_images_that_can_be_seen(tmp_path: Path) -> None:
    study = make_study("independent probabilities", tmp_path)
    unseen = replace(study.competition, unreadable_test=(0,))
    with np.load(study.files.get_trial_files(0).test) as arrays:
        probs = arrays["probs"]
    probs[0] = 1.0  # would rank above all others
    write_arrays(study.files.get_trial_files(0).test, probs=probs)
    assert study.build(tmp_path / "s.csv", competition=unseen, candidates=study.candidates[:1]).recipe.by_rank
    for column in values_of(tmp_path / "s.csv", unseen).T:
        assert column[0] == 0.5
        assert column[1:].min() == 0.0
        assert column[1:].max() == 1.0


def test_values_are_on_the_scale_of_the_targets_and_near_the_truth(tmp_path: Path) -> None:
    for form in ("value", "long values"):
        study = make_study(form, tmp_path / form)
        result = study.build(tmp_path / form / "s.csv")
        values = values_of(tmp_path / form / "s.csv", study.competition)
        error = np.sqrt(np.mean((values - study.test_targets) ** 2, axis=0))
        assert (error < 0.7 * study.test_targets.std(axis=0)).all()
        assert "scale" in result.rule_words


def test_the_score_of_values_is_scikit_learns(tmp_path: Path) -> None:
    study = make_study("value", tmp_path, n_models=1)
    result = study.build(tmp_path / "s.csv")
    with np.load(study.files.get_trial_files(0).oof) as arrays:
        low, high = study.competition.scales[0]  # type: ignore[index]
        values = low + arrays["probs"].astype(float) * (high - low)
    expected = reference.mean_squared_error(study.competition.targets, values) ** 0.5
    assert result.score == pytest.approx(expected)


def test_tags_that_are_rare_in_training_are_rare_in_the_file(tmp_path: Path) -> None:
    """With three members that are never sure: one half would give the rare labels to nobody."""
    study = make_study("labels, may be none", tmp_path, n_test=400)
    make_timid(study)
    result = study.build(tmp_path / "s.csv")
    named = [row[1].split() for row in read(tmp_path / "s.csv")[1:]]
    frequency = np.array([np.mean([name in names for names in named]) for name in study.competition.classes])
    assert frequency == pytest.approx(study.competition.prior, abs=0.12)
    assert frequency[0] > 0.5
    assert result.rule_source in ("matched", "searched")
    assert "thresholds" in result.rule_words


def test_every_image_has_a_label_where_every_training_image_has_one(tmp_path: Path) -> None:
    study = make_study("labels", tmp_path)
    study.build(tmp_path / "s.csv")
    assert all(row[1] for row in read(tmp_path / "s.csv")[1:])
    write_submission(study.competition, np.full((N_TEST, 4), [0.01, 0.2, 0.1, 0.0]), tmp_path / "s.csv")
    assert {row[1] for row in read(tmp_path / "s.csv")[1:]} == {"road"}


def test_labels_are_named_in_the_order_of_the_classes_with_one_space(tmp_path: Path) -> None:
    study = make_study("labels, may be none", tmp_path)
    probs = np.full((N_TEST, 4), 0.1)
    probs[0] = [0.6, 0.1, 0.9, 0.1]
    write_submission(study.competition, probs, tmp_path / "s.csv")
    rows = read(tmp_path / "s.csv")
    assert rows[1] == ["001000.png", "clear water"]
    assert rows[2] == ["001001.png", ""]


def test_a_ranking_names_that_many_different_classes_the_likeliest_first(tmp_path: Path) -> None:
    study = make_study("ranking", tmp_path)
    probs = np.tile([0.1, 0.3, 0.2, 0.05, 0.25, 0.07, 0.03], (N_TEST, 1))
    for metric in ("map@5", "map@2", "accuracy"):  # the file's form is the sample's, whatever is scored of it
        write_submission(replace(study.competition, metric=get_metric(metric)), probs, tmp_path / "s.csv")
        assert read(tmp_path / "s.csv")[1] == ["001000.png", "w2 w5 w3 w1 w6"]
    few = make_study("ranking scored at the top", tmp_path / "few")
    write_submission(few.competition, np.tile([0.2, 0.5, 0.3], (N_TEST, 1)), tmp_path / "few.csv")
    assert read(tmp_path / "few.csv")[1] == ["001000.png", "2 3 1"]


def test_a_ranking_begins_with_the_label_that_a_rule_decides_on(tmp_path: Path) -> None:
    study = make_study("ranking scored at the top", tmp_path)

    class Third:
        def __call__(self, probs: np.ndarray) -> np.ndarray:
            return np.full(len(probs), 2)

        def to_json(self) -> dict[str, object]:
            return {"rule": "third"}

    write_submission(study.competition, np.tile([0.2, 0.5, 0.3], (N_TEST, 1)), tmp_path / "s.csv", Third())
    assert read(tmp_path / "s.csv")[1] == ["001000.png", "3 2 1"]


def test_independent_probabilities_are_not_normalised(tmp_path: Path) -> None:
    study = make_study("independent probabilities", tmp_path)
    write_submission(study.competition, np.full((N_TEST, 3), [0.9, 0.8, 1.0 + 1e-9]), tmp_path / "s.csv")
    assert read(tmp_path / "s.csv")[1] == ["001000.png", "0.9", "0.8", "1"]


def test_one_class_probabilities_in_the_long_form_sum_to_one_for_each_image(tmp_path: Path) -> None:
    long = make_study("long probabilities", tmp_path).competition
    targets = np.arange(N_TRAIN) % 3
    one_class = replace(long, task=make_study("one label", tmp_path / "b").competition.task, targets=targets)
    write_submission(one_class, np.tile([0.2, 0.2, 0.1], (N_TEST, 1)), tmp_path / "s.csv")
    assert values_of(tmp_path / "s.csv", one_class)[0] == pytest.approx([0.4, 0.4, 0.2])


def test_what_is_submitted_may_be_another_thing_than_what_is_scored(tmp_path: Path) -> None:
    """Labels are wanted, and the metric ranks; and the other way round."""
    label = make_study("one label", tmp_path / "a")
    ranked = replace(label.competition, metric=get_metric("log_loss"))
    result = label.build(tmp_path / "a.csv", competition=ranked)
    assert {row[1] for row in read(tmp_path / "a.csv")[1:]} <= {"a", "b", "c"}
    assert result.metric == "log_loss"
    assert result.rule_words == "decided by the most probable class"
    probability = make_study("one probability", tmp_path / "b")
    labelled = replace(probability.competition, metric=get_metric("accuracy"))
    result = probability.build(tmp_path / "b.csv", competition=labelled)
    assert len({row[1] for row in read(tmp_path / "b.csv")[1:]}) == N_TEST
    assert not result.recipe.by_rank


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("one label", "decided by the most probable class"),
        ("label by f1", "decided by thresholds matched to the training frequencies"),
        ("ordinal", "decided by cut points matched to the training frequencies"),
        (
            "labels",
            "decided by thresholds searched on rows out of fold, as they win on rows that they were not searched on",
        ),
        ("ranking", "decided by the 5 most probable classes"),
        ("one probability", "submitted as ranks, without a decision"),
        (
            "a probability each",
            "submitted as probabilities with a temperature of 0.65, as that wins on rows out of fold that it was not "
            "fitted on",
        ),
        ("value", "submitted as values on the scale of the training targets"),
    ],
)
def test_the_rule_is_described_in_words(form: str, words: str, tmp_path: Path) -> None:
    study = make_study(form, tmp_path)
    if "matched" in words or "searched" in words:
        make_timid(study)
    result = study.build(tmp_path / "s.csv")
    assert result.rule_words == words
    assert json.loads(study.files.ensemble.read_text())["decided"] == words


def make_timid(study: FormStudy) -> None:
    """Members with low probabilities of the rare classes, so that the plain rule never names them."""
    for candidate in study.candidates:
        for name in ("oof", "test"):
            path = getattr(study.files.get_trial_files(candidate.number), name)
            with np.load(path) as arrays:
                own = dict(arrays)
            own["probs"] = own["probs"] / 3
            if study.competition.task.target_kind.is_single_class:
                own["probs"][:, 0] += 2 / 3
            write_arrays(path, **own)


def test_ranks_are_averaged_only_where_columns_are_independent_and_the_user_named_a_ranking_metric() -> None:
    competition = competition_of(SubmissionKind.PROBABILITY)
    ranking = replace(competition, metric=METRICS["roc_auc"], metric_given=True)
    assert is_blended_by_rank(ranking)
    assert not is_blended_by_rank(competition)
    assert not is_blended_by_rank(replace(ranking, metric_given=False))
    three = replace(ranking, classes=("a", "b", "c"))
    assert not is_blended_by_rank(three)
    assert is_blended_by_rank(replace(three, task=Task.MULTILABEL))
    assert not is_blended_by_rank(replace(three, task=Task.MULTILABEL, metric=METRICS["log_loss"]))
    for kind in (SubmissionKind.LABEL, SubmissionKind.LABELS, SubmissionKind.RANKING):
        decided = replace(ranking, submission=competition_of(kind).submission)
        assert not is_blended_by_rank(decided)
        assert not is_blended_by_rank(replace(decided, task=Task.MULTILABEL))
