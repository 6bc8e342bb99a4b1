"""What is computed of targets and probabilities, for one class, several labels, and values."""

from __future__ import annotations

import numpy as np
import pytest

from automl.target_kinds import MULTI_LABEL, SINGLE_CLASS, VALUES, TargetKind, find_rarest_labels

CLASSES = np.array([2, 0, 2, 1])
LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=np.int8)
TENS = np.array([[0.0, 5.0], [10.0, 5.0], [5.0, 5.0]])
SCALES = ((0.0, 10.0), (5.0, 5.0))  # the second target never varies


@pytest.mark.parametrize(("kind", "targets"), [(SINGLE_CLASS, CLASSES), (MULTI_LABEL, LABELS), (VALUES, TENS)])
def test_soft_targets_become_the_targets_again(kind: TargetKind, targets: np.ndarray) -> None:
    n_classes = 2 if kind is VALUES else 3
    soft_targets = kind.compute_soft_targets(targets, n_classes=n_classes, scales=SCALES)
    assert (soft_targets.dtype, soft_targets.shape) == (np.float32, (len(targets), n_classes))
    assert soft_targets.min() >= 0.0 and soft_targets.max() <= 1.0
    assert kind.convert_soft_targets(soft_targets, scales=SCALES).tolist() == targets.tolist()


def test_images_are_counted_and_found_by_class_and_the_prior_is_their_share() -> None:
    assert SINGLE_CLASS.count_images(CLASSES, n_classes=4).tolist() == [1, 1, 2, 0]
    assert SINGLE_CLASS.find_rows(CLASSES, 2).tolist() == [0, 2]
    assert SINGLE_CLASS.compute_prior(CLASSES, n_classes=4, scales=None).tolist() == [0.25, 0.25, 0.5, 0.0]
    assert MULTI_LABEL.count_images(LABELS, n_classes=3).tolist() == [3, 1, 1]
    assert MULTI_LABEL.find_rows(LABELS, 0).tolist() == [0, 2, 3]
    assert MULTI_LABEL.compute_prior(LABELS, n_classes=3, scales=None).tolist() == [0.75, 0.25, 0.25]
    assert VALUES.count_images(TENS, n_classes=2).tolist() == [3, 3]
    assert VALUES.find_rows(TENS, 1).tolist() == [0, 1, 2]
    assert VALUES.compute_mean_probs(TENS, n_classes=2, scales=SCALES).tolist() == [0.5, 0.0]
    assert VALUES.compute_mean_probs(TENS, n_classes=2, scales=None).tolist() == [5.0, 5.0]


def test_strata_are_classes_the_rarest_labels_or_deciles() -> None:
    assert SINGLE_CLASS.compute_strata(CLASSES, scales=None).tolist() == CLASSES.tolist()
    assert MULTI_LABEL.compute_strata(LABELS, scales=None).tolist() == [2, 3, 1, 0]
    assert find_rarest_labels(np.zeros((2, 3))).tolist() == [3, 3]
    skewed = np.linspace(0.0, 1.0, 100)[:, None] ** 4
    scales = ((0.0, 1.0),)
    assert np.bincount(VALUES.compute_strata(skewed, scales=scales)).tolist() == [10] * 10
    tenths = VALUES.count_for_weights(skewed, n_classes=1, scales=scales)
    assert tenths.sum() == 100 and tenths[0] > 50
    assert VALUES.compute_sampling_strata(skewed, scales=scales).max() == 9


@pytest.mark.parametrize(
    ("kind", "target", "label"),
    [
        (SINGLE_CLASS, 1, "bee"),
        (MULTI_LABEL, [1, 0, 1], "ant, cat"),
        (MULTI_LABEL, [0, 0, 0], "no label"),
        (VALUES, [1.0, 0.25, 3e6], "1, 0.25, 3e+06"),
    ],
)
def test_a_target_is_written_in_words(kind: TargetKind, target: object, label: str) -> None:
    assert kind.format_label(target, ("ant", "bee", "cat")) == label


def test_an_image_is_known_once_its_least_sure_label_is() -> None:
    probs = np.array([[0.9, 0.05, 0.2], [0.1, 0.2, 0.3]])
    assert SINGLE_CLASS.compute_confidence(probs, always_labelled=True).tolist() == [0.9, 0.3]
    assert MULTI_LABEL.compute_confidence(probs, always_labelled=False).tolist() == pytest.approx([0.8, 0.7])
    assert MULTI_LABEL.compute_confidence(probs, always_labelled=True).tolist() == pytest.approx([0.8, 0.0])
    assert MULTI_LABEL.is_always_labelled(LABELS[[0, 2]]) and not MULTI_LABEL.is_always_labelled(LABELS)


