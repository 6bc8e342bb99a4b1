"""From complete trials to a submission: read the pool, choose members, predict the test images, check, write.

Not responsible for: which trials are complete (automl.study) or how members are chosen (automl.ensemble.choose).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_json
from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.ensemble.choose import Choice, Looking, choose
from automl.ensemble.deciding import Deciding, blends_ranks, decide
from automl.ensemble.pool import Candidate, read_pool
from automl.ensemble.submission import write_submission
from automl.ensemble.tta import AUTO, GROUPS, View, group_of
from automl.ensemble.weights import blend
from automl.training.seeding import use_repeatable_arithmetic

__all__ = ["Candidate", "EnsembleMember", "EnsembleResult", "build_ensemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleMember:
    """A trial in the ensemble; its score is the study's."""

    number: int
    weight: float
    score: float
    backbone: str
    image_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """What was built, and what it may be expected to score.

    Attributes:
        members: the heaviest first.
        score: cross-fitted on n_rows rows out of fold, with the views and the rule.
        score_error: its standard error.
        score_without_tta: the same blends with the identity view alone, and with a rule that was chosen for them.
        best_single_score: of one trial on the same rows; the best of n_pool, so a little flattered.
        tta: the group of views that was used, and the names of its views.
        kind: "mean" of the best members, or "greedy" weights.
        rule: what decides the rows out of fold and the test images alike, as its to_json has it.
        rule_kind: "plain", "matched" to the training frequencies, or "searched".
        decided: the rule in words.
        notes: what was left out or decided, a line each.
    """

    members: tuple[EnsembleMember, ...]
    metric: str
    score: float
    score_error: float
    score_without_tta: float
    best_single_number: int
    best_single_score: float
    tta: str
    views: tuple[str, ...]
    kind: str
    by_rank: bool
    rule: Mapping[str, Any]
    rule_kind: str
    decided: str
    n_pool: int
    n_rows: int
    seconds: float
    submission: Path
    notes: tuple[str, ...]


def build_ensemble(
    competition: Competition,
    folds: NDArray[np.int64],
    members: Sequence[Candidate],
    files: StudyFiles,
    *,
    top: int,
    tta: str,
    device: str,
    out: Path,
    cache: PixelCache,
    on_progress: Callable[[str], None] | None = None,
) -> EnsembleResult:
    """Choose up to `top` of the candidates (best first); write the submission at out and the result as ensemble.json.

    The same trials give the same bytes. With tta "auto", views that worsen the score are left out again.

    Raises:
        UsageError: the views do not suit the competition.
        NoUsableModelError: no candidate has usable files.
        DataError: an image cannot be read, or the submission would be refused.
    """
    started = time.monotonic()
    notes: list[str] = []
    tell = on_progress or _say_nothing

    def note(line: str) -> None:
        notes.append(line)
        tell(line)

    use_repeatable_arithmetic()
    group = group_of(tta, flips=competition.flips)
    looking = Looking(cache, device, tell)
    pool = read_pool(members, files, competition, folds, note=note)
    tell(f"choosing among {len(pool)} trials on {len(pool[0].rows)} rows out of fold")
    choice = choose(pool, GROUPS[group], competition=competition, looking=looking, max_members=top, note=note)
    if competition.metric.better(choice.plain.score, choice.with_views.score):
        change = f"the views '{group}' worsen the score from {choice.plain.score:.5f} to {choice.with_views.score:.5f}"
        note(f"{change}: {'they are left out' if tta == AUTO else '--tta none would leave them out'}")
        if tta == AUTO:
            group, choice = "none", choice.without_views()
    decided = _decided(choice, competition)
    if competition.unreadable_test:
        note(_unseen(competition))
    test_probs = _test_probs(choice, GROUPS[group], competition, looking)
    write_submission(competition, test_probs, out, decided[1].rule, by_rank=blends_ranks(competition))
    result = _result(choice, competition, group, decided, notes, out=out, seconds=time.monotonic() - started)
    write_json(files.ensemble, {**asdict(result), "submission": str(out)})
    return result


def _say_nothing(line: str) -> None:
    """The progress that nobody asked for."""


def _decided(choice: Choice, competition: Competition) -> tuple[Deciding, Deciding]:
    """The rules for the blend with the identity view alone and with all views; one and the same without views."""
    rows = choice.pool[0].rows
    plain = decide(competition, choice.plain_probs, rows, scored=choice.plain)
    if choice.probs is choice.plain_probs:
        return plain, plain
    return plain, decide(competition, choice.probs, rows, scored=choice.with_views)


def _unseen(competition: Competition) -> str:
    n_unseen, n_test = len(competition.unreadable_test), len(competition.test_ids)
    verb = "is" if n_unseen == 1 else "are"
    given = "the middle rank" if blends_ranks(competition) else "the training images' frequencies"
    return f"{n_unseen} of {n_test} test images {verb} missing or broken: {given} stand in for what nobody can see"


def _test_probs(choice: Choice, views: Sequence[View], competition: Competition, looking: Looking) -> NDArray[Any]:
    """(n_test, n_classes) of the ensemble; test images that nobody can see are not ranked among others."""
    test = np.stack([looking.test(member, views) for member, _ in choice.weighted])
    weights = np.array([weight for _, weight in choice.weighted])
    seen = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    probs = np.zeros(test.shape[1:])
    probs[seen] = blend(test[:, seen], weights, by_rank=blends_ranks(competition))
    return probs


def _result(
    choice: Choice,
    competition: Competition,
    group: str,
    decided: tuple[Deciding, Deciding],
    notes: list[str],
    *,
    out: Path,
    seconds: float,
) -> EnsembleResult:
    best_single, best_single_score = choice.best_single
    decided_plain, decided_with_views = decided
    return EnsembleResult(
        members=tuple(
            EnsembleMember(
                number=member.number,
                weight=weight,
                score=member.score,
                backbone=member.config.model.backbone,
                image_size=member.image_size,
            )
            for member, weight in choice.weighted
        ),
        metric=competition.metric.name,
        score=decided_with_views.score,
        score_error=decided_with_views.score_error,
        score_without_tta=decided_plain.score,
        best_single_number=best_single.number,
        best_single_score=best_single_score,
        tta=group,
        views=tuple(view.name for view in GROUPS[group]),
        kind=choice.blend.kind,
        by_rank=blends_ranks(competition),
        rule=decided_with_views.rule.to_json(),
        rule_kind=decided_with_views.kind,
        decided=decided_with_views.words,
        n_pool=len(choice.pool),
        n_rows=len(choice.pool[0].rows),
        seconds=seconds,
        submission=out,
        notes=tuple(notes),
    )
