"""Make soft targets for students of an ensemble's predictions for images that it has not trained on.

Pseudo-labels add test images; distillation moves the labels of training images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.data.competition import Competition
from automl.decisions.temperature import apply_temperature
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import Predictor
from automl.ensemble.selection import fit_member_blend
from automl.ensemble.tta import IDENTITY
from automl.errors import Notify, UsageError, join_names
from automl.target_kinds import HasTargetKind
from automl.training.loss.soft_targets import EVERY_FOLD, SoftTargets, save_soft_targets

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

MIN_SURE = 10  # test images; fewer are not worth the time that all folds take again
AT_MOST = 8  # classes that a line names


def fit_teachers(members: Sequence[Member], competition: Competition, folds: Rows) -> Iterator[Teacher]:
    """Fit one teacher for each fold, and yield them in order.

    Args:
        members: chosen of one pool, with the models of all folds.

    Raises:
        UsageError: a member has not been trained on all folds.
    """
    numbers = np.unique(folds[folds >= 0]).tolist()
    _require_all_folds(members, numbers)
    members = _restrict_to_common_rows(members)
    for fold in numbers:
        inside = members[0].folds == fold
        others = [member.select_rows(member.rows[~inside]) for member in members]
        blend = fit_member_blend(others, competition, len(members)).final
        yield Teacher(fold, members[0].rows[inside], members, blend.weights, blend.temperatures, competition)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """The members' models of one fold.

    Attributes:
        rows: of the fold, ascending.
        weights, temperatures: (n_models,) of the members, fitted without the rows.
    """

    fold: int
    rows: Rows
    members: Sequence[Member]
    weights: Floats
    temperatures: Floats
    task: HasTargetKind

    def predict_own_rows(self) -> Floats:
        """Return probabilities (n_rows, n_classes) of the fold's rows, none of which it has trained on."""
        return self._blend([member.select_rows(self.rows).oof for member in self.members])

    def predict_test(self, predictor: Predictor, rows: Rows) -> Floats:
        """Predict probabilities (len(rows), n_classes) of these test images.

        Raises:
            StorageError: a member's weights are missing or damaged.
        """
        probs: list[NDArray[Any]] = []
        for member, weight in zip(self.members, self.weights, strict=True):
            model = member.models[self.fold]
            probs.append(predictor.predict_views(model, [IDENTITY], "test", rows)[0] if weight > 0 else np.empty(0))
        return self._blend(probs)

    def _blend(self, probs: Sequence[NDArray[Any]]) -> Floats:
        pairs = zip(probs, self.weights, self.temperatures, strict=True)
        parts = [w * apply_temperature(own.astype(np.float64), float(t), self.task) for own, w, t in pairs if w > 0]
        return np.asarray(sum(parts)).clip(0.0, 1.0)


def _require_all_folds(members: Sequence[Member], folds: Sequence[int]) -> None:
    for member in members:
        missing = sorted({*folds} - {*member.models} | {*folds} - {*member.folds.tolist()})
        if missing:
            raise UsageError(
                f"trial {member.name} cannot be a teacher of fold {missing[0]}: it has no model or no prediction of it",
                hint="train the remaining folds first: automl refit",
            )


def _restrict_to_common_rows(members: Sequence[Member]) -> list[Member]:
    rows = reduce(np.intersect1d, [member.rows for member in members])
    return [member.select_rows(rows) for member in members]


