"""Stop trials that are not worth going on with: the default pruner, and Optuna's own by name."""

from __future__ import annotations

import math

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from automl.errors import UsageError

PRUNERS = ("rank", "median", "percentile", "hyperband", "none")
IMAGE_SIZES = "image_sizes"  # user attribute: pixels per side for each epoch of the trial


class RankPruner(BasePruner):
    """Stops, at a few checkpoint steps only, the trials that rank in the worse part of their peers.

    Peers are all trials that reached the step, whatever became of them, with at most the image size that this one had
    there: a small early stage of a resize schedule is not held against a trial. A step is the epoch; checkpoints lie
    after 1/9, 1/3 and 2/3 of the epochs. Stateless: it writes nothing and answers the same after a restart.

    Source: the checkpoints are the rungs of ASHA with eta = 3 (Li et al. 2020, section 3); unlike there, half of all
    that reached a rung is kept, since at about fifty trials early epochs separate bad configurations from the rest, not
    the best from the good.
    """

    def __init__(self, *, epochs: int, keep_fraction: float = 0.5, n_min_peers: int = 4) -> None:
        self.steps = compute_checkpoint_steps(epochs)
        self._keep_fraction = keep_fraction
        self._n_min_peers = n_min_peers

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether, at the checkpoint step just reported, the trial ranks below the kept part of its peers."""
        step = trial.last_step
        if step not in self.steps:
            return False
        value = trial.intermediate_values[step]
        if not math.isfinite(value):
            return True
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
        peers = [sign * other for other in _list_peer_values(study, trial, step)]
        if len(peers) < self._n_min_peers:
            return False
        n_better = sum(other > sign * value for other in peers)
        return n_better >= math.ceil((len(peers) + 1) * self._keep_fraction)


def compute_checkpoint_steps(epochs: int) -> tuple[int, ...]:
    """Return the steps after 1/9, 1/3 and 2/3 of the epochs, none before the second epoch or at the last."""
    steps = {max(2, round(epochs * fraction)) - 1 for fraction in (1 / 9, 1 / 3, 2 / 3)}
    return tuple(sorted(step for step in steps if step < epochs - 1))


def build_pruner(name: str, *, epochs: int) -> BasePruner:
    """Build the pruner of that name for trials of so many epochs.

    Raises:
        UsageError: there is none.
    """
    if name == "rank":
        return RankPruner(epochs=epochs)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=max(1, epochs // 5))
    if name == "percentile":
        return optuna.pruners.PercentilePruner(75.0, n_startup_trials=5, n_warmup_steps=max(1, epochs // 5))
    if name == "hyperband":
        # max_resource is explicit: "auto" is worked out anew by each process, so a resumed study would change brackets.
        return optuna.pruners.HyperbandPruner(min_resource=2, max_resource=max(2, epochs), reduction_factor=3)
    if name == "none":
        return optuna.pruners.NopPruner()
    raise UsageError(f"there is no pruner '{name}'", hint=f"use one of {', '.join(PRUNERS)}")


def _list_peer_values(study: optuna.Study, trial: FrozenTrial, step: int) -> list[float]:
    size = _get_image_size(trial, step)
    ended_or_running = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    others = study.get_trials(deepcopy=False, states=ended_or_running)
    return [
        other.intermediate_values[step]
        for other in others
        if other.number != trial.number
        and math.isfinite(other.intermediate_values.get(step, math.nan))
        and _get_image_size(other, step) <= size
    ]


def _get_image_size(trial: FrozenTrial, step: int) -> int:
    sizes = trial.user_attrs.get(IMAGE_SIZES, ())
    return int(sizes[step]) if step < len(sizes) else 0
