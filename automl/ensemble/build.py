"""From trials and probes to a submission: read the members, select an ensemble, predict the test images, write."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_json
from automl.data.cache import PixelCache
from automl.data.changed import find_changed_images
from automl.data.competition import Competition
from automl.decisions.temperature import apply_temperature
from automl.ensemble.apply import predict_ensemble
from automl.ensemble.blending import blend_probs
from automl.ensemble.candidates import Candidate, Member, get_model, predict_test, read_members, select_candidates
from automl.ensemble.contributions import (
    BestSingle,
    compute_error_correlations,
    compute_member_gains,
    compute_view_gains,
    find_best_single,
    order_drops,
)
from automl.ensemble.crossfit import IDENTITY_ONLY, Floats
from automl.ensemble.ensemble_recipe import Recipe, RecipeMember
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.ensemble.predictor import Predictor, TrainedFold
from automl.ensemble.selection import EnsembleSelection, PredictionBudget, select_ensemble, trim_selection
from automl.ensemble.shared_features import find_shared_backbone
from automl.ensemble.tta import IDENTITY, parse_tta
from automl.errors import Notify, StorageError, UsageError, join_names
from automl.files.tables import format_count
from automl.submission.decide import DecisionRule, fit_decision_rule, is_blended_by_rank
from automl.submission.write import write_submission
from automl.training.feature_store import FeatureStore
from automl.training.loss.soft_targets import TARGET_KINDS
from automl.training.seeding import use_deterministic_algorithms


def build_ensemble(
    competition: Competition,
    folds: NDArray[np.int64],
    candidates: Sequence[Candidate],
    files: StudyFiles,
    request: EnsembleRequest,
    *,
    distillation_notes: Sequence[str] = (),
    notify: Notify = lambda line: None,
) -> EnsembleResult:
    """Select up to `top` of the best candidates; write the submission and the result as ensemble.json.

    Without test images there is no submission, and the ensemble is for new ones alone.

    The same trials and probes give the same bytes, and what was predicted before is not predicted again.

    Args:
        candidates: all complete trials, best first, with what pseudo-labels and distillation have made of them, and
            then all finished probes, best first.
        distillation_notes: what is known of how much these help, a line each; noted where such a member is selected.

    Raises:
        UsageError: the views do not suit the competition, or a time is given for no test images.
        NoUsableModelError: no candidate has usable files.
        DataError: an image is gone or cannot be read, or the submission would be refused.
    """
    started = time.monotonic()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        notify(line)

    use_deterministic_algorithms()
    tta = parse_tta(request.tta, flips=competition.flips)
    predictor = Predictor(
        competition,
        PixelCache(competition, files.cache),
        device=request.device,
        cache_folder=files.predictions,
        feature_store=FeatureStore(files.features),
        n_threads=request.n_threads,
        notify=notify,
    )
    for line in _describe_changes(competition, files):
        note(line)
    best = select_candidates(candidates, max(request.pool, request.top))
    pool = read_members(best, files, competition, folds, notify=note)
    notify(f"choosing among {_count_members(pool)} on {len(pool[0].rows)} rows out of fold")
    whole = select_ensemble(
        pool, competition=competition, predictor=predictor, tta=tta, max_members=request.top, notify=note
    )
    built = _fit_in_time(whole, request, predictor, note)
    if any(member.member_kind in TARGET_KINDS for member in built.recipe.members):
        for line in distillation_notes:
            note(line)
    if competition.unreadable_test:
        note(_describe_unreadable(competition))
    if competition.has_test_images:
        probs = predict_submission(built.selection, built.recipe, predictor, notify=note)
        write_submission(competition, probs, request.out, built.decision.rule, by_rank=built.recipe.by_rank)
    singles = [candidate for candidate in candidates if candidate.member_kind not in TARGET_KINDS]
    single = find_best_single(singles, files, built.selection.oof)
    result = _build_result(built, single, request, seconds=time.monotonic() - started, notes=notes)
    write_json(files.ensemble, result.to_json())
    return result


def predict_submission(selection: EnsembleSelection, recipe: Recipe, predictor: Predictor, *, notify: Notify) -> Floats:
    """Predict (n_test, n_classes) by the ensemble; the rows of images that cannot be read are zeros.

    Where the identity is the only view, a member whose weights are gone serves with the predictions in its files.

    Raises:
        StorageError: weights are missing or damaged that views need.
    """
    members = {member.name: member for member, _ in selection.weighted_members}

    def locate_weights(recipe_member: RecipeMember, fold: int) -> Path:
        return get_model(members[recipe_member.name], fold).weights

    try:
        return predict_ensemble(recipe, locate_weights, predictor)
    except StorageError:
        if selection.views != IDENTITY_ONLY:
            raise
    return _predict_from_files(recipe, members, predictor, notify)


def list_readable_rows(predictor: Predictor) -> NDArray[np.int64]:
    """Return the rows of the test images that can be read."""
    competition = predictor.competition
    return np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)


def measure_seconds(members: Sequence[Member], predictor: Predictor) -> dict[str, float]:
    """Measure by member: of one view through one fold's model; 0 for one that serves with what its files hold.

    Measured by predicting the test images, which it has to do anyway, and cached with the predictions. All have
    predicted before any time is read, as networks of one architecture share the best time that was measured for any.
    Where the folds are heads on one backbone, which sees an image once for all of them, each has its part of that time;
    that another member may have the same backbone is not counted.
    """
    folds = {member.name: _predict_with_one_fold(member, predictor) for member in members}
    seconds = {name: 0.0 if fold is None else predictor.measure_seconds_per_image(fold) for name, fold in folds.items()}
    n_sharing = {own.name: len(own.models) if has_shared_backbone(own) else 1 for own in members}
    return {name: own / n_sharing[name] for name, own in seconds.items()}


def has_shared_backbone(member: Member) -> bool:
    """Return whether all folds of a member are heads on one backbone that training has not changed."""
    try:
        backbones = {find_shared_backbone(own.weights, own.config.model) for own in member.models.values()}
    except StorageError:  # damaged; such a member serves with the predictions in its files
        return False
    return len(backbones) == 1 and backbones != {None}


def _predict_with_one_fold(member: Member, predictor: Predictor) -> TrainedFold | None:
    for trained in member.models.values():
        with contextlib.suppress(StorageError):  # damaged; another fold's model is as fast
            predictor.predict_views(trained, [IDENTITY], "test", list_readable_rows(predictor))
            return trained
    return None


def _predict_from_files(
    recipe: Recipe, members: Mapping[str, Member], predictor: Predictor, notify: Notify
) -> NDArray[np.float64]:
    competition, readable = predictor.competition, list_readable_rows(predictor)
    blended = np.zeros((len(competition.test_ids), competition.n_classes))
    for member in recipe.members:
        mean = _predict_or_read_test(members[member.name], predictor, notify)
        probs = apply_temperature(mean, member.temperature, competition)
        blended[readable] += blend_probs(probs[None, readable], np.array([member.weight]), by_rank=recipe.by_rank)
    return blended


def _predict_or_read_test(member: Member, predictor: Predictor, notify: Notify) -> NDArray[np.float64]:
    try:
        return predict_test(member, [IDENTITY], predictor)
    except StorageError as error:
        notify(f"{member.title} answers with the predictions in its files: {error.problem}; {error.hint}")
        return member.test.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """What was selected, and how it decides.

    Attributes:
        plain_decision: fitted without views.
        decision: fitted with the views that are used; the same without views.
    """

    selection: EnsembleSelection
    plain_decision: DecisionRule
    decision: DecisionRule
    recipe: Recipe
    is_trimmed: bool


def _fit_in_time(
    selection: EnsembleSelection, request: EnsembleRequest, predictor: Predictor, notify: Notify
) -> _Built:
    """The selection with its decision rule and recipe, without what has no time."""
    plain, decision = _fit_decision_rules(selection)
    recipe = whole = _build_recipe(selection, decision, predictor)
    if request.max_minutes is not None:
        n_images = request.n_images or len(predictor.competition.test_ids)
        if not n_images:
            raise UsageError("--max-minutes is for no test images", hint="say for how many it is: --images N")
        budget = PredictionBudget(minutes=request.max_minutes, n_images=n_images)
        selection, recipe = trim_selection(budget, selection, whole, notify=notify)
        plain, decision = _fit_decision_rules(selection)
        recipe = replace(recipe, rule=decision.rule.to_json())
    return _Built(selection, plain, decision, recipe, is_trimmed=_list_parts(recipe) != _list_parts(whole))


def _count_members(pool: Sequence[Member]) -> str:
    """As "15 trials", or "15 trials and 2 probes"."""
    n_probes = sum(member.is_probe for member in pool)
    counts = {"trial": len(pool) - n_probes, "probe": n_probes}
    if n_probes == 0:
        return f"{len(pool)} trials"
    return " and ".join(format_count(n_members, noun) for noun, n_members in counts.items() if n_members > 0)


def _list_parts(recipe: Recipe) -> list[tuple[str, tuple[str, ...]]]:
    return [(member.name, member.views) for member in recipe.members]


def _describe_changes(competition: Competition, files: StudyFiles) -> Iterator[str]:
    """A line that names the test images that are no longer those of the search, if any are."""
    changed = find_changed_images(competition, "test", files.test_sizes)
    if changed:
        counted = f"{len(changed)} of {len(competition.test_ids)} test images"
        yield f"{counted} changed since the search: {join_names(changed)}; all members see them anew"


def _fit_decision_rules(selection: EnsembleSelection) -> tuple[DecisionRule, DecisionRule]:
    """The rules for the blend with the identity view alone and with all views; one and the same without views."""
    oof = selection.oof
    plain_probs = oof.cross_predict(selection.plain)
    plain = fit_decision_rule(oof.competition, plain_probs, oof.rows, estimate=selection.estimate_score(plain_probs))
    if selection.fit is selection.plain:
        return plain, plain
    probs = oof.cross_predict(selection.fit)
    return plain, fit_decision_rule(oof.competition, probs, oof.rows, estimate=selection.estimate_score(probs))


def _describe_unreadable(competition: Competition) -> str:
    n_unreadable, n_test = len(competition.unreadable_test), len(competition.test_ids)
    verb = "is" if n_unreadable == 1 else "are"
    given = "the middle rank" if is_blended_by_rank(competition) else "the training images' frequencies"
    if competition.submission.images_of_row is not None:
        given = f"the others of their row, or {given} where there is none,"
    return f"{n_unreadable} of {n_test} test images {verb} missing or broken: {given} stand in for what nobody can see"


def _build_recipe(selection: EnsembleSelection, decision: DecisionRule, predictor: Predictor) -> Recipe:
    seconds = measure_seconds([member for member, _ in selection.weighted_members], predictor)
    members = tuple(
        _build_member(selection, member, seconds[member.name], shares_backbone=has_shared_backbone(member))
        for member, _ in selection.weighted_members
    )
    return Recipe(
        members=members,
        by_rank=is_blended_by_rank(selection.oof.competition),
        rule=decision.rule.to_json(),
        short_side=predictor.cache.short_side,
        drop_order=order_drops(selection, {own.name: own.seconds_per_image * len(own.folds) for own in members}),
        n_threads=predictor.n_threads,
    )


def _build_member(
    selection: EnsembleSelection, member: Member, seconds_per_image: float, *, shares_backbone: bool
) -> RecipeMember:
    final, index = selection.fit.final, selection.find_position(member.name)
    return RecipeMember(
        number=member.number,
        member_kind=member.member_kind,
        weight=float(final.weights[index]),
        temperature=float(final.temperatures[index]),
        config=member.config,
        folds=_list_folds(member),
        views=final.views[index],
        seconds_per_image=seconds_per_image,
        shares_backbone=shares_backbone,
    )


def _list_folds(member: Member) -> tuple[int, ...]:
    """Those whose models see the test images: all there are, whichever rows members were compared on."""
    return tuple(sorted(member.models)) or tuple(int(fold) for fold in np.unique(member.folds))


def _build_result(
    built: _Built, single: BestSingle, request: EnsembleRequest, *, seconds: float, notes: Sequence[str]
) -> EnsembleResult:
    selection, decision = built.selection, built.decision
    oof, members = selection.oof, [member for member, _ in selection.weighted_members]
    metric = oof.competition.metric
    return EnsembleResult(
        recipe=built.recipe,
        member_scores={member.name: oof.score(member.oof) for member in members},
        member_gains=compute_member_gains(selection),
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        score=decision.score,
        score_error=decision.score_error,
        is_trimmed=built.is_trimmed,
        score_without_tta=built.plain_decision.score,
        best_single_number=single.number,
        best_single_kind=single.member_kind,
        best_single_score=single.score,
        optimism=single.optimism,
        n_trials=single.n_trials,
        tta=selection.tta,
        views=selection.views,
        view_gains=compute_view_gains(selection),
        error_correlations=tuple(map(tuple, compute_error_correlations(members, oof.competition).tolist())),
        blend_method=selection.fit.final.method,
        rule_source=decision.rule_source,
        rule_words=decision.words,
        n_pool=len(oof.pool),
        n_rows=len(oof.rows),
        seconds=seconds,
        submission=request.out if oof.competition.has_test_images else None,
        submission_digest=(
            hashlib.sha256(request.out.read_bytes()).hexdigest() if oof.competition.has_test_images else ""
        ),
        device=request.device,
        notes=tuple(notes),
    )
