"""Light heads on features of a frozen backbone, each fitted on all folds but one: linear, MLP, and nearest neighbours.

None of them weighs classes: decision rules answer metrics that favour rare ones (automl.decisions), and need honest
probabilities.
See also: automl.training.linear_head, which solves the linear ones.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.config import LossConfig
from automl.data.competition import Competition
from automl.decisions.bootstrap import bootstrap_scores
from automl.decisions.resampling import assign_stratified_splits, sample_rows
from automl.training.linear_head import HeadTask, LinearHead, convert_head_targets, fit_fold_heads, get_link
from automl.training.loss.by_task import get_objective, list_linear_losses
from automl.training.loss.losses import build_loss
from automl.training.network.heads import build_head
from automl.training.network.outputs import OutputLayer, build_output_layer
from automl.training.seeding import derive_seed, seed_everything

Probs = NDArray[np.float32]
Rows = NDArray[np.int64]

KNN, MLP = "knn", "mlp"
PREDICTED_ROWS = 8192  # at once

HIDDEN, DROPOUT = (256,), 0.5  # of the MLP
MIN_MLP_ROWS = 2000
MLP_EPOCHS, MLP_PATIENCE, MLP_BATCH, MLP_LR, MLP_DECAY = 15, 3, 128, 1e-3, 1e-2
MLP_SHARE = 0.5  # of the backbone's multiplications that it may take
MLP_BYTES = 2**30  # of the features that it has in memory

MAX_KNN_ROWS = 20_000
MAX_TUNED_ROWS = 2000
KNN_CHUNK = 1024
MAX_GATHERED = 2**24  # soft targets of neighbours at once
NEIGHBOURS, TEMPERATURES = (4, 10, 32), (0.03, 0.1, 0.3)
SETTINGS = tuple(itertools.product(NEIGHBOURS, TEMPERATURES))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadProblem:
    """What the heads of one probe are fitted to.

    Attributes:
        folds: (n,) of the training images, -1 for those that are only trained on.
        train_views: (n, F) features of the training images: as they are and, where asked for, mirrored.
        test_views: (n_test, F) of the test images, in the same views.
        seeds: from which all random numbers follow.
        device: where it is computed.
        on_step: called now and then.
    """

    competition: Competition
    folds: NDArray[np.int64]
    train_views: tuple[NDArray[np.floating], ...]
    test_views: tuple[NDArray[np.floating], ...]
    seeds: tuple[int | str, ...]
    device: str
    on_step: Callable[[], None] = lambda: None

    @property
    def n_features(self) -> int:
        return int(self.train_views[0].shape[1])

    @property
    def fold_numbers(self) -> list[int]:
        """Of the folds that are validated on, ascending."""
        return [int(fold) for fold in np.unique(self.folds[self.folds >= 0])]

    @property
    def validated_rows(self) -> Rows:
        """Rows (n_oof,) fold by fold, as the files of a trial have them."""
        return np.concatenate([np.flatnonzero(self.folds == fold) for fold in self.fold_numbers])

    def build_output_layer(self, loss: LossConfig) -> OutputLayer:
        """Build the activation of outputs that are trained with the loss."""
        competition = self.competition
        return build_output_layer(loss, competition.task, competition.n_classes, head_sizes=competition.head_sizes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedHead:
    """Heads of one kind, one for each fold, and what they predict.

    Attributes:
        name: "linear", "ridge" or "mlp".
        hidden, dropout: of the heads, as automl.config.ModelConfig has them.
        loss: that they were trained with.
        heads: fold -> (B, F) -> (B, n_outputs), on the CPU in evaluation mode.
        oof: (n_oof, n_classes) of `HeadProblem.validated_rows`, of the images as they are.
        test: fold -> (n_test, n_classes), of the images as they are.
        score: of the mean over all views, out of fold.
        score_error: its standard error, by resampling the rows.
        log_loss: of the same, the sum over classes of each against the rest.
    """

    name: str
    hidden: tuple[int, ...]
    dropout: float
    loss: LossConfig
    heads: Mapping[int, nn.Sequential]
    oof: Probs
    test: Mapping[int, Probs]
    score: float
    score_error: float
    log_loss: float


def fit_linear_heads(problem: HeadProblem) -> list[FittedHead]:
    """Fit L2-regularised linear heads: logistic regression, or ridge regression of class numbers, as the task allows.

    Raises:
        DataError: features are not finite.
    """
    return [_fit_linear(problem, name, loss) for name, loss in list_linear_losses(problem.competition.task).items()]


def can_fit_mlp(problem: HeadProblem, backbone_cost: float) -> bool:
    """Return whether an MLP is worth its time: there are rows enough, and it is cheap beside the backbone.

    Args:
        backbone_cost: multiplications that the backbone takes for an image.
    """
    n, n_features = len(problem.folds), problem.n_features
    cost = 3 * MLP_EPOCHS * len(problem.fold_numbers) * n_features * HIDDEN[0]  # of an image: forward and twice back
    fits = 4 * n * n_features * len(problem.train_views) <= MLP_BYTES
    return n >= MIN_MLP_ROWS and fits and cost <= MLP_SHARE * backbone_cost


def fit_mlp_head(problem: HeadProblem) -> FittedHead:
    """Fit a head with one hidden layer in each fold; its epochs are counted on a tenth of the fold's training rows."""
    loss = LossConfig(name=list_linear_losses(problem.competition.task)["linear"])
    heads = {fold: _train_mlp(problem, loss, fold) for fold in problem.fold_numbers}
    return _evaluate(problem, MLP, loss, heads, hidden=HIDDEN, dropout=DROPOUT)