def build_pseudo_labels(
    members: Sequence[Member],
    files: StudyFiles,
    competition: Competition,
    folds: Rows,
    predictor: Predictor,
    *,
    confidence: float,
    notify: Notify,
) -> Path:
    """Save pseudo-labels: for each fold, the test images that its teacher is sure of, with its predictions.

    The targets are the probabilities themselves: where the teacher is nearly sure they are nearly the label, and they
    keep what is left of its doubt, so that a student does not grow surer than its teacher. Classes are not evened out;
    that is the affair of the trial's class_sampling. Test images that nobody can read are left out.
    Source: Lee 2013, Pseudo-Label, section 2, for the idea; Xie et al. 2020, Self-training with Noisy Student, section
    2 for soft targets, to which hard ones are equal on images of the same kind, and section 3.1 for a threshold of
    confidence; Arazo et al. 2020, Pseudo-Labeling and Confirmation Bias, section 3, for soft ones.

    Args:
        members: chosen of one pool, with the models of all folds.
        confidence: in (0, 1], see `compute_confidence`.

    Raises:
        UsageError: values have no confidence; a fold has no teacher; or there are too few sure images, or of one class.
        StorageError: a member's weights are missing or damaged.
    """
    require_confidence(confidence, competition)
    readable = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    chosen, checks = [], []
    for teacher in fit_teachers(members, competition, folds):
        probs = teacher.predict_test(predictor, readable)
        sure = compute_confidence(probs, competition) >= confidence
        _require_enough(probs[sure], len(readable), teacher.fold, competition, confidence)
        chosen.append((len(folds) + readable[sure], np.full(int(sure.sum()), teacher.fold), probs[sure]))
        checks.append(
            _ConfidenceCheck.from_predictions(
                teacher.predict_own_rows(), competition.targets[teacher.rows], competition, confidence
            )
        )
    rows, target_folds, targets = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    soft_targets = SoftTargets(target_kind="pseudo", rows=rows, folds=target_folds, targets=targets.astype(np.float32))
    for line in _describe_pseudo_labels(soft_targets, members, competition, len(readable), confidence, checks):
        notify(line)
    return save_soft_targets(soft_targets, files, competition, folds)


def build_distillation_targets(
    members: Sequence[Member],
    files: StudyFiles,
    competition: Competition,
    folds: Rows,
    *,
    share: float,
    notify: Notify,
) -> Path:
    """Save distillation targets: labels moved by a share towards the teachers' out-of-fold predictions.

    An image's new target is (1 - share) * label + share * probabilities of the teacher of its fold, which has not
    trained on it. But that teacher has trained on the other folds, among them the one that a student is validated on:
    through the teacher's predictions a little of the labels that a student is scored with leaks to it. Only nested
    cross-validation, k times as many trainings, would end this leak of second order; so a student's score out of fold
    may be flattered a little. Images that are never validated keep their labels.
    Source: the first place of Plant Pathology 2020 (github.com/alipay/cvpr2020-plant-pathology), with share 0.3;
    Hinton et al. 2015, Distilling the Knowledge in a Neural Network, section 2, for the sum of both targets.

    Args:
        members: chosen of one pool, with predictions for all folds.
        share: in (0, 1).

    Raises:
        UsageError: the share is none, or a fold has no teacher.
    """
    require_share(share)
    teachers = list(fit_teachers(members, competition, folds))
    rows = np.concatenate([teacher.rows for teacher in teachers])
    probs = np.concatenate([teacher.predict_own_rows() for teacher in teachers])
    targets = (1.0 - share) * competition.soft_targets[rows] + share * probs
    soft_targets = SoftTargets(
        target_kind="distilled", rows=rows, folds=np.full(len(rows), EVERY_FOLD), targets=targets.astype(np.float32)
    )
    notify(
        f"distilled: {len(rows)} labels, moved by {share:g} towards the predictions out of fold of "
        f"{_format_members(members)}; what that gains out of fold may be flattered a little"
    )
    return save_soft_targets(soft_targets, files, competition, folds)


def require_confidence(confidence: float, competition: Competition) -> None:
    """Raises:
    UsageError: it is none, the competition's values have none, or there are no test images.
    """
    _require_within(confidence, "--pseudo-labels", highest=1.0)
    if not competition.has_test_images:
        raise UsageError(
            "pseudo-labels are predictions of test images, and there are none",
            hint="leave --pseudo-labels out, or soften the labels with --distill 0.3",
        )
    if not competition.target_kind.has_classes:
        raise UsageError(
            "pseudo-labels need to know how sure a prediction is, and predicted values do not say so",
            hint="leave --pseudo-labels out, or soften the labels with --distill 0.3",
        )


def require_share(share: float) -> None:
    """Raises:
    UsageError: labels cannot be moved by it.
    """
    _require_within(share, "--distill", highest=0.999)


def compute_confidence(probs: NDArray[Any], competition: Competition) -> Floats:
    """Return (n,) how sure probabilities (n, n_classes) are of what is most probable by them.

    The probability of the likeliest class. With MULTILABEL that of the least sure label, as an image is known only
    once each of its labels is; and nothing, where no label is likely though every training image has one.
    """
    target_kind = competition.target_kind
    always_labelled = target_kind.is_always_labelled(competition.targets)
    return target_kind.compute_confidence(probs, always_labelled=always_labelled)


