"""What students are taught: lessons made of what an ensemble says of images that it has not trained on.

Not responsible for: who says it (automl.distillation.soft_labels), training on a lesson
(automl.training.loss.soft_targets), nor what it gained (automl.distillation.gains).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.data.competition import Competition
from automl.decisions.temperature import tempered
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import Looker
from automl.ensemble.selection import blended_pool
from automl.ensemble.tta import IDENTITY
from automl.errors import UsageError, listed
from automl.tasks import Task
from automl.training.loss.soft_targets import EVERY_FOLD, Lesson, save_lesson

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def teachers_of(members: Sequence[Member], competition: Competition, folds: Rows) -> Iterator[Teacher]:
    """One teacher for each fold, in order.

    Args:
        members: chosen of one pool, with the models of all folds.

    Raises:
        UsageError: a member has not been trained on all folds.
    """
    numbers = np.unique(folds[folds >= 0]).tolist()
    _require_all_folds(members, numbers)
    members = _on_common_rows(members)
    for fold in numbers:
        inside = members[0].folds == fold
        others = [member.on_rows(member.rows[~inside]) for member in members]
        blend = blended_pool(others, competition, len(members))
        yield Teacher(fold, members[0].rows[inside], members, blend.weights, blend.temperatures, competition.task)


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
    task: Task

    def of_own_rows(self) -> Floats:
        """(n_rows, n_classes) of the fold's rows, none of which it has trained on."""
        return self._blended([member.on_rows(self.rows).oof for member in self.members])

    def of_test(self, looker: Looker, rows: Rows) -> Floats:
        """(len(rows), n_classes) of these test images.

        Raises:
            StorageError: a member's weights are missing or damaged.
        """
        probs: list[NDArray[Any]] = []
        for member, weight in zip(self.members, self.weights, strict=True):
            model = member.models[self.fold]
            probs.append(looker.look(model, [IDENTITY], "test", rows)[0] if weight > 0 else np.empty(0))
        return self._blended(probs)

    def _blended(self, probs: Sequence[NDArray[Any]]) -> Floats:
        pairs = zip(probs, self.weights, self.temperatures, strict=True)
        parts = [w * tempered(own.astype(np.float64), float(t), self.task) for own, w, t in pairs if w > 0]
        return np.asarray(sum(parts)).clip(0.0, 1.0)


def _require_all_folds(members: Sequence[Member], folds: Sequence[int]) -> None:
    for member in members:
        missing = sorted({*folds} - {*member.models} | {*folds} - {*member.folds.tolist()})
        if missing:
            raise UsageError(
                f"trial {member.name} cannot teach fold {missing[0]}: it has no model or no prediction of it",
                hint="train the remaining folds first: automl refit",
            )


def _on_common_rows(members: Sequence[Member]) -> list[Member]:
    rows = reduce(np.intersect1d, [member.rows for member in members])
    return [member.on_rows(rows) for member in members]


Note = Callable[[str], None]

MIN_SURE = 10  # test images; fewer are not worth the time that all folds take again
AT_MOST = 8  # classes that a line names


def pseudo_lesson(
    members: Sequence[Member],
    files: StudyFiles,
    competition: Competition,
    folds: Rows,
    looker: Looker,
    *,
    confidence: float,
    note: Note,
) -> Path:
    """The file of a lesson that adds those test images that each fold's teacher is sure of, with what it says of them.

    The targets are the probabilities themselves: where the teacher is nearly sure they are nearly the label, and they
    keep what is left of its doubt, so that a student does not grow surer than its teacher. Classes are not evened out;
    that is the affair of the trial's class_sampling. Test images that nobody can read are left out.
    Source: Lee 2013, Pseudo-Label, section 2, for the idea; Xie et al. 2020, Self-training with Noisy Student, section
    2 for soft targets, to which hard ones are equal on images of the same kind, and section 3.1 for a threshold of
    confidence; Arazo et al. 2020, Pseudo-Labeling and Confirmation Bias, section 3, for soft ones.

    Args:
        members: chosen of one pool, with the models of all folds.
        confidence: in (0, 1], see `certainty`.

    Raises:
        UsageError: values have no confidence; a fold has no teacher; or there are too few sure images, or of one class.
        StorageError: a member's weights are missing or damaged.
    """
    require_confidence(confidence, competition)
    readable = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    chosen, checks = [], []
    for teacher in teachers_of(members, competition, folds):
        said = teacher.of_test(looker, readable)
        sure = certainty(said, competition) >= confidence
        _require_enough(said[sure], len(readable), teacher.fold, competition, confidence)
        chosen.append((len(folds) + readable[sure], np.full(int(sure.sum()), teacher.fold), said[sure]))
        checks.append(_Check.of(teacher.of_own_rows(), competition.targets[teacher.rows], competition, confidence))
    rows, heard_by, targets = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    lesson = Lesson(kind="pseudo", rows=rows, folds=heard_by, targets=targets.astype(np.float32))
    for line in _said_of_pseudo(lesson, members, competition, len(readable), confidence, checks):
        note(line)
    return save_lesson(lesson, files, competition, folds)


