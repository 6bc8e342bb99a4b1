"""What is submitted follows from the sample and the labels together, or it is refused with what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError
from automl.readers.known_competitions import KnownCompetition
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    sample_rows,
)
from tests.automl_tests.readers_tests.labels import (
    CATS,
    NUMBERS,
    Refusal,
    infer,
    labels_of,
    require_refusal,
    sample_with,
)
from tests.automl_tests.small_competitions import put_table_competition


def test_zeros_and_ones_for_named_classes_are_labels_whose_meaning_is_told() -> None:
    found = infer(CATS, sample_with("1", "0"))
    assert found.classes == ("0", "1")
    assert found.targets.tolist() == [0, 1, 1, 0]
    assert "classes: 0 is cat, 1 is dog, as the sample has numbers" in found.evidence
    assert any("would fit a probability as well; the metric roc_auc" in line for line in found.evidence)


def test_of_two_classes_the_probability_is_of_the_later_one_of_that_which_names_the_column_or_of_the_positive() -> None:
    benign = labels_of("benign", "aggressive", "benign")
    assert infer(benign, sample_with("0.5")).classes == ("aggressive", "benign")
    named = infer(benign, sample_with("0.5", columns=["aggressive"]))
    assert (named.classes, named.targets.tolist()) == (("benign", "aggressive"), [0, 1, 0])
    given = infer(benign, sample_with("0.5"), negative="benign")
    assert given.classes == ("benign", "aggressive")


def test_one_probability_of_several_classes_is_of_all_but_the_negative_one_together() -> None:
    labels = labels_of("Cover", "UERD", "JMiPOD", "Cover")
    sample = sample_with("0.1", columns=["Label"])
    found = infer(labels, sample, metric="weighted_auc", negative="Cover")
    assert (found.task, found.submission_kind) == (Task.BINARY, SubmissionKind.PROBABILITY)
    assert found.classes == ("Cover", "not Cover")
    assert found.targets.tolist() == [0, 1, 1, 0]
    known = KnownCompetition(slug="alaska", metric="weighted_auc", negative="Cover")
    assert infer(labels, sample, known).targets.tolist() == [0, 1, 1, 0]
    with pytest.raises(DataError, match="wants one probability in column Label") as caught:
        infer(labels, sample)
    assert "--negative" in caught.value.hint


def test_a_ranking_may_list_labels_that_training_has_not() -> None:
    found = infer(labels_of("w1", "w2", "w3"), sample_with("w1 w2 new", "w1 w3 new"))
    assert (found.submission_kind, found.n_ranked) == (SubmissionKind.RANKING, 3)
    assert found.classes == ("w1", "w2", "w3")
    assert "submission: the sample lists labels without a training image, never predicted: new" in found.evidence


def test_the_users_word_makes_a_value_that_is_no_label_stand_for_nothing() -> None:
    found = infer(labels_of("1", "2", "3"), sample_with("0"), task=Task.MULTICLASS)
    assert (found.submission_kind, found.classes) == (SubmissionKind.LABEL, ("1", "2", "3"))
    line = "submission: 0 in sample_submission.csv is no training label and taken to stand for nothing"
    assert line in found.evidence


def test_columns_of_the_sample_may_have_no_images_or_begin_with_what_is_no_label() -> None:
    found = infer(CATS, sample_with(("0", "0", "0"), columns=["dog", "bat", "cat"]))
    assert found.classes == ("dog", "bat", "cat")
    assert found.targets.tolist() == [2, 0, 0, 2]
    assert "classes: no training image has bat, so that nothing is learnt of it" in found.evidence
    prefixed = infer(CATS, sample_with(("0", "0"), columns=["Status_dog", "Status_cat"]))
    assert prefixed.classes == ("Status_dog", "Status_cat")
    assert prefixed.targets.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("labels", [("1", "2"), ("-1", "1"), ("\u0661", "\u0662")])
def test_two_labels_that_are_numbers_are_submitted_as_they_are(labels: tuple[str, str]) -> None:
    for value in labels:
        found = infer(labels_of(*labels, labels[0]), sample_with(value))
        assert (found.submission_kind, found.classes) == (SubmissionKind.LABEL, labels)
    with pytest.raises(DataError, match="holds 0 in column label"):
        infer(labels_of("1", "2"), sample_with("0"))
    assert infer(labels_of("1", "2"), sample_with("0"), metric="roc_auc").submission_kind is SubmissionKind.PROBABILITY


FAKES = labels_of("fake", "real", "real", "fake")


@pytest.mark.parametrize("value", ["0.5", "0", "1"])
def test_a_column_that_holds_a_label_is_that_of_its_probability_or_says_which_class_is_1(value: str) -> None:
    found = infer(FAKES, sample_with(value, columns=["is_fake"]))
    assert found.classes == (("real", "fake") if value == "0.5" else ("0", "1"))
    assert found.targets.tolist() == [1, 0, 0, 1]
    assert "classes: 1 stands for fake, as column is_fake of sample_submission.csv is called" in found.evidence
    asked = infer(FAKES, sample_with(value, columns=["is_fake"]), negative="fake")
    assert asked.targets.tolist() == [0, 1, 1, 0], "--negative goes before the name"


def test_which_class_is_1_is_a_warning_where_nothing_says_it_and_plain_for_0_and_1() -> None:
    lines = infer(FAKES, sample_with("0", columns=["target"])).evidence
    assert "warning: nothing says which class 1 stands for: real is taken, the later in order, and 0 for fake" in lines
    assert "suggestion: --negative real (takes 1 for fake, and 0 for real)" in lines
    for labels, sample in ((labels_of("0", "1", "1"), sample_with("0.5")), (FAKES, sample_with("fake"))):
        assert not any("which class" in line for line in infer(labels, sample).evidence)
    assert any("which class" in line for line in infer(FAKES, sample_with("fake"), metric="f1").evidence)


def test_a_yes_or_a_no_of_a_class_is_written_as_the_sample_writes_it() -> None:
    found = infer(FAKES, sample_with("False", columns=["is_fake"]))
    assert (found.classes, found.targets.tolist()) == (("False", "True"), [1, 0, 0, 1])
    assert infer(labels_of("0", "1", "1"), sample_with("True")).classes == ("False", "True")


def test_one_probability_of_a_class_that_the_column_names_is_of_it_against_all_others() -> None:
    found = infer(labels_of("cat", "dog", "owl", "cat"), sample_with("0.5", columns=["cat_probability"]))
    assert (found.classes, found.targets.tolist()) == (("not cat", "cat"), [1, 0, 0, 1])
    assert "classes: dog, owl together, as the opposite of cat" in found.evidence


def test_columns_hold_0_or_1_where_labels_are_scored_or_asked_for() -> None:
    hot = labels_of(("1", "0"), ("0", "1"), ("1", "1"), columns=["a", "b"])
    zeros, halves = (sample_with((value, value), columns=["b", "a"]) for value in ("0", "0.5"))
    assert infer(hot, zeros).submission_kind is SubmissionKind.PROBABILITIES
    assert any("suggestion: --metric f1_samples" in line for line in infer(hot, zeros).evidence)
    assert not any("suggestion" in line for line in infer(hot, halves).evidence)
    for sample in (zeros, halves):
        found = infer(hot, sample, metric="f1_micro")
        assert (found.submission_kind, found.classes) == (SubmissionKind.LABELS, ("b", "a"))
        assert infer(hot, sample, submission="labels").submission_kind is SubmissionKind.LABELS
        assert infer(hot, sample, submission="probabilities").submission_kind is SubmissionKind.PROBABILITIES
    known = KnownCompetition(slug="tags", metric="f1_micro")
    assert infer(hot, zeros, known).submission_kind is SubmissionKind.LABELS
    line = "submission: 0 or 1 for each of 2 labels, because of the metric f1_micro, in the columns of"
    assert any(own.startswith(line) for own in infer(hot, zeros, known).evidence)


def test_a_constant_number_that_is_no_label_is_told_and_words_are_refused() -> None:
    found = infer(labels_of("1", "2", "3", "1", "2", "3"), sample_with("0"))
    assert (found.task, found.classes) == (Task.MULTICLASS, ("1", "2", "3"))
    line = "0 in sample_submission.csv is no training label and taken to stand for nothing"
    assert f"warning: {line}" in found.evidence


FAULTS: dict[str, Refusal] = {
    # labels, sample, settings -> error, problem, hint
    "one probability of several classes, by the metric": (
        *(NUMBERS, sample_with("0"), {"metric": "roc_auc"}),
        *(DataError, "wants one probability in column label, because of the metric roc_auc", "--negative"),
    ),
    "a negative class that is none": (
        *(NUMBERS, sample_with("0.5"), {"negative": "zero"}),
        *(UsageError, "--negative zero is no class", "0, 1, 2"),
    ),
    "a negative class for labels": (
        *(NUMBERS, sample_with("1"), {"negative": "0"}),
        *(UsageError, "wants no single probability", "leave --negative out"),
    ),
    "labels with their confidences": (
        *(labels_of("7", "137790", "7"), sample_with("137790 0.1"), {}),
        *(DataError, "asks for labels with a confidence behind each: 137790 0.1", "leave the labels alone"),
    ),
    "numbers that are no labels": (
        *(labels_of("1", "2", "3"), sample_with("0", "4"), {}),
        *(DataError, "holds 0, 4 in column label, but the training labels are 1, 2, 3", "--task regression"),
    ),
    "a word that is no label": (
        *(CATS, sample_with("unknown"), {}),
        *(DataError, "holds unknown in column label", "--task multiclass"),
    ),
    "most columns without images": (
        *(CATS, sample_with(("0",) * 5, columns=["cat", "dog", "owl", "fox", "bat"]), {}),
        *(DataError, "has 3 columns without a training image: owl, fox, bat", "same competition"),
    ),
    "ranked labels with blanks": (
        *(labels_of("Sugar beet", "Maize", "Fat Hen"), sample_with("Maize"), {"metric": "map@2"}),
        *(DataError, "but these have blanks: Fat Hen, Sugar beet", "--label COLUMN"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_submitted_is_refused_in_one_line(fault: str) -> None:
    require_refusal(*FAULTS[fault])


@pytest.mark.parametrize("metric", [None, "accuracy", "f1_macro"])
def test_a_sample_of_zeros_for_labels_0_and_1_asks_for_labels_and_says_that_it_was_unclear(
    tmp_path: Path, metric: str | None
) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "1"), sample="0")
    competition = read_competition(tmp_path, CompetitionSettings(metric=metric))
    assert competition.submission.submission_kind is SubmissionKind.LABEL
    assert "which would fit a probability as well" in competition.evidence[-2]


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_a_sample_of_zeros_asks_for_a_probability_where_the_metric_needs_one(tmp_path: Path, metric: str) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "1"), sample="0")
    competition = read_competition(tmp_path, CompetitionSettings(metric=metric))
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITY
    assert f"because of the metric {metric}" in competition.evidence[-2]


FOLDER_FAULTS: dict[str, FolderFault] = {
    "a label that is not trained": (
        sample_rows("s0,cat", "s1,bat"),
        "sample_submission.csv holds bat in column label, but the training labels are cat, dog, owl",
        "same competition",
    ),
    "a number that is no probability": (sample_rows("s0,7", "s1,7"), "holds 7 in column label", "same competition"),
    "mostly class columns without images": (
        sample_rows("s0,0,0,0,1,0,0,0", header="id,cat,dog,owl,bat,fox,elk,ape"),
        "sample_submission.csv has 4 columns without a training image: bat, fox, elk",
        "same competition",
    ),
    "a trained class without a column": (
        sample_rows("s0,0,1", header="id,cat,dog"),
        "sample_submission.csv has no column for the training labels owl",
        "same competition",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_sample_that_does_not_fit_the_labels_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
