"""How a blend is turned into what is handed in: fitted on rows out of fold, the same for the test images.

Not responsible for: the rules themselves (automl.decisions.choose) or writing their decisions
(automl.submission.write).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition, SubmissionKind
from automl.decisions.choose import choose_rule, is_chosen, is_fitted, matched_rule
from automl.decisions.rules import ClipRule, Rule
from automl.metrics.metric import Metric
from automl.metrics.registry import metric_named
from automl.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """The rule that was chosen, and what it scores on rows that it was not fitted to.

    Attributes:
        kind: "plain", "matched" to the training frequencies, or "searched".
        score: of the competition's metric, cross-fitted.
        words: the rule in a line.
    """

    rule: Rule
    kind: str
    score: float
    score_error: float
    words: str


class Estimate(NamedTuple):
    """A cross-fitted score and its standard error."""

    score: float
    error: float


def decide(competition: Competition, probs: NDArray[Any], rows: NDArray[np.int64], *, scored: Estimate) -> Deciding:
    """The best rule for cross-fitted probabilities (n_rows, n_classes) of those rows of the competition.

    Args:
        scored: these probabilities by the competition's scorer; it stays where nothing is fitted, or where the
            submission asks for something else than the metric does.
    """
    metric, facts, by_rank = deciding_metric(competition), competition.scorer.facts, blends_ranks(competition)
    if metric != competition.metric or not is_chosen(metric, facts):
        rule = matched_rule(metric, facts, probs)
        kind = "matched" if is_fitted(metric, facts) else "plain"
    else:
        groups = None if competition.groups is None else competition.groups[rows]
        decision = choose_rule(metric, facts, competition.targets[rows], probs, groups=groups)
        rule, kind, scored = decision.rule, decision.kind, Estimate(decision.score, decision.score_error)
    in_words = _clip_in_words(rule) if isinstance(rule, ClipRule) else _words(metric, facts.task, kind, by_rank=by_rank)
    return Deciding(rule=rule, kind=kind, score=scored.score, score_error=scored.error, words=in_words)


def running_rule(competition: Competition, oof_probs: NDArray[Any]) -> Rule:
    """The rule under which the classes are as frequent in these rows out of fold as they are in training."""
    return matched_rule(deciding_metric(competition), competition.scorer.facts, oof_probs)


def blends_ranks(competition: Competition) -> bool:
    """Whether ranks are averaged, column by column: where the metric that the user named scores the order alone.

    Not of three or more classes of which an image has one, as the ranks of a row would not sum to one; nor where labels
    are handed in, as ranks cannot be decided.
    """
    ranking = competition.metric.needs == "order" and competition.metric_given
    two_classes = competition.task.one_class_each and competition.n_classes == 2
    probabilities = competition.submission.kind in (SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES)
    return ranking and probabilities and (two_classes or competition.task is Task.MULTILABEL)


def takes_decisions(competition: Competition) -> bool:
    """Whether labels or certainties are handed in that a rule decides, which is fitted."""
    return is_fitted(deciding_metric(competition), competition.scorer.facts)


def deciding_metric(competition: Competition) -> Metric:
    """The competition's metric where it scores what is handed in; else the usual one for that.

    Labels may be asked for where the metric ranks, and probabilities where it scores labels.
    """
    kind, metric = competition.submission.kind, competition.metric
    if kind in (SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES):
        return metric if metric.needs in ("probabilities", "order") else metric_named("log_loss")
    if kind is SubmissionKind.VALUES:
        return metric if metric.needs == "values" else metric_named("rmse")
    one_class_each = competition.task.one_class_each
    if kind is SubmissionKind.RANKING:
        fits = metric.needs == "ranking" or (one_class_each and metric.needs_labels)
        return metric if fits else metric_named(f"map@{competition.submission.n_ranked}")
    if metric.needs_labels:
        return metric
    return metric_named("accuracy" if one_class_each else "f1_samples")


def _clip_in_words(rule: ClipRule) -> str:
    bounds = (f"{bound:.6f}".rstrip("0").rstrip(".") for bound in (rule.edge, 1.0 - rule.edge))
    within = f" between {' and '.join(bounds)}" if rule.edge > 0 else ""
    tempered = f" with a temperature of {rule.temperature:.2f}" if rule.temperature != 1.0 else ""
    return f"handed in as probabilities{within}{tempered}, as that wins on rows out of fold that it was not fitted on"


def _words(metric: Metric, task: Task, kind: str, *, by_rank: bool) -> str:
    match metric.needs:
        case "probabilities" | "order" if kind == "plain":
            return f"handed in as {'ranks' if by_rank else 'probabilities'}, without a decision"
        case "values":
            return "handed in as values on the scale of the training targets"
        case "ranking":
            return f"decided by the {metric.n_ranked} most probable classes"
    subject = _subject(metric, task)
    if kind == "searched":
        return f"decided by {subject} searched on rows out of fold, as they win on rows that they were not searched on"
    if kind == "matched" and (metric.beta != 1.0 or (metric.average == "macro" and task.one_class_each)):
        return f"decided by {subject} that promise the best score, going by the probabilities themselves"
    if kind == "matched":
        return f"decided by {subject} matched to the training frequencies"
    return "decided by the most probable class" if task.one_class_each else "decided by one half for each label"


def _subject(metric: Metric, task: Task) -> str:
    if task is Task.ORDINAL:
        return "cut points"
    return "thresholds" if task is Task.MULTILABEL or metric.name in ("f1", "pf1") else "weights of the classes"