def _require_within(value: float, flag: str, *, highest: float) -> None:
    if not 0.0 < value <= highest:
        raise UsageError(f"{flag} {value:g} is no share", hint=f"give a number above 0 and up to {highest:g}")


def _require_enough(sure: Floats, n_images: int, fold: int, competition: Competition, confidence: float) -> None:
    if len(sure) < MIN_SURE:
        raise UsageError(
            f"only {len(sure)} of {n_images} test images are predicted with a confidence of {confidence:g} in fold "
            f"{fold}, and {MIN_SURE} are needed",
            hint="lower the confidence of --pseudo-labels, or leave it out",
        )
    labels = np.unique(_choose_labels(sure, competition), axis=0)
    if len(labels) == 1:
        name = competition.target_kind.format_label(labels[0], competition.classes)
        raise UsageError(
            f"all {len(sure)} test images that are predicted with a confidence of {confidence:g} in fold {fold} are "
            f"'{name}': students would learn to predict that alone",
            hint="lower the confidence of --pseudo-labels, or leave it out",
        )


def _choose_labels(probs: NDArray[Any], competition: Competition) -> NDArray[Any]:
    """Return (n,) the likeliest class, or (n, n_classes) whether each label is likely."""
    return competition.target_kind.convert_soft_targets(probs, scales=competition.scales)


@dataclass(frozen=True, slots=True)
class _ConfidenceCheck:
    """How often a teacher is right where it is sure, on labelled rows that it has not trained on.

    Attributes:
        n_sure: of n_rows.
        n_right: classes of the sure rows; of labels, as a share of all of a row's labels.
    """

    n_rows: int
    n_sure: int
    n_right: float

    @classmethod
    def from_predictions(
        cls, probs: Floats, targets: NDArray[Any], competition: Competition, confidence: float
    ) -> _ConfidenceCheck:
        sure = compute_confidence(probs, competition) >= confidence
        right = _choose_labels(probs[sure], competition) == targets[sure]
        n_right = right.mean(axis=1).sum() if right.ndim == 2 else right.sum()
        return cls(len(sure), int(sure.sum()), float(n_right))


def _describe_pseudo_labels(
    soft_targets: SoftTargets,
    members: Sequence[Member],
    competition: Competition,
    n_images: int,
    confidence: float,
    checks: Sequence[_ConfidenceCheck],
) -> Iterator[str]:
    """Yield evidence: how many images are added, of which classes, and how many of them are to be trusted."""
    counts = np.unique(soft_targets.folds, return_counts=True)[1]
    many = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    yield (
        f"pseudo-labels: {many} of {n_images} test images in a fold, those that the models of "
        f"{_format_members(members)} predict with a confidence of {confidence:g}"
    )
    yield f"pseudo-labels by class: {_format_class_counts(soft_targets, competition, len(checks))}, a fold's mean"
    n_sure, n_rows = sum(check.n_sure for check in checks), sum(check.n_rows for check in checks)
    if n_sure:
        right = sum(check.n_right for check in checks) / n_sure
        what = "of the labels " if competition.targets.ndim == 2 else ""
        yield (
            f"pseudo-labels to be trusted: {100 * right:.1f} % {what}are right of training images that are as sure, "
            f"from {n_sure} of {n_rows} out of fold"
        )


def _format_class_counts(soft_targets: SoftTargets, competition: Competition, n_folds: int) -> str:
    hard = _choose_labels(soft_targets.targets, competition)
    counts = competition.target_kind.count_images(hard, n_classes=competition.n_classes)
    order = np.argsort(-counts, kind="stable")
    found = [f"{competition.classes[index]} {counts[index] / n_folds:.0f}" for index in order if counts[index]]
    missing = [competition.classes[index] for index in order if not counts[index]]
    return join_names(found, at_most=AT_MOST) + (f", none {join_names(missing)}" if missing else "")


def _format_members(members: Sequence[Member]) -> str:
    word = "trial" if len(members) == 1 else "trials"
    return f"{word} {join_names([member.name for member in members], at_most=AT_MOST)}"
