"""Labels and sample submission together say task, classes, targets, what is submitted, and the metric."""

from __future__ import annotations

import pytest

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError
from automl.readers.known_competitions import KnownCompetition
from automl.tasks import Task
from tests.automl_tests.readers_tests.labels import (
    CATS,
    COLUMNS,
    GRADES,
    MULTI_HOT,
    NUMBERS,
    SETS,
    WIDE,
    Refusal,
    infer,
    labels_of,
    require_refusal,
    sample_with,
)

TWO = labels_of("0", "1", "1", "0")
MANY = labels_of(*(str(number) for number in (*range(1, 40), 7)), columns=["Pawpularity"])
AGES = labels_of(*(str(number % 60 + 1) for number in range(180)), columns=["age"])
NUMBERED = labels_of(*(str(number % 60 + 1) for number in range(180)))
ONE_HOT = labels_of(*map(tuple, ("10", "01", "10")), columns=COLUMNS)

UNDERSTOOD = {
    # labels, sample, settings -> task, kind, metric
    "classes": (NUMBERS, sample_with("1", "1"), {}, "multiclass", "label", "accuracy"),
    "classes, the sample blank": (NUMBERS, sample_with(""), {}, "multiclass", "label", "accuracy"),
    "two classes, a probability": (CATS, sample_with("0.5"), {}, "binary", "probability", "roc_auc"),
    "two classes, their names": (CATS, sample_with("dog"), {}, "binary", "label", "accuracy"),
    "zeros, no metric": (TWO, sample_with("0"), {}, "binary", "label", "accuracy"),
    "zeros, auc": (TWO, sample_with("0"), {"metric": "roc_auc"}, "binary", "probability", "roc_auc"),
    "zeros, pf1": (TWO, sample_with("0"), {"metric": "pf1"}, "binary", "probability", "pf1"),
    "zeros, f1": (TWO, sample_with("0"), {"metric": "f1"}, "binary", "label", "f1"),
    "zeros for names, accuracy": (CATS, sample_with("0"), {"metric": "accuracy"}, "binary", "label", "accuracy"),
    "one half, accuracy asked": (CATS, sample_with("0.5"), {"metric": "accuracy"}, "binary", "label", "accuracy"),
    "exclusive columns": (ONE_HOT, WIDE, {}, "binary", "probabilities", "log_loss"),
    "exclusive columns, sets asked": (
        ONE_HOT,
        WIDE,
        {"task": Task.MULTILABEL},
        "multilabel",
        "probabilities",
        "roc_auc",
    ),
    "exclusive columns, a metric of sets": (
        *(ONE_HOT, WIDE, {"metric": "weighted_log_loss", "metric_weights": (("CVC", 2.0),)}),
        *("multilabel", "probabilities", "weighted_log_loss"),
    ),
    "columns that are not exclusive": (MULTI_HOT, WIDE, {}, "multilabel", "probabilities", "roc_auc"),
    "columns of 0 and 1, f1": (MULTI_HOT, WIDE, {"metric": "f1_macro"}, "multilabel", "labels", "f1_macro"),
    "columns of one half, f1": (
        *(MULTI_HOT, sample_with(("0.5", "0.5"), columns=COLUMNS), {"metric": "f1_samples"}),
        *("multilabel", "labels", "f1_samples"),
    ),
    "exclusive columns of 0 and 1, accuracy": (ONE_HOT, WIDE, {"metric": "accuracy"}, "binary", "label", "accuracy"),
    "exclusive columns of one half, accuracy": (
        *(ONE_HOT, sample_with(("0.5", "0.5"), columns=COLUMNS), {"metric": "accuracy"}),
        *("binary", "probabilities", "accuracy"),
    ),
    "exclusive columns, labels asked": (ONE_HOT, WIDE, {"submission": "labels"}, "binary", "label", "accuracy"),
    "lists with commas": (
        *(labels_of("x", "x,y", "y,z", "z"), sample_with("x,y"), {}),
        *("multilabel", "labels", "f1_samples"),
    ),
    "sets": (SETS, sample_with("healthy"), {}, "multilabel", "labels", "f1_samples"),
    "sets, a beta": (SETS, sample_with("healthy"), {"metric": "f2_samples"}, "multilabel", "labels", "f2_samples"),
    "names with blanks, a metric of sets": (
        *(labels_of("dark night", "bright day"), sample_with(""), {"metric": "f1_samples"}),
        *("multilabel", "labels", "f1_samples"),
    ),
    "names with blanks": (labels_of("dark night", "bright day"), sample_with(""), {}, "binary", "label", "accuracy"),
    "sets, ranked": (SETS, sample_with("healthy"), {"metric": "map@2"}, "multilabel", "ranking", "map@2"),
    "single labels, a metric of sets": (
        *(CATS, sample_with("cat"), {"task": Task.MULTILABEL}),
        *("multilabel", "labels", "f1_samples"),
    ),
    "ranked": (NUMBERS, sample_with("0 1", "2 1"), {}, "multiclass", "ranking", "map@2"),
    "ranked by the metric": (NUMBERS, sample_with("0"), {"metric": "map@3"}, "multiclass", "ranking", "map@3"),
    "ranked, the first counts": (
        *(NUMBERS, sample_with("0 1"), {"metric": "top1_error"}),
        *("multiclass", "ranking", "top1_error"),
    ),
    "fractions": (labels_of("1.5", "2.25", "3"), sample_with("0"), {}, "regression", "values", "rmse"),
    "fractions, mae": (labels_of("1.5", "3"), sample_with("0"), {"metric": "mae"}, "regression", "values", "mae"),
    "fractions as classes": (
        *(labels_of("0.5", "1.5"), sample_with("0.5"), {"task": Task.MULTICLASS}),
        *("binary", "label", "accuracy"),
    ),
    "many integers, the sample no label": (MANY, sample_with("99.24"), {}, "regression", "values", "rmse"),
    "ages, the sample a label": (AGES, sample_with("25", columns=["age"]), {}, "regression", "values", "rmse"),
    "ages, the sample zero": (AGES, sample_with("0", columns=["age"]), {}, "regression", "values", "rmse"),
    "numbered classes, the sample a label": (NUMBERED, sample_with("25"), {}, "multiclass", "label", "accuracy"),
    "numbered classes, the sample zero": (NUMBERED, sample_with("0"), {}, "multiclass", "label", "accuracy"),
    "many integers, ranked": (MANY, sample_with("7 8 9"), {}, "multiclass", "ranking", "map@3"),
    "many integers, rmse": (MANY, sample_with("7"), {"metric": "rmse"}, "regression", "values", "rmse"),
    "grades": (GRADES, sample_with("0"), {}, "multiclass", "label", "accuracy"),
    "grades, qwk": (GRADES, sample_with("0"), {"metric": "qwk"}, "ordinal", "label", "qwk"),
    "grades, ordinal": (GRADES, sample_with("0"), {"task": Task.ORDINAL}, "ordinal", "label", "qwk"),
    "grades, r2": (GRADES, sample_with("0"), {"metric": "r2"}, "regression", "values", "r2"),
    "several values": (
        *(labels_of(("1.5", "0"), ("2", "10"), columns=["a", "b"]), sample_with(("0", "0"), columns=["a", "b"]), {}),
        *("regression", "values", "rmse"),
    ),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_task_submission_and_metric_follow_from_labels_and_sample_and_from_what_is_asked(case: str) -> None:
    labels, sample, settings, task, kind, metric = UNDERSTOOD[case]
    found = infer(labels, sample, **settings)
    assert (found.task.value, found.submission_kind.value, found.metric.name) == (task, kind, metric)
    assert found.metric_given == ("metric" in settings)
    assert found.task in found.metric.tasks


def test_a_known_metric_of_labels_yields_where_the_sample_wants_a_probability() -> None:
    known = KnownCompetition(slug="pets", metric="accuracy")
    found = infer(CATS, sample_with("0.5"), known)
    assert (found.submission_kind, found.metric.name, found.metric_given) == (
        SubmissionKind.PROBABILITY,
        "roc_auc",
        False,
    )
    assert any("accuracy, known of pets, is not scored on what" in line for line in found.evidence)
    assert infer(CATS, sample_with("cat"), known).metric.name == "accuracy"
    assert infer(CATS, sample_with("0.5"), KnownCompetition(slug="pets", metric="log_loss")).metric.name == "log_loss"


def test_what_is_known_goes_before_what_is_inferred_and_what_is_asked_before_both() -> None:
    known = KnownCompetition(slug="eyes", metric="qwk", task=Task.ORDINAL, flips=False)
    found = infer(GRADES, sample_with("0"), known)
    assert (found.task, found.metric.name, found.metric_given, found.flips) == (Task.ORDINAL, "qwk", True, False)
    assert "task: ordinal, known of eyes" in found.evidence
    assert "metric: qwk, known of eyes" in found.evidence
    given = infer(GRADES, sample_with("0"), known, task=Task.MULTICLASS, metric="accuracy", flips=True)
    assert (given.task, given.metric.name, given.flips) == (Task.MULTICLASS, "accuracy", True)
    assert "task: multiclass, as asked" in given.evidence
    assert not any(line.startswith("flips") for line in given.evidence)


def test_an_order_that_is_taken_from_names_is_told() -> None:
    found = infer(labels_of("low", "mid", "top"), sample_with("low"), task=Task.ORDINAL)
    assert found.classes == ("low", "mid", "top")
    assert "task: the classes in the order low, mid, top, from their names" in found.evidence


def test_the_weights_of_a_metric_are_those_of_its_classes_in_their_order() -> None:
    known = KnownCompetition(slug="heads", metric="weighted_log_loss", metric_weights=(("CVC", 2.0),))
    assert infer(MULTI_HOT, WIDE, known).metric.weights == (1.0, 2.0)
    given = infer(MULTI_HOT, WIDE, known, metric_weights=(("ETT - Abnormal", 3.0), ("CVC", 0.5)))
    assert given.metric.weights == (3.0, 0.5)
    assert infer(MULTI_HOT, WIDE, known, metric="roc_auc").metric.weights is None
    bare = KnownCompetition(slug="necks", metric="weighted_log_loss")
    assert infer(MULTI_HOT, WIDE, bare).metric.weights == (1.0, 1.0)


FAULTS: dict[str, Refusal] = {
    # labels, sample, settings -> error, problem, hint
    "a metric of probabilities for labels": (
        *(CATS, sample_with("dog"), {"metric": "roc_auc"}),
        *(UsageError, "the metric roc_auc, as asked, cannot score a submission of labels", "accuracy"),
    ),
    "a metric of probabilities for several labels": (
        *(labels_of("cat", "dog", "owl"), sample_with("dog"), {"metric": "roc_auc"}),
        *(UsageError, "the metric roc_auc, as asked, cannot score a submission of labels", "accuracy"),
    ),
    "a metric of values for classes": (
        *(CATS, sample_with("dog"), {"metric": "rmse"}),
        *(UsageError, "rmse scores regression targets, but these are binary", "accuracy"),
    ),
    "many integers, and nothing says what they are": (
        *(MANY, sample_with("7"), {}),
        *(DataError, "unclear whether the 39 whole numbers in column Pawpularity are classes", "--task regression"),
    ),
    "lists or names": (
        *(labels_of("red car", "blue car", "red bus", "blue bus"), sample_with("red car"), {}),
        *(DataError, "such as red car are lists or names", "--task multilabel"),
    ),
    "a metric of two classes for three": (
        *(NUMBERS, sample_with("1"), {"metric": "f1"}),
        *(UsageError, "f1 scores binary targets, but these are multiclass", "accuracy"),
    ),
    "weights of no class": (
        *(MULTI_HOT, WIDE, {"metric": "weighted_log_loss", "metric_weights": (("Cvc", 1.0),)}),
        *(UsageError, "the metric's weights name Cvc, which is no class", "CVC"),
    ),
    "two classes asked of three": (
        *(NUMBERS, sample_with("1"), {"task": Task.BINARY}),
        *(UsageError, "--task binary was asked, but there are 3 classes: 0, 1, 2", "--negative"),
    ),
    "a negative class of sets": (
        *(SETS, sample_with("scab"), {"negative": "scab"}),
        *(UsageError, "with a multilabel task there is no such class", "leave --negative out"),
    ),
    "a sample of other labels": (
        *(SETS, sample_with("tree"), {}),
        *(DataError, "sample_submission.csv holds tree in column label", "same competition"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_refused_in_one_line_that_names_it(fault: str) -> None:
    require_refusal(*FAULTS[fault])


def test_labels_that_look_like_lists_and_are_submitted_as_they_are_are_told() -> None:
    found = infer(labels_of("a|b", "a", "b", "a"), sample_with("a|b"), task=Task.MULTICLASS)
    assert found.classes == ("a", "a|b", "b")
    assert "task: labels such as a|b look like lists; each of them is taken for a class of its own" in found.evidence


HEAD_COLUMNS = ["root", "vowel"]
HEADS = labels_of(("ka", "1"), ("kha", "0"), ("ka", "10"), ("ga", "1"), columns=HEAD_COLUMNS)
HEADS_SAMPLE = sample_with(("1", "ka"), columns=["vowel", "root"])
BENGALI = KnownCompetition(slug="letters", metric="balanced_accuracy", metric_weights=(("root", 2.0),))


def test_columns_with_classes_of_their_own_are_several_heads_in_the_order_of_the_sample() -> None:
    found = infer(HEADS, HEADS_SAMPLE)
    assert (found.task, found.submission_kind, found.metric.name) == ("multioutput", SubmissionKind.LABEL, "accuracy")
    assert [(head.name, head.n_classes) for head in found.heads] == [("vowel", 3), ("root", 3)]
    assert found.classes == ("vowel=0", "vowel=1", "vowel=10", "root=ga", "root=ka", "root=kha")
    assert found.targets.tolist() == [[1, 4], [0, 5], [2, 4], [1, 3]]
    assert found.metric.head_sizes == (3, 3)
    assert not any("--task regression" in line for line in found.evidence)


def test_heads_weigh_what_is_known_and_what_the_user_says_of_them() -> None:
    known = infer(HEADS, HEADS_SAMPLE, BENGALI)
    assert (known.metric.name, known.metric.weights, known.metric.head_sizes) == (
        "balanced_accuracy",
        (1.0, 2.0),
        (3, 3),
    )
    assert "metric: the mean over the heads, weighted vowel 1, root 2" in known.evidence
    own = infer(HEADS, HEADS_SAMPLE, BENGALI, metric_weights=(("vowel", 5.0),))
    assert own.metric.weights == (5.0, 1.0)
    with pytest.raises(UsageError, match="name ka, which is no class"):
        infer(HEADS, HEADS_SAMPLE, metric="accuracy", metric_weights=(("ka", 2.0),))
    with pytest.raises(UsageError, match="cannot score a submission of labels"):
        infer(HEADS, HEADS_SAMPLE, metric="log_loss")


def test_classes_of_heads_that_cannot_be_told_from_one_another_are_refused() -> None:
    labels = labels_of(("b=c", "c"), ("x", "y"), columns=["a", "a=b"])
    with pytest.raises(DataError, match="cannot be told from one another"):
        infer(labels, sample_with(("x", "y"), columns=["a", "a=b"]))


def test_all_images_alike_in_every_head_are_refused() -> None:
    labels = labels_of(("ka", "1"), ("ka", "1"), columns=HEAD_COLUMNS)
    with pytest.raises(DataError, match="all 2 training images have the labels ka, 1"):
        infer(labels, sample_with(("", ""), columns=HEAD_COLUMNS))