def test_rows_sum_to_one_where_an_image_has_one_class_and_only_there() -> None:
    probs = np.array([[2.0, 2.0], [0.0, 0.0]])
    assert SINGLE_CLASS.normalize_rows(probs).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert MULTI_LABEL.normalize_rows(probs) is probs
    assert not SINGLE_CLASS.has_valid_sums(probs) and MULTI_LABEL.has_valid_sums(probs)
    assert SINGLE_CLASS.has_valid_sums(np.array([[0.3, 0.7005]]))


@pytest.mark.parametrize("kind", [SINGLE_CLASS, MULTI_LABEL])
def test_logits_become_the_probabilities_again_even_where_they_are_large(kind: TargetKind) -> None:
    probs = np.array([[0.2, 0.3, 0.5], [0.01, 0.01, 0.98]])
    assert np.allclose(kind.convert_logits(kind.compute_logits(probs)), probs)
    assert np.isfinite(SINGLE_CLASS.convert_logits(np.array([[1000.0, 0.0, -1000.0]]))).all()


def test_the_log_loss_is_that_of_the_softened_probabilities() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]))
    loss = SINGLE_CLASS.build_log_loss(logits, np.array([2, 1]), column_weights=None)
    for temperature in (0.5, 1.0, 3.0):
        probs = SINGLE_CLASS.convert_logits(logits / temperature)
        assert loss(temperature) == pytest.approx(-np.log(probs[[0, 1], [2, 1]]).mean())
    labels = np.array([[1, 0, 0], [0, 1, 1]])
    log_odds = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, -2.0]])
    probs = MULTI_LABEL.convert_logits(log_odds)
    columns = -np.where(labels > 0, np.log(probs), np.log1p(-probs)).mean(axis=0)
    weighted = MULTI_LABEL.build_log_loss(log_odds, labels, column_weights=(1.0, 1.0, 2.0))
    assert weighted(1.0) == pytest.approx(np.average(columns, weights=(1, 1, 2)))


def test_images_are_grouped_by_class_or_by_decile() -> None:
    names = ("ant", "bee", "cat")
    strata = SINGLE_CLASS.compute_strata(CLASSES, scales=None)
    assert SINGLE_CLASS.list_groups(CLASSES, strata, names, scales=None) == [("ant", 1), ("bee", 1), ("cat", 2)]
    assert SINGLE_CLASS.find_group_rows(CLASSES, strata, 2).tolist() == [0, 2]
    assert SINGLE_CLASS.sort_groups([1, 1, 2]) == [2, 0, 1]
    assert SINGLE_CLASS.binarize_strata(strata).tolist() == [True, False, True, False]
    assert (SINGLE_CLASS.compute_imbalance([5, 10, 2]), SINGLE_CLASS.compute_imbalance([])) == (5.0, 1.0)
    assert SINGLE_CLASS.binarize_strata(strata[:0]).tolist() == []
    assert MULTI_LABEL.find_group_rows(LABELS, MULTI_LABEL.compute_strata(LABELS, scales=None), 0).tolist() == [0, 2, 3]


def test_values_are_grouped_by_decile_in_their_order() -> None:
    deciles = np.array([7, 0, 0])
    assert VALUES.list_groups(np.array([[3.0], [1.0], [2.0]]), deciles, ("age",), scales=None) == [
        ("1 to 2", 2),
        ("3", 1),
    ]
    several = VALUES.list_groups(TENS, deciles, ("age", "size"), scales=SCALES)
    assert several == [("0.25 to 0.50 of the scale", 2), ("0.00 to 0.00 of the scale", 1)]
    assert VALUES.find_group_rows(TENS, deciles, 1).tolist() == [0]
    assert VALUES.sort_groups([2, 3]) == [0, 1]
    assert VALUES.binarize_strata(deciles).tolist() == [True, False, False]
    assert VALUES.compute_imbalance([100, 1]) == 1.0


def test_columns_differ_by_what_they_stand_for() -> None:
    kinds = (SINGLE_CLASS, MULTI_LABEL, VALUES)
    assert [kind.format_share("cat", 0.125) for kind in kinds] == ["cat (12.5 %)", "cat (12.5 %)", "cat"]
    assert [kind.count_choices(5) for kind in kinds] == [5, 2, 2]
    assert [kind.compute_initial_logit(2) for kind in kinds] == [0.0, 0.0, 0.0]
    assert [kind.compute_initial_logit(3) for kind in kinds] == [-np.log(2.0), -np.log(2.0), 0.0]
    assert [kind.has_rankable_columns(2) for kind in kinds] == [True, True, False]
    assert [kind.has_rankable_columns(3) for kind in kinds] == [False, True, False]


def test_tables_hold_labels_and_values_as_they_are() -> None:
    assert SINGLE_CLASS.list_cells(1, ("ant", "bee")) == ["bee"]
    assert MULTI_LABEL.list_cells([1, 0, 1], ("ant", "bee", "cat")) == ["ant", "cat"]
    assert VALUES.list_cells([0.1, 2.0], ("a", "b")) == ["0.1", "2"]