def distilled_lesson(
    members: Sequence[Member],
    files: StudyFiles,
    competition: Competition,
    folds: Rows,
    *,
    share: float,
    note: Note,
) -> Path:
    """The file of a lesson that moves the labels by a share towards what the teachers say of the images out of fold.

    An image's new target is (1 - share) * label + share * probabilities of the teacher of its fold, which has not
    trained on it. But that teacher has trained on the other folds, among them the one that a student is validated on:
    through the teacher's predictions the student hears a little of labels that it is scored with. Only nested
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
    teachers = list(teachers_of(members, competition, folds))
    rows = np.concatenate([teacher.rows for teacher in teachers])
    said = np.concatenate([teacher.of_own_rows() for teacher in teachers])
    targets = (1.0 - share) * competition.shares[rows] + share * said
    lesson = Lesson(
        kind="distilled", rows=rows, folds=np.full(len(rows), EVERY_FOLD), targets=targets.astype(np.float32)
    )
    note(
        f"distilled: {len(rows)} labels, moved by {share:g} towards the predictions out of fold of {_names(members)}; "
        "what that gains out of fold may be flattered a little"
    )
    return save_lesson(lesson, files, competition, folds)


def require_confidence(confidence: float, competition: Competition) -> None:
    """Raises:
    UsageError: it is none, or the competition's values have none.
    """
    _require_within(confidence, "--pseudo-labels", highest=1.0)
    if competition.task is Task.REGRESSION:
        raise UsageError(
            "pseudo-labels need to know how sure a prediction is, and predicted values do not say so",
            hint="leave --pseudo-labels out, or soften the labels with --distill 0.3",
        )


def require_share(share: float) -> None:
    """Raises:
    UsageError: labels cannot be moved by it.
    """
    _require_within(share, "--distill", highest=0.999)


def certainty(probs: NDArray[Any], competition: Competition) -> Floats:
    """(n,) how sure probabilities (n, n_classes) are of what is most probable by them.

    The probability of the likeliest class. With MULTILABEL that of the least sure label, as an image is known only
    once each of its labels is; and nothing, where no label is likely though every training image has one.
    """
    if competition.task is not Task.MULTILABEL:
        likeliest: Floats = probs.max(axis=1)
        return likeliest
    least = np.maximum(probs, 1.0 - probs).min(axis=1)
    always_labelled = bool((competition.targets.sum(axis=1) > 0).all())
    known: Floats = np.where(always_labelled & (probs < 0.5).all(axis=1), 0.0, least)
    return known


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
    labels = np.unique(_hard(sure, competition), axis=0)
    if len(labels) == 1:
        name = _label_name(labels[0], competition)
        raise UsageError(
            f"all {len(sure)} test images that are predicted with a confidence of {confidence:g} in fold {fold} are "
            f"'{name}': students would learn to say that alone",
            hint="lower the confidence of --pseudo-labels, or leave it out",
        )


def _hard(probs: NDArray[Any], competition: Competition) -> NDArray[Any]:
    """(n,) the likeliest class, or (n, n_classes) whether each label is likely."""
    return probs >= 0.5 if competition.task is Task.MULTILABEL else probs.argmax(axis=1)


def _label_name(label: Any, competition: Competition) -> str:
    if competition.task is Task.MULTILABEL:
        return " ".join(competition.classes[index] for index in np.flatnonzero(label)) or "without a label"
    return competition.classes[int(label)]


@dataclass(frozen=True, slots=True)
class _Check:
    """How often a teacher is right where it is sure, on labelled rows that it has not trained on.

    Attributes:
        n_sure: of n_rows.
        n_right: classes of the sure rows; of labels, as a share of all of a row's labels.
    """

    n_rows: int
    n_sure: int
    n_right: float

    @classmethod
    def of(cls, said: Floats, targets: NDArray[Any], competition: Competition, confidence: float) -> _Check:
        sure = certainty(said, competition) >= confidence
        right = _hard(said[sure], competition) == targets[sure]
        n_right = right.mean(axis=1).sum() if right.ndim == 2 else right.sum()
        return cls(len(sure), int(sure.sum()), float(n_right))


def _said_of_pseudo(
    lesson: Lesson,
    members: Sequence[Member],
    competition: Competition,
    n_images: int,
    confidence: float,
    checks: Sequence[_Check],
) -> Iterator[str]:
    """Evidence: how many images are added, of which classes, and how many of them are to be trusted."""
    counts = np.unique(lesson.folds, return_counts=True)[1]
    many = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    yield (
        f"pseudo-labels: {many} of {n_images} test images in a fold, those that the models of {_names(members)} "
        f"predict with a confidence of {confidence:g}"
    )
    yield f"pseudo-labels by class: {_by_class(lesson, competition, len(checks))}, a fold's mean"
    n_sure, n_rows = sum(check.n_sure for check in checks), sum(check.n_rows for check in checks)
    if n_sure:
        right = sum(check.n_right for check in checks) / n_sure
        what = "of the labels " if competition.task is Task.MULTILABEL else ""
        yield (
            f"pseudo-labels to be trusted: {100 * right:.1f} % {what}are right of training images that are as sure, "
            f"from {n_sure} of {n_rows} out of fold"
        )


def _by_class(lesson: Lesson, competition: Competition, n_folds: int) -> str:
    hard = _hard(lesson.targets, competition)
    counts = hard.sum(axis=0) if hard.ndim == 2 else np.bincount(hard, minlength=competition.n_classes)
    order = np.argsort(-counts, kind="stable")
    found = [f"{competition.classes[index]} {counts[index] / n_folds:.0f}" for index in order if counts[index]]
    missing = [competition.classes[index] for index in order if not counts[index]]
    return listed(found, at_most=AT_MOST) + (f", none {listed(missing)}" if missing else "")


def _names(members: Sequence[Member]) -> str:
    word = "trial" if len(members) == 1 else "trials"
    return f"{word} {listed([member.name for member in members], at_most=AT_MOST)}"
