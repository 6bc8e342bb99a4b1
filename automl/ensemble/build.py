"""From complete trials to a submission: read the pool, choose members, predict the test images, check, write.

Not responsible for: which trials are complete (automl.study.study), how members are chosen (automl.ensemble.selection)
or what they are worth (automl.ensemble.contributions).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_json
from automl.data.cache import PixelCache
from automl.data.changed import changed_images
from automl.data.competition import Competition
from automl.decisions.temperature import tempered
from automl.ensemble.apply import blended_probs
from automl.ensemble.blending import blend
from automl.ensemble.candidates import Candidate, Member, Note, predict_test, read_pool
from automl.ensemble.contributions import (
    BestSingle,
    best_single,
    error_correlations,
    ordered_savings,
    what_members_add,
    what_views_add,
)
from automl.ensemble.crossfit import PLAIN, Floats
from automl.ensemble.ensemble_recipe import Recipe, RecipeMember
from automl.ensemble.ensemble_result import EnsembleMember, EnsembleResult
from automl.ensemble.predictor import Looker, Trained
from automl.ensemble.selection import Budget, Choice, choose, trimmed_to
from automl.ensemble.tta import IDENTITY, group_of
from automl.errors import StorageError, listed
from automl.submission.decide import Deciding, blends_ranks, decide
from automl.submission.write import write_submission
from automl.training.network.create import missing_weights
from automl.training.seeding import use_repeatable_arithmetic


def submitted_probs(choice: Choice, recipe: Recipe, looker: Looker, *, note: Note) -> Floats:
    """(n_test, n_classes) of the ensemble; the rows of images that nobody can see are zeros.

    Where the identity is the only view, a member whose weights are gone answers with what it left in its files.

    Raises:
        StorageError: weights are missing or damaged that views need.
    """
    members = {member.name: member for member, _ in choice.weighted}

    def weights_of(asked: RecipeMember, fold: int) -> Path:
        member = members[asked.name]
        if fold not in member.models:
            raise missing_weights(member.missing_weights)
        return member.models[fold].weights

    try:
        return blended_probs(recipe, weights_of, looker)
    except StorageError:
        if choice.views != PLAIN:
            raise
    return _from_files_where_needed(recipe, members, looker, note)


def seen_test_rows(looker: Looker) -> NDArray[np.int64]:
    """The test images that somebody can see."""
    competition = looker.competition
    return np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)


def seconds_of_members(members: Sequence[Member], looker: Looker) -> dict[str, float]:
    """By member: of one view through one fold's model; 0 for one that answers with what it left in its files.

    Measured by looking at the test images, which it has to do anyway, and remembered with what it said. All have looked
    before any is asked, as networks of one kind share the best time that one of them was seen to take.
    """
    looked = {member.name: _one_that_looked(member, looker) for member in members}
    return {name: 0.0 if one is None else looker.seconds_per_image(one) for name, one in looked.items()}


def _one_that_looked(member: Member, looker: Looker) -> Trained | None:
    for trained in member.models.values():
        with contextlib.suppress(StorageError):  # damaged; another fold's model is as fast
            looker.look(trained, [IDENTITY], "test", seen_test_rows(looker))
            return trained
    return None


def _from_files_where_needed(
    recipe: Recipe, members: dict[str, Member], looker: Looker, note: Note
) -> NDArray[np.float64]:
    competition, seen = looker.competition, seen_test_rows(looker)
    blended = np.zeros((len(competition.test_ids), competition.n_classes))
    for member in recipe.members:
        said = tempered(_said(members[member.name], looker, note), member.temperature, competition.task)
        blended[seen] += blend(said[None, seen], np.array([member.weight]), by_rank=recipe.by_rank)
    return blended


def _said(member: Member, looker: Looker, note: Note) -> NDArray[np.float64]:
    try:
        return predict_test(member, [IDENTITY], looker)
    except StorageError as error:
        note(f"trial {member.name} answers with the predictions in its files: {error.problem}; {error.hint}")
        return member.test.astype(np.float64)


N_POOL = 15  # trials that members are chosen from; Source: a simulation in which the best 15 of 50 beat all 50


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
    pool: int = N_POOL,
    max_minutes: float | None = None,
    n_images: int | None = None,
    n_threads: int = 1,
    told_of_lessons: Sequence[str] = (),
    on_progress: Callable[[str], None] | None = None,
) -> EnsembleResult:
    """Choose up to `top` of the best candidates; write the submission at out and the result as ensemble.json.

    The same trials give the same bytes, and what models said before is not asked again.

    Args:
        members: all complete trials, best first, with what lessons have made of them.
        tta: a group of views, or "auto" for those that a member's training has shown it and that help.
        pool: of how many trials, the best ones, the members are chosen.
        max_minutes: for predicting the test images; parts are left out until it suffices.
        n_images: how many test images that time is for; None for those there are.
        told_of_lessons: what is known of how much lessons help, a line each; noted where a taught member is taken.

    Raises:
        UsageError: the views do not suit the competition.
        NoUsableModelError: no candidate has usable files.
        DataError: an image is gone or cannot be read, or the submission would be refused.
    """
    started = time.monotonic()
    notes: list[str] = []
    tell = on_progress or _say_nothing

    def note(line: str) -> None:
        notes.append(line)
        tell(line)

    use_repeatable_arithmetic()
    wanted = group_of(tta, flips=competition.flips)
    looker = Looker(competition, cache, device=device, remembered=files.predictions, n_threads=n_threads, tell=tell)
    for line in _changed(competition, files):
        note(line)
    read = read_pool(_best_trials(members, pool), files, competition, folds, note=note)
    tell(f"choosing among {len(read)} trials on {len(read[0].rows)} rows out of fold")
    choice = choose(read, competition=competition, looker=looker, wanted=wanted, max_members=top, note=note)
    decided = _decided(choice)
    recipe = whole = _recipe(choice, decided[1], looker)
    if max_minutes is not None:
        budget = Budget(minutes=max_minutes, n_images=n_images or len(competition.test_ids))
        choice, recipe = trimmed_to(budget, choice, whole, note=note)
        decided = _decided(choice)
        recipe = replace(recipe, rule=decided[1].rule.to_json())
    if any(member.kind != "search" for member in recipe.members):
        for line in told_of_lessons:
            note(line)
    if competition.unreadable_test:
        note(_unseen(competition))
    probs = submitted_probs(choice, recipe, looker, note=note)
    write_submission(competition, probs, out, decided[1].rule, by_rank=recipe.by_rank)
    single = best_single([own for own in members if own.kind == "search"], files, choice.voices)
    built = _Built(choice, decided, recipe, single, is_trimmed=_parts(recipe) != _parts(whole), device=device)
    result = _result(built, out=out, seconds=time.monotonic() - started, notes=notes)
    write_json(files.ensemble, result.to_json())
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """The parts of an ensemble; decided is without views, and with those that are used."""

    choice: Choice
    decided: tuple[Deciding, Deciding]
    recipe: Recipe
    single: BestSingle
    is_trimmed: bool
    device: str


def _say_nothing(line: str) -> None:
    """The progress that nobody asked for."""


def _best_trials(members: Sequence[Candidate], n_trials: int) -> list[Candidate]:
    """The candidates that come from the first so many trials."""
    numbers = list(dict.fromkeys(member.number for member in members))[:n_trials]
    return [member for member in members if member.number in numbers]


def _parts(recipe: Recipe) -> list[tuple[str, tuple[str, ...]]]:
    return [(member.name, member.views) for member in recipe.members]


def _changed(competition: Competition, files: StudyFiles) -> Iterator[str]:
    """A line that names the test images that are no longer those of the search, if any are."""
    changed = changed_images(competition, "test", files.test_sizes)
    if changed:
        counted = f"{len(changed)} of {len(competition.test_ids)} test images"
        yield f"{counted} changed since the search: {listed(changed)}; all members see them anew"


def _decided(choice: Choice) -> tuple[Deciding, Deciding]:
    """The rules for the blend with the identity view alone and with all views; one and the same without views."""
    voices = choice.voices
    plain_probs = voices.cross_fitted(choice.plain)
    plain = decide(voices.competition, plain_probs, voices.rows, scored=choice.estimate(plain_probs))
    if choice.fit is choice.plain:
        return plain, plain
    probs = voices.cross_fitted(choice.fit)
    return plain, decide(voices.competition, probs, voices.rows, scored=choice.estimate(probs))


def _unseen(competition: Competition) -> str:
    n_unseen, n_test = len(competition.unreadable_test), len(competition.test_ids)
    verb = "is" if n_unseen == 1 else "are"
    given = "the middle rank" if blends_ranks(competition) else "the training images' frequencies"
    return f"{n_unseen} of {n_test} test images {verb} missing or broken: {given} stand in for what nobody can see"


def _recipe(choice: Choice, decided: Deciding, looker: Looker) -> Recipe:
    seconds = seconds_of_members([member for member, _ in choice.weighted], looker)
    return Recipe(
        members=tuple(_recipe_member(choice, member, seconds[member.name]) for member, _ in choice.weighted),
        by_rank=blends_ranks(choice.voices.competition),
        rule=decided.rule.to_json(),
        short_side=looker.cache.short_side,
        savings=ordered_savings(
            choice, {member.name: seconds[member.name] * len(_folds(member)) for member, _ in choice.weighted}
        ),
        n_threads=looker.n_threads,
    )


def _recipe_member(choice: Choice, member: Member, seconds_per_image: float) -> RecipeMember:
    final, index = choice.fit.final, choice.position(member.name)
    return RecipeMember(
        number=member.number,
        kind=member.kind,
        weight=float(final.weights[index]),
        temperature=float(final.temperatures[index]),
        config=member.config,
        folds=_folds(member),
        views=final.views[index],
        seconds_per_image=seconds_per_image,
    )


def _folds(member: Member) -> tuple[int, ...]:
    """Those whose models see the test images: all there are, whichever rows members were compared on."""
    return tuple(sorted(member.models)) or tuple(int(fold) for fold in np.unique(member.folds))


def _result(built: _Built, *, out: Path, seconds: float, notes: Sequence[str]) -> EnsembleResult:
    choice, recipe, single = built.choice, built.recipe, built.single
    plain, decided = built.decided
    competition = choice.voices.competition
    weighted = [member for member, _ in choice.weighted]
    return EnsembleResult(
        members=_members(choice, recipe),
        metric=competition.metric.name,
        greater_is_better=competition.metric.greater_is_better,
        score=decided.score,
        score_error=decided.score_error,
        is_trimmed=built.is_trimmed,
        score_without_tta=plain.score,
        best_single_number=single.number,
        best_single_score=single.score,
        luck=single.luck,
        n_trials=single.n_trials,
        tta=choice.tta,
        views=choice.views,
        view_adds=what_views_add(choice),
        error_correlations=tuple(map(tuple, error_correlations(weighted, competition).tolist())),
        kind=choice.kind,
        by_rank=recipe.by_rank,
        rule=decided.rule.to_json(),
        rule_kind=decided.kind,
        decided=decided.words,
        n_pool=len(choice.voices.pool),
        n_rows=len(choice.voices.rows),
        seconds=seconds,
        submission=out,
        submission_digest=hashlib.sha256(out.read_bytes()).hexdigest(),
        device=built.device,
        notes=tuple(notes),
        recipe=recipe,
    )


def _members(choice: Choice, recipe: Recipe) -> tuple[EnsembleMember, ...]:
    adds = what_members_add(choice)
    own = {member.name: choice.voices.score(member.oof) for member, _ in choice.weighted}
    return tuple(
        EnsembleMember(
            name=member.name,
            number=member.number,
            kind=member.kind,
            weight=member.weight,
            temperature=member.temperature,
            score=own[member.name],
            adds=adds[member.name],
            backbone=member.config.model.backbone,
            image_size=member.image_size,
            folds=member.folds,
            views=member.views,
            seconds_per_image=member.cost,
        )
        for member in recipe.members
    )