def choose_head(problem: HeadProblem, fitted: list[FittedHead]) -> FittedHead:
    """Return the head of the best score; of those with equal ones, the one of less log loss."""
    sign = -1.0 if problem.competition.metric.greater_is_better else 1.0
    return min(fitted, key=lambda head: (sign * head.score, head.log_loss))


def score_neighbours(problem: HeadProblem) -> float:
    """Return the score out of fold of nearest neighbours by cosine, weighted by exp(cosine / temperature).

    Neighbours are of other folds. How many count, and the temperature, are chosen for each fold on rows of the others,
    by neighbours that are neither of the row's own fold nor of the one that is predicted. Of many images a sample is
    taken.
    Source: Wu et al. 2018, Unsupervised Feature Learning via Non-Parametric Instance Discrimination, section 3.4.
    """
    competition = problem.competition
    rows = sample_rows(len(problem.folds), competition.groups, n_rows=MAX_KNN_ROWS, seed=0)
    neighbours = _Neighbours.find(problem, rows)
    validated = np.flatnonzero(neighbours.folds >= 0)
    probs = np.empty((len(rows), competition.n_classes))
    for fold in np.unique(neighbours.folds[validated]):
        own = np.flatnonzero(neighbours.folds == fold)
        (probs[own],) = neighbours.vote(own, without=(fold,), settings=[neighbours.choose_setting(fold)])
    return float(competition.scorer(competition.targets[rows[validated]], probs[validated]))


def _fit_linear(problem: HeadProblem, name: str, loss_name: str) -> FittedHead:
    competition, loss = problem.competition, LossConfig(name=loss_name)
    objective = get_objective(loss_name, competition.task)
    task = HeadTask(
        views=problem.train_views,
        targets=convert_head_targets(competition.soft_targets, objective),
        link=get_link(objective),
        head_sizes=competition.head_sizes,
        device=problem.device,
    )
    heads = {fold: build_linear_layer(fitted) for fold, fitted in fit_fold_heads(task, problem.folds).items()}
    problem.on_step()
    return _evaluate(problem, name, loss, heads, hidden=(), dropout=0.0)


def build_linear_layer(fitted: LinearHead) -> nn.Sequential:
    """Build a network's head (B, F) -> (B, n_outputs) of a linear head's weights."""
    n_outputs, n_features = fitted.weight.shape
    head = build_head(n_features, n_outputs, hidden=(), dropout=0.0)
    head.load_state_dict({"fc.weight": torch.from_numpy(fitted.weight), "fc.bias": torch.from_numpy(fitted.bias)})
    return head.eval()


def _evaluate(
    problem: HeadProblem,
    name: str,
    loss: LossConfig,
    heads: Mapping[int, nn.Sequential],
    *,
    hidden: tuple[int, ...],
    dropout: float,
) -> FittedHead:
    """Predict with each fold's head what it was not fitted to."""
    competition, output_layer = problem.competition, problem.build_output_layer(loss)
    by_view = [
        np.concatenate(
            [_predict(head, output_layer, view[problem.folds == fold]) for fold, head in sorted(heads.items())]
        )
        for view in problem.train_views
    ]
    mean: NDArray[np.float64] = np.mean(by_view, axis=0, dtype=np.float64)
    rows = problem.validated_rows
    targets = competition.targets[rows]
    groups = None if competition.groups is None else competition.groups[rows]
    return FittedHead(
        name=name,
        hidden=hidden,
        dropout=dropout,
        loss=loss,
        heads=heads,
        oof=by_view[0],
        test={fold: _predict(head, output_layer, problem.test_views[0]) for fold, head in heads.items()},
        score=float(competition.scorer(targets, mean)),
        score_error=float(bootstrap_scores([mean], targets, competition.scorer, groups=groups).std()),
        log_loss=_compute_log_loss(mean, competition.soft_targets[rows]),
    )


