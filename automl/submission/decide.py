"""Fit the decision rule that turns a blend into a submission: on rows out of fold, the same for the test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition, SubmissionKind
from automl.decisions.choose import choose_rule, fit_matched_rule, is_chosen, is_fitted
from automl.decisions.rules import ClipRule, Rule
from automl.metrics.metric import Metric
from automl.metrics.registry import get_metric
from automl.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """The rule that was chosen, and what it scores on rows that it was not fitted to.

    Attributes:
        rule_source: "plain", "matched" to the training frequencies, or "searched".
        score: of the competition's metric, cross-fitted.
        words: the rule in a line.
    """

    rule: Rule
    rule_source: str
    score: float
    score_error: float
    words: str


class Estimate(NamedTuple):
    """A cross-fitted score and its standard error."""

    score: float
    error: float


def fit_decision_rule(
    competition: Competition, probs: NDArray[Any], rows: NDArray[np.int64], *, estimate: Estimate
) -> DecisionRule:
    """Fit the best rule to cross-fitted probabilities (n_rows, n_classes) of those rows of the competition.

    Args:
        estimate: of these probabilities by the competition's scorer; it stays where nothing is fitted, or where the
            submission asks for something else than the metric does.
    """
    metric, facts = get_deciding_metric(competition), competition.scorer.context
    if metric != competition.metric or not is_chosen(metric, facts):
        rule = fit_matched_rule(metric, facts, probs)
        source = "matched" if is_fitted(metric, facts) else "plain"
    else:
        groups = None if competition.groups is None else competition.groups[rows]
        decision = choose_rule(metric, facts, competition.targets[rows], probs, groups=groups)
        rule, source, estimate = decision.rule, decision.rule_source, Estimate(decision.score, decision.score_error)
    if isinstance(rule, ClipRule):
        words = _describe_clip(rule)
    else:
        words = _describe(metric, facts.task, source, by_rank=is_blended_by_rank(competition))
    return DecisionRule(rule=rule, rule_source=source, score=estimate.score, score_error=estimate.error, words=words)


def match_training_frequencies(competition: Competition, oof_probs: NDArray[Any]) -> Rule:
    """Fit the rule under which the classes are as frequent in these rows out of fold as they are in training."""
    return fit_matched_rule(get_deciding_metric(competition), competition.scorer.context, oof_probs)


def is_blended_by_rank(competition: Competition) -> bool:
    """Whether ranks are averaged, column by column: where the metric that the user named scores the order alone.

    Not of three or more classes of which an image has one, as the ranks of a row would not sum to one; nor where labels
    are submitted, as ranks cannot be decided.
    """
    ranking = competition.metric.needs == "order" and competition.metric_given
    rankable = competition.target_kind.has_rankable_columns(competition.n_classes)
    probabilities = competition.submission.submission_kind in (SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES)
    return ranking and probabilities and rankable


def is_decided_by_fitted_rule(competition: Competition) -> bool:
    """Whether labels or confidences are submitted that a fitted rule decides."""
    return is_fitted(get_deciding_metric(competition), competition.scorer.context)


def get_deciding_metric(competition: Competition) -> Metric:
    """Return the competition's metric where it scores what is submitted; else the usual one for that.

    Labels may be asked for where the metric ranks, and probabilities where it scores labels.
    """
    submission_kind, metric = competition.submission.submission_kind, competition.metric
    if submission_kind in (SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES):
        return metric if metric.needs in ("probabilities", "order") else get_metric("log_loss")
    if submission_kind is SubmissionKind.VALUES:
        return metric if metric.needs == "values" else get_metric("rmse")
    one_class_each = competition.target_kind.is_single_class
    if submission_kind is SubmissionKind.RANKING:
        fits = metric.needs == "ranking" or (one_class_each and metric.needs_labels)
        return metric if fits else get_metric(f"map@{competition.submission.n_ranked}")
    if metric.needs_labels:
        return metric
    if competition.target_kind.is_multi_label:
        return get_metric("f1_samples")
    return get_metric("accuracy", head_sizes=competition.head_sizes)


def _describe_clip(rule: ClipRule) -> str:
    bounds = (f"{bound:.6f}".rstrip("0").rstrip(".") for bound in (rule.edge, 1.0 - rule.edge))
    within = f" between {' and '.join(bounds)}" if rule.edge > 0 else ""
    tempered = f" with a temperature of {rule.temperature:.2f}" if rule.temperature != 1.0 else ""
    return f"submitted as probabilities{within}{tempered}, as that wins on rows out of fold that it was not fitted on"


def _describe(metric: Metric, task: Task, source: str, *, by_rank: bool) -> str:
    match metric.needs:
        case "probabilities" | "order" if source == "plain":
            return f"submitted as {'ranks' if by_rank else 'probabilities'}, without a decision"
        case "values":
            return "submitted as values on the scale of the training targets"
        case "ranking":
            return f"decided by the {metric.n_ranked} most probable classes"
    subject = _name_parameters(metric, task)
    if source == "searched":
        return f"decided by {subject} searched on rows out of fold, as they win on rows that they were not searched on"
    is_multi_label = task.target_kind.is_multi_label
    if source == "matched" and (metric.beta != 1.0 or (metric.average == "macro" and not is_multi_label)):
        return f"decided by {subject} that promise the best score, going by the probabilities themselves"
    if source == "matched":
        return f"decided by {subject} matched to the training frequencies"
    if is_multi_label:
        return "decided by one half for each label"
    return f"decided by the most probable class{' of each head' if metric.head_sizes else ''}"


def _name_parameters(metric: Metric, task: Task) -> str:
    if task is Task.ORDINAL:
        return "cut points"
    return "thresholds" if task.target_kind.is_multi_label or metric.name in ("f1", "pf1") else "weights of the classes"
