"""From complete trials to a submission: read the pool, choose members, predict the test images, check, write.

Not responsible for: which trials are complete (automl.study) or how members are chosen (automl.ensemble.choose).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_json
from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.ensemble.choose import Choice, Looking, blends_ranks, choose
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
        score: cross-fitted on n_rows rows out of fold, with the views.
        score_error: its standard error.
        score_without_tta: the same blends with the identity view alone.
        best_single_score: of one trial on the same rows; the best of n_pool, so a little flattered.
        tta: the group of views that was used, and the names of its views.
        kind: "mean" of the best members, or "greedy" weights.
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
    write_submission(competition, _test_probs(choice, GROUPS[group], competition, looking), out)
    result = _result(choice, competition, group, notes, out=out, seconds=time.monotonic() - started)
    write_json(files.ensemble, {**asdict(result), "submission": str(out)})
    return result


def _say_nothing(line: str) -> None:
    """The progress that nobody asked for."""


def _test_probs(choice: Choice, views: Sequence[View], competition: Competition, looking: Looking) -> NDArray[Any]:
    """(n_test, n_classes) probabilities of the ensemble."""
    seen = np.stack([looking.test(member, views) for member, _ in choice.weighted])
    weights = np.array([weight for _, weight in choice.weighted])
    return blend(seen, weights, by_rank=blends_ranks(competition))


def _result(
    choice: Choice, competition: Competition, group: str, notes: list[str], *, out: Path, seconds: float
) -> EnsembleResult:
    best_single, best_single_score = choice.best_single
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
        score=choice.with_views.score,
        score_error=choice.with_views.error,
        score_without_tta=choice.plain.score,
        best_single_number=best_single.number,
        best_single_score=best_single_score,
        tta=group,
        views=tuple(view.name for view in GROUPS[group]),
        kind=choice.blend.kind,
        by_rank=blends_ranks(competition),
        n_pool=len(choice.pool),
        n_rows=len(choice.pool[0].rows),
        seconds=seconds,
        submission=out,
        notes=tuple(notes),
    )
