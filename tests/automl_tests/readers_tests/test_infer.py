"""Labels and sample submission together tell task, classes, targets, what is submitted, and the metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError
from automl.files.tables import Table
from automl.readers.infer import Meaning, understand
from automl.readers.known_competitions import Known
from automl.readers.labels.cells import holds_lists, separated_labels, sets_of
from automl.readers.labels.source import Labels
from automl.readers.settings import Asked
from automl.readers.submission_template import Sample, sample_of
from automl.tasks import Task


def labels_of(*rows: str | Sequence[str], columns: Sequence[str] = ("label",)) -> Labels:
    """Labels of images 0, 1, ...: a text for each, or a text for each column."""
    cells = tuple((row,) if isinstance(row, str) else tuple(row) for row in rows)
    ids = tuple(str(number) for number in range(len(cells)))
    return Labels(ids=ids, images=ids, columns=tuple(columns), cells=cells, evidence=())


def sample_with(*rows: str | Sequence[str], columns: Sequence[str] = ("label",)) -> Sample:
    """A sample submission for s0, s1, ..., with a text for each row or for each of its columns."""
    fields = [(row,) if isinstance(row, str) else tuple(row) for row in rows]
    return sample_of(
        Table(
            name="sample_submission.csv",
            delimiter=",",
            header=("id", *columns),
            rows=tuple((f"s{number}", *row) for number, row in enumerate(fields)),
            lines=tuple(range(2, len(fields) + 2)),
        )
    )


def meant(labels: Labels, sample: Sample, known: Known | None = None, **asked: object) -> Meaning:
    return understand(labels, sample, Asked(**asked), known)  # type: ignore[arg-type]


NUMBERS = labels_of("0", "1", "2", "1")
TWO = labels_of("0", "1", "1", "0")
CATS = labels_of("cat", "dog", "dog", "cat")
GRADES = labels_of("0", "1", "2", "3", "4", columns=["diagnosis"])
MANY = labels_of(*(str(number) for number in (*range(1, 40), 7)), columns=["Pawpularity"])
SETS = labels_of("scab rust", "scab", "rust", "healthy")
COLUMNS = ["ETT - Abnormal", "CVC"]
ONE_HOT = labels_of(*map(tuple, ("10", "01", "10")), columns=COLUMNS)
MULTI_HOT = labels_of(*map(tuple, ("10", "11", "00")), columns=COLUMNS)
WIDE = sample_with(("0", "0"), columns=COLUMNS)

UNDERSTOOD = {
    # labels, sample, what is asked -> task, kind, metric
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
    "many integers, the sample a label": (MANY, sample_with("7"), {}, "multiclass", "label", "accuracy"),
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
    labels, sample, asked, task, kind, metric = UNDERSTOOD[case]
    found = meant(labels, sample, **asked)
    assert (found.task.value, found.kind.value, found.metric.name) == (task, kind, metric)
    assert found.metric_given == ("metric" in asked)
    assert found.task in found.metric.tasks


def test_a_known_metric_of_labels_yields_where_the_sample_wants_a_probability() -> None:
    known = Known(slug="pets", metric="accuracy")
    found = meant(CATS, sample_with("0.5"), known)
    assert (found.kind, found.metric.name, found.metric_given) == (SubmissionKind.PROBABILITY, "roc_auc", False)
    assert any("accuracy, known of pets, is not scored on what" in line for line in found.evidence)
    assert meant(CATS, sample_with("cat"), known).metric.name == "accuracy"
    assert meant(CATS, sample_with("0.5"), Known(slug="pets", metric="log_loss")).metric.name == "log_loss"


def test_what_is_known_goes_before_what_is_inferred_and_what_is_asked_before_both() -> None:
    known = Known(slug="eyes", metric="qwk", task=Task.ORDINAL, flips=False)
    found = meant(GRADES, sample_with("0"), known)
    assert (found.task, found.metric.name, found.metric_given, found.flips) == (Task.ORDINAL, "qwk", True, False)
    assert "task: ordinal, known of eyes" in found.evidence
    assert "metric: qwk, known of eyes" in found.evidence
    told = meant(GRADES, sample_with("0"), known, task=Task.MULTICLASS, metric="accuracy", flips=True)
    assert (told.task, told.metric.name, told.flips) == (Task.MULTICLASS, "accuracy", True)
    assert "task: multiclass, as asked" in told.evidence
    assert not any(line.startswith("flips") for line in told.evidence)


def test_grades_are_proposed_to_be_ordinal_and_never_taken_so_in_silence() -> None:
    line = "task: the labels 0 to 4 of column diagnosis look like grades; --task ordinal would take them in their order"
    assert line in meant(GRADES, sample_with("0")).evidence
    assert line not in meant(GRADES, sample_with("0"), metric="qwk").evidence
    unordered = labels_of("0", "1", "2", columns=["species"])
    assert not any("grades" in line for line in meant(unordered, sample_with("0")).evidence)
    gap = labels_of("0", "1", "3", columns=["grade"])
    assert not any("grades" in line for line in meant(gap, sample_with("0")).evidence)


def test_an_order_that_is_taken_from_names_is_told() -> None:
    found = meant(labels_of("low", "mid", "top"), sample_with("low"), task=Task.ORDINAL)
    assert found.classes == ("low", "mid", "top")
    assert "task: the classes in the order low, mid, top, from their names" in found.evidence


def test_sets_of_labels_become_ones_in_natural_order_or_in_that_of_the_samples_columns() -> None:
    found = meant(labels_of("10 9", "", "2 10"), sample_with("9"))
    assert found.classes == ("2", "9", "10")
    assert found.targets.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]
    assert found.targets.dtype == np.int8
    wide = meant(
        labels_of("b a", "", "a c"), sample_with(("0", "0", "0"), columns=["c", "a", "b"]), task=Task.MULTILABEL
    )
    assert wide.classes == ("c", "a", "b")
    assert wide.targets.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_a_label_that_all_images_have_is_told() -> None:
    found = meant(labels_of(("1", "1"), ("1", "0"), columns=COLUMNS), WIDE)
    line = "classes: every image or none has ETT - Abnormal, so that nothing is learnt of it"
    assert line in found.evidence


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (("1", "55.5", "100"), (0.0, 100.0)),
        (("0", "1.5"), (0.0, 1.5)),
        (("20.5", "30"), (20.5, 30.0)),
        (("-1.5", "30"), (-1.5, 30.0)),
        (("3.1", "30"), (3.1, 30.0)),
        (("-5.5", "-1"), (-5.5, -1.0)),
    ],
)
def test_a_scale_goes_from_the_least_to_the_largest_value_or_from_zero_where_that_is_near(
    values: tuple[str, ...], scale: tuple[float, float]
) -> None:
    found = meant(labels_of(*values), sample_with("0"), task=Task.REGRESSION)
    assert found.scales == (scale,)
    assert found.targets.tolist() == [[float(value)] for value in values]
    assert found.targets.dtype == np.float64
    assert found.classes == ("label",)


def test_zeros_and_ones_for_named_classes_are_labels_whose_meaning_is_told() -> None:
    found = meant(CATS, sample_with("1", "0"))
    assert found.classes == ("0", "1")
    assert found.targets.tolist() == [0, 1, 1, 0]
    assert "classes: 0 is cat, 1 is dog, as the sample has numbers" in found.evidence
    assert any("would fit a probability as well; the metric roc_auc" in line for line in found.evidence)


def test_of_two_classes_the_probability_is_of_the_later_one_of_that_which_names_the_column_or_of_the_positive() -> None:
    benign = labels_of("benign", "aggressive", "benign")
    assert meant(benign, sample_with("0.5")).classes == ("aggressive", "benign")
    named = meant(benign, sample_with("0.5", columns=["aggressive"]))
    assert (named.classes, named.targets.tolist()) == (("benign", "aggressive"), [0, 1, 0])
    told = meant(benign, sample_with("0.5"), negative="benign")
    assert told.classes == ("benign", "aggressive")


def test_one_probability_of_several_classes_is_of_all_but_the_negative_one_together() -> None:
    labels = labels_of("Cover", "UERD", "JMiPOD", "Cover")
    sample = sample_with("0.1", columns=["Label"])
    found = meant(labels, sample, metric="weighted_auc", negative="Cover")
    assert (found.task, found.kind) == (Task.BINARY, SubmissionKind.PROBABILITY)
    assert found.classes == ("Cover", "not Cover")
    assert found.targets.tolist() == [0, 1, 1, 0]
    known = Known(slug="alaska", metric="weighted_auc", negative="Cover")
    assert meant(labels, sample, known).targets.tolist() == [0, 1, 1, 0]
    with pytest.raises(DataError, match="wants one probability in column Label") as caught:
        meant(labels, sample)
    assert "--negative" in caught.value.hint


def test_the_weights_of_a_metric_are_those_of_its_classes_in_their_order() -> None:
    known = Known(slug="heads", metric="weighted_log_loss", metric_weights=(("CVC", 2.0),))
    assert meant(MULTI_HOT, WIDE, known).metric.weights == (1.0, 2.0)
    asked = meant(MULTI_HOT, WIDE, known, metric_weights=(("ETT - Abnormal", 3.0), ("CVC", 0.5)))
    assert asked.metric.weights == (3.0, 0.5)
    assert meant(MULTI_HOT, WIDE, known, metric="roc_auc").metric.weights is None
    bare = Known(slug="necks", metric="weighted_log_loss")
    assert meant(MULTI_HOT, WIDE, bare).metric.weights == (1.0, 1.0)


def test_a_ranking_may_list_labels_that_training_has_not() -> None:
    found = meant(labels_of("w1", "w2", "w3"), sample_with("w1 w2 new", "w1 w3 new"))
    assert (found.kind, found.n_ranked) == (SubmissionKind.RANKING, 3)
    assert found.classes == ("w1", "w2", "w3")
    assert "submission: the sample lists labels without a training image, never predicted: new" in found.evidence


LISTS = {
    "class names": (["Sugar beet", "Common wheat", "Common Chickweed", "Maize"], [], False),
    "birds": (["Black footed Albatross", "Sooty Albatross", "Black Tern", "Least Tern"], [], False),
    "tags": (["clear primary", "haze primary", "haze water", "clear water"], [], True),
    "parts of half of them": (["clear primary", "haze primary water", "clear"], [], False),
    "numbers": (["16 0", "25"], [], True),
    "one label each": (["cat", "dog"], [], False),
    "blank cells": (["", "cat"], [], False),
    "a combination in the sample": (["dark night", "bright day"], ["dark day"], True),
    "a training cell in the sample": (["dark night", "bright day"], ["dark night"], False),
}
SEPARATED = {
    "bars": (["Mass", "Mass|Effusion", "Effusion"], {"Mass|Effusion": ("Mass", "Effusion")}),
    "commas and blanks": (["scab, rust", "scab", "rust"], {"scab, rust": ("scab", "rust")}),
    "lists as Python writes them": (["['a', \"b c\"]", "[]"], {"['a', \"b c\"]": ("a", "b c"), "[]": ()}),
    "names of equally many parts": (["Apple, scab", "Apple, rust", "Pear, scab", "Pear, rust"], None),
    "a name with a comma": (["Pepper, bell", "Maize"], None),
    "one label each": (["cat", "dog"], None),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_labels_with_other_signs_between_them_are_seen_where_their_parts_are_labels_elsewhere_too(case: str) -> None:
    cells, expected = SEPARATED[case]
    found = separated_labels(cells)
    assert (found is None) == (expected is None)
    assert (found or {}).items() >= (expected or {}).items()


def test_lists_of_the_samples_classes_may_have_one_name_for_none_of_them() -> None:
    assert sets_of(["a|b", "No Finding"], ["a", "b"]) == {"a|b": ("a", "b"), "No Finding": ()}
    assert sets_of(["a|b", "x", "y"], ["a", "b"]) is None
    assert sets_of(["a|x", "b"], ["a", "b"]) is None
    assert sets_of(["a", "b"], ["a", "b"]) is None, "nothing to take apart"


@pytest.mark.parametrize("case", LISTS)
def test_cells_hold_lists_where_their_parts_are_labels_elsewhere_too(case: str) -> None:
    cells, values, expected = LISTS[case]
    assert holds_lists(cells, values) == expected


FAULTS = {
    # labels, sample, what is asked -> error, problem, hint
    "a metric of probabilities for labels": (
        *(CATS, sample_with("dog"), {"metric": "roc_auc"}),
        *(UsageError, "the metric roc_auc, as asked, cannot score a submission of labels", "accuracy"),
    ),
    "a metric of probabilities for several labels": (
        *(labels_of("cat", "dog", "owl"), sample_with("dog"), {"metric": "roc_auc"}),
        *(UsageError, "the metric roc_auc, as asked, cannot score a submission of labels", "accuracy"),
    ),
    "one probability of several classes, by the metric": (
        *(NUMBERS, sample_with("0"), {"metric": "roc_auc"}),
        *(DataError, "wants one probability in column label, because of the metric roc_auc", "--negative"),
    ),
    "a metric of values for classes": (
        *(CATS, sample_with("dog"), {"metric": "rmse"}),
        *(UsageError, "rmse scores regression targets, but these are binary", "accuracy"),
    ),
    "a metric of labels for columns of sets": (
        *(MULTI_HOT, WIDE, {"metric": "f1_macro"}),
        *(UsageError, "the metric f1_macro, as asked, cannot score a submission of a probability", "roc_auc"),
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
    "a negative class that is none": (
        *(NUMBERS, sample_with("0.5"), {"negative": "zero"}),
        *(UsageError, "--negative zero is no class", "0, 1, 2"),
    ),
    "a negative class for labels": (
        *(NUMBERS, sample_with("1"), {"negative": "0"}),
        *(UsageError, "wants no single probability", "leave --negative out"),
    ),
    "a negative class of sets": (
        *(SETS, sample_with("scab"), {"negative": "scab"}),
        *(UsageError, "with a multilabel task there is no such class", "leave --negative out"),
    ),
    "text where values are asked": (
        *(labels_of("1", "tall"), sample_with("0"), {"task": Task.REGRESSION}),
        *(DataError, "the value of 1 in column label is no number: tall", "give a number"),
    ),
    "an endless value": (
        *(labels_of("1.5", "1e999"), sample_with("0"), {"task": Task.REGRESSION}),
        *(DataError, "the value of 1 in column label is no number: 1e999", "give a number"),
    ),
    "one value": (
        *(labels_of("1.5", "1.5"), sample_with("0"), {}),
        *(DataError, "all 2 training images have the value 1.5", "other values"),
    ),
    "a sample of more targets than training": (
        *(labels_of("1.5", "2.5"), sample_with(("0", "0"), columns=["a", "b"]), {"task": Task.REGRESSION}),
        *(DataError, "sample_submission.csv has 2 targets, but training has values of 1", "same competition"),
    ),
    "the same labels everywhere": (
        *(labels_of("a b", "a b", "b a"), sample_with("a b"), {"task": Task.MULTILABEL}),
        *(DataError, "all 3 training images have the labels a, b", "other labels"),
    ),
    "a sample of other labels": (
        *(SETS, sample_with("tree"), {}),
        *(DataError, "sample_submission.csv holds tree in column label", "same competition"),
    ),
    "several classes of one image": (
        *(MULTI_HOT, WIDE, {"task": Task.MULTICLASS}),
        *(DataError, "1 has 2 of the 2 classes: ETT - Abnormal, CVC", "--task multilabel"),
    ),
    "a blank class": (
        *(labels_of("cat", "", "dog"), sample_with("cat"), {}),
        *(DataError, "there is no label of 1", "add the labels"),
    ),
    "a label of its own for each image": (
        *(labels_of(*(f"w{number}" for number in range(21))), sample_with("w1"), {}),
        *(DataError, "each of the 21 training images has a label of its own: w0", "--label"),
    ),
    "a number of its own for each image": (
        *(labels_of(*(str(number) for number in range(21))), sample_with("1"), {"metric": "accuracy"}),
        *(DataError, "has a label of its own", "--task regression"),
    ),
    "labels with their confidences": (
        *(labels_of("7", "137790", "7"), sample_with("137790 0.1"), {}),
        *(DataError, "asks for labels with a confidence behind each: 137790 0.1", "leave the labels alone"),
    ),
    "a number that is no label": (
        *(labels_of("1", "2", "3"), sample_with("0"), {}),
        *(DataError, "holds 0 in column label, but the training labels are 1, 2, 3", "--task regression"),
    ),
    "a word that is no label": (
        *(CATS, sample_with("unknown"), {}),
        *(DataError, "holds unknown in column label", "--task multiclass"),
    ),
    "masks for labels": (
        *(labels_of("1 3 10 3", "5 2 7 2"), sample_with(""), {}),
        *(DataError, "holds lists that name something twice, as masks and boxes do: 1 3 10 3", "segmentation"),
    ),
    "lists that a submission cannot have": (
        *(labels_of("a|b", "a", "b"), sample_with(""), {"task": Task.MULTILABEL}),
        *(DataError, "holds lists without blanks between the labels", "a column for each label"),
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
def test_what_does_not_fit_is_refused_in_one_line_that_names_it(fault: str) -> None:
    labels, sample, asked, kind, problem, hint = FAULTS[fault]
    with pytest.raises(kind) as caught:
        meant(labels, sample, **asked)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert "\n" not in caught.value.problem + caught.value.hint


def test_the_users_word_makes_a_value_that_is_no_label_stand_for_nothing() -> None:
    found = meant(labels_of("1", "2", "3"), sample_with("0"), task=Task.MULTICLASS)
    assert (found.kind, found.classes) == (SubmissionKind.LABEL, ("1", "2", "3"))
    line = "submission: 0 in sample_submission.csv is no training label and taken to stand for nothing"
    assert line in found.evidence


def test_columns_of_the_sample_may_have_no_images_or_begin_with_what_is_no_label() -> None:
    found = meant(CATS, sample_with(("0", "0", "0"), columns=["dog", "bat", "cat"]))
    assert found.classes == ("dog", "bat", "cat")
    assert found.targets.tolist() == [2, 0, 0, 2]
    assert "classes: no training image has bat, so that nothing is learnt of it" in found.evidence
    prefixed = meant(CATS, sample_with(("0", "0"), columns=["Status_dog", "Status_cat"]))
    assert prefixed.classes == ("Status_dog", "Status_cat")
    assert prefixed.targets.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("labels", [("1", "2"), ("-1", "1"), ("\u0661", "\u0662")])
def test_two_labels_that_are_numbers_are_submitted_as_they_are(labels: tuple[str, str]) -> None:
    for value in labels:
        found = meant(labels_of(*labels, labels[0]), sample_with(value))
        assert (found.kind, found.classes) == (SubmissionKind.LABEL, labels)
    with pytest.raises(DataError, match="holds 0 in column label"):
        meant(labels_of("1", "2"), sample_with("0"))
    assert meant(labels_of("1", "2"), sample_with("0"), metric="roc_auc").kind is SubmissionKind.PROBABILITY


def test_labels_that_look_like_lists_and_are_submitted_as_they_are_are_told() -> None:
    found = meant(labels_of("a|b", "a", "b", "a"), sample_with("a|b"))
    assert found.classes == ("a", "a|b", "b")
    assert "task: labels such as a|b look like lists; each of them is taken for a class of its own" in found.evidence