@torch.no_grad()
def _predict(head: nn.Sequential, output_layer: OutputLayer, features: NDArray[np.floating]) -> Probs:
    """Predict (m, n_classes) on the CPU, as the network does from the same features."""
    parts = [features[start : start + PREDICTED_ROWS] for start in range(0, len(features), PREDICTED_ROWS)]
    done = [output_layer.to_probs(head(torch.from_numpy(np.array(part, np.float32)))).numpy() for part in parts]
    return np.concatenate(done) if done else np.empty((0, output_layer.n_classes), np.float32)


def _compute_log_loss(probs: NDArray[np.floating], soft_targets: NDArray[np.floating]) -> float:
    clipped = np.clip(np.asarray(probs, np.float64), 1e-7, 1.0 - 1e-7)
    losses = -soft_targets * np.log(clipped) - (1.0 - soft_targets) * np.log1p(-clipped)
    return float(losses.sum(axis=1).mean())


# ---- MLP -------------------------------------------------------------------------------------------------------------


def _train_mlp(problem: HeadProblem, loss: LossConfig, fold: int) -> nn.Sequential:
    """Train one fold's head, with the weights of the epoch that was best on the fold's inner rows.

    It learns from standardised features; as batch norm follows, its first layers take them as they are in the end.
    """
    competition = problem.competition
    seed_everything(derive_seed(*problem.seeds, MLP, fold))
    rows = np.flatnonzero(problem.folds != fold)
    is_inner = _draw_inner_rows(competition, rows, seed=derive_seed(*problem.seeds, MLP, fold, "inner"))
    views, mean, scale = _standardise(problem, rows)
    targets = torch.from_numpy(competition.training_targets[rows]).to(problem.device)
    n_outputs = problem.build_output_layer(loss).n_outputs
    head = build_head(problem.n_features, n_outputs, hidden=HIDDEN, dropout=DROPOUT).to(problem.device)
    compute_loss = build_loss(
        loss, task=competition.task, n_classes=competition.n_classes, head_sizes=competition.head_sizes
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=MLP_LR, weight_decay=MLP_DECAY)
    inner = torch.from_numpy(np.flatnonzero(is_inner))
    best, best_loss, best_epoch = copy.deepcopy(head), math.inf, 0
    for epoch in range(MLP_EPOCHS):
        head.train()
        for batch in _draw_batches(np.flatnonzero(~is_inner)):
            optimizer.zero_grad()
            view = views[int(torch.randint(len(views), ()))]
            compute_loss(head(view[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        problem.on_step()
        with torch.no_grad():
            inner_loss = float(compute_loss(head.eval()(views[0][inner]), targets[inner]))
        if inner_loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(head), inner_loss, epoch
        if epoch - best_epoch >= MLP_PATIENCE:
            break
    return _take_plain_features(best.cpu().eval(), mean, scale)


def _draw_inner_rows(competition: Competition, rows: Rows, *, seed: int) -> NDArray[np.bool_]:
    """Draw about a tenth of the rows (n_rows,), stratified and in whole groups."""
    targets = competition.targets[rows]
    groups = None if competition.groups is None else competition.groups[rows]
    fifth = np.flatnonzero(assign_stratified_splits(targets, groups, seed=seed) == 0)
    halves = assign_stratified_splits(targets[fifth], None if groups is None else groups[fifth], seed=seed + 1)
    is_inner = np.zeros(len(rows), dtype=bool)
    is_inner[fifth[halves < 3]] = True
    return is_inner


def _standardise(problem: HeadProblem, rows: Rows) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the views (n_rows, F) standardised by what they have in common, its mean (F,) and inverse deviation."""
    views = [torch.from_numpy(np.asarray(view[rows], np.float32)) for view in problem.train_views]
    std, mean = torch.std_mean(torch.cat(views).double(), dim=0)
    mean, scale = mean.float(), torch.where(std > 1e-6, 1.0 / std, 0.0).float()
    return [((view - mean) * scale).to(problem.device) for view in views], mean, scale


def _draw_batches(rows: Rows) -> Iterator[Tensor]:
    """Draw the batches of an epoch; what is left over after the last whole one is left out, but for few rows."""
    shuffled = torch.from_numpy(rows)[torch.randperm(len(rows))]
    size = min(MLP_BATCH, len(rows))
    return (shuffled[start : start + size] for start in range(0, len(rows) - size + 1, size))


def _take_plain_features(head: nn.Sequential, mean: Tensor, scale: Tensor) -> nn.Sequential:
    """Move the standardisation of the features into the first layer, and into the mean of the batch norm after it."""
    weight, norm = head.get_submodule("hidden1").get_parameter("weight"), head.get_submodule("norm1")
    with torch.no_grad():
        weight.mul_(scale)
        norm.get_buffer("running_mean").add_(weight @ mean)
    return head


# ---- Nearest neighbours ----------------------------------------------------------------------------------------------


Setting = tuple[int, float]  # neighbours, temperature


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Neighbours:
    """The nearest rows of each row in each fold.

    Attributes:
        folds: (n,).
        soft_targets: (n, n_classes).
        blocks: (n_blocks,) the folds, -1 among them where it has rows.
        cosines, indices: (n, n_blocks, k), the nearest first; -inf where a fold has fewer rows.
    """

    folds: NDArray[np.int64]
    soft_targets: NDArray[np.float32]
    blocks: NDArray[np.int64]
    cosines: NDArray[np.float32]
    indices: NDArray[np.int64]

    @classmethod
    def find(cls, problem: HeadProblem, rows: Rows) -> _Neighbours:
        """Compare each row with all others; the features' mean is taken off first."""
        features = torch.from_numpy(np.asarray(problem.train_views[0][rows], np.float32)).to(problem.device)
        units = F.normalize(features - features.mean(dim=0))
        folds, k = problem.folds[rows], max(NEIGHBOURS)
        blocks = np.unique(folds)
        members = [np.flatnonzero(folds == block) for block in blocks]
        cosines = np.full((len(rows), len(blocks), k), -np.inf, dtype=np.float32)
        indices = np.zeros((len(rows), len(blocks), k), dtype=np.int64)
        for number, own in enumerate(members):
            n_kept, references = min(k, len(own)), units[own].mT
            for start in range(0, len(rows), KNN_CHUNK):
                part = slice(start, start + KNN_CHUNK)
                top = (units[part] @ references).topk(n_kept, dim=1)
                cosines[part, number, :n_kept] = top.values.cpu().numpy()
                indices[part, number, :n_kept] = own[top.indices.cpu().numpy()]
            problem.on_step()
        soft_targets = problem.competition.soft_targets[rows]
        return cls(folds=folds, soft_targets=soft_targets, blocks=blocks, cosines=cosines, indices=indices)

    def choose_setting(self, fold: int) -> Setting:
        """Choose what has least log loss on some rows of the other folds."""
        if len(self.blocks) < 3:  # nothing is left to choose by
            return SETTINGS[len(SETTINGS) // 2]
        others = [int(block) for block in self.blocks if block not in (fold, -1)]
        losses = np.zeros(len(SETTINGS))
        for other in others:
            own = np.flatnonzero(self.folds == other)[: max(1, MAX_TUNED_ROWS // len(others))]
            by_setting = self.vote(own, without=(fold, other), settings=SETTINGS)
            losses += [len(own) * _compute_log_loss(probs, self.soft_targets[own]) for probs in by_setting]
        return SETTINGS[int(losses.argmin())]

    def vote(self, rows: Rows, *, without: tuple[int, ...], settings: Sequence[Setting]) -> list[NDArray[np.float32]]:
        """Predict (len(rows), n_classes) for each setting by neighbours in other folds.

        The prior has a vote as the nearest one has.
        """
        is_kept = ~np.isin(self.blocks, without)
        prior = self.soft_targets[~np.isin(self.folds, without)].mean(axis=0)
        predicted = [np.empty((len(rows), len(prior)), np.float32) for _ in settings]
        size = max(1, MAX_GATHERED // (max(NEIGHBOURS) * len(prior)))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            cosines = self.cosines[part][:, is_kept].reshape(len(part), -1)
            nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
            cosines = np.take_along_axis(cosines, nearest, axis=1)
            indices = np.take_along_axis(self.indices[part][:, is_kept].reshape(len(part), -1), nearest, axis=1)
            votes = self.soft_targets[indices]
            for probs, (k, temperature) in zip(predicted, settings, strict=True):
                weights = np.exp((cosines[:, :k] - cosines[:, :1]) / temperature)
                sums = np.einsum("nk,nkc->nc", weights, votes[:, :k]) + prior
                probs[start : start + size] = sums / (weights.sum(axis=1, keepdims=True) + 1.0)
        return predicted
