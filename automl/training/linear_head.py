"""Linear heads on frozen features: L2-regularised logistic or ridge regression, its strength chosen on inner folds.

The minimum is that of scikit-learn's LogisticRegression and Ridge on standardised features, found by L-BFGS in torch,
on the device, in chunks of rows where the features do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.errors import DataError
from automl.multi_output import HeadSizes
from automl.training.loss.by_task import Objective

Link = Literal["softmax", "sigmoid", "ridge"]
Rows = NDArray[np.int64]


class Features(Protocol):
    """Features (n, F) indexed by rows: an array, or what reads them from elsewhere."""

    def __getitem__(self, rows: Rows, /) -> NDArray[Any]: ...


# C of scikit-learn: the variance of the weights' prior, for standardised features.
STRENGTHS = tuple(float(f"{10.0**exponent:.2g}") for exponent in np.arange(-5.0, 2.1, 0.5))
PATIENCE = 2  # strengths in succession that are worse than the best one, after which weaker regularisation is not tried
# Few rows tell little of C: their losses are compared as if C / F were log-normal around a usual value. Measured on
# 900 photos, seven kinds of features, three splits: log loss .0551 in place of .0563; the best C in hindsight .0538.
USUAL_STRENGTH = {"softmax": 40.0, "sigmoid": 40.0, "ridge": 1.0}  # times the number of features
PRIOR_WEIGHT = 1.5  # over the root of the number of rows: what a decade costs, as a part of the loss
MAX_ROWS_FOR_STRENGTH = 20_000
MAX_PRODUCTS = 5e9  # multiplications of one pass over those rows: a second or two of a processor's core
FEW_PRODUCTS = 5e6  # up to which every inner fold is held out, and a second thread costs more than it brings
N_INNER_FOLDS = 4  # where the rows have no folds of their own
CPU_LIMIT = 2**30  # bytes of standardised features that stay in main memory; others are read again in each pass
GPU_SHARE, CHUNK_BYTES = 0.25, 2**26  # of the free memory of a GPU, for the same; of features that are read at once
MAX_ITERATIONS = 200
TOLERANCE = 1e-6  # the greatest element of the gradient of the mean loss at what counts for a minimum
PATH_TOLERANCE = 1e-4  # the same where C is chosen: held out losses are a hundredth from where they will be, or less


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearHead:
    """Outputs that are linear in the features as they are, standardisation included.

    Attributes:
        weight: (n_outputs, F) float32.
        bias: (n_outputs,) float32.
        strength: C, the inverse of the regularisation, as scikit-learn has it.
        inner_loss: mean loss on the held out inner rows with that C; nan where C was given.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    inner_loss: float

    def copy_to(self, layer: nn.Module) -> None:
        """Give the weights to a linear layer."""
        with torch.no_grad():
            layer.get_parameter("weight").copy_(torch.from_numpy(self.weight))
            layer.get_parameter("bias").copy_(torch.from_numpy(self.bias))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadTask:
    """What linear heads are fitted to.

    Attributes:
        views: (n, F) features of each view of the images, arrays or memory maps; a row has one target in all of them.
        targets: (n, n_outputs) as `convert_head_targets` makes them; rows that are not fitted may hold nan.
        link: "softmax" for outputs that exclude each other, "sigmoid" for each by itself, "ridge" for plain values.
        head_sizes: how many outputs of a softmax exclude each other, block by block; all of them where it is empty.
        sample_weights: (n,) not negative, or None for rows that count alike.
        device: where it is computed: in float64 on a processor, in float32 elsewhere.
        on_step: called after each pass over the rows.
    """

    views: Sequence[Features]
    targets: NDArray[Any]
    link: Link
    head_sizes: HeadSizes = ()
    sample_weights: NDArray[Any] | None = None
    device: str = "cpu"
    on_step: Callable[[], object] = lambda: None


def get_link(objective: Objective) -> Link:
    """Return which linear head's outputs mean what the outputs of a network with that objective mean."""
    if objective in ("cross_entropy", "focal"):
        return "softmax"
    return "ridge" if objective == "class_number" else "sigmoid"


def convert_head_targets(soft_targets: NDArray[Any], objective: Objective) -> NDArray[np.float32]:
    """Convert soft targets (n, n_classes) into what the outputs (n, n_outputs) are fitted to.

    Source: Frank and Hall 2001, A Simple Approach to Ordinal Classification, section 2 ("thresholds").
    """
    if objective == "thresholds":
        soft_targets = 1.0 - soft_targets.cumsum(axis=1)[:, :-1]
    elif objective == "class_number":
        soft_targets = soft_targets @ np.arange(soft_targets.shape[1])[:, None]
    return np.asarray(soft_targets, dtype=np.float32)


def fit_linear_head(
    task: HeadTask, rows: Rows, *, inner_folds: NDArray[np.int64], strengths: Sequence[float] = STRENGTHS
) -> LinearHead:
    """Fit a head on the rows; C is the one that does best on inner folds, each held out in turn.

    Args:
        rows: numbers of the training rows.
        inner_folds: (n,) by which those rows are split once more, -1 for rows that are never held out; where they have
            no two folds, every fourth row is held out in turn.
        strengths: ascending values of C to choose from; a single one is used as it is.

    Raises:
        DataError: features are not finite.
    """
    if len(strengths) == 1:
        with _limit_threads(task, rows):
            return _fit(task, rows, strengths[0], start=None, inner_loss=float("nan"))
    kept = _sample_rows(task, rows)
    numbers = inner_folds[kept]
    if len(np.unique(numbers[numbers >= 0])) < 2:
        numbers = np.arange(len(kept)) % N_INNER_FOLDS
    held_out = np.unique(numbers[numbers >= 0])
    with _limit_threads(task, kept) as is_small:
        paths = [
            _fit_path(task, kept[numbers != number], [kept[numbers == number]], strengths)
            for number in (held_out if is_small else held_out[:2])
        ]
        return _fit_chosen(task, rows, [(path, 0) for path in paths], strengths)


def fit_fold_heads(
    task: HeadTask, folds: NDArray[np.int64], *, strengths: Sequence[float] = STRENGTHS
) -> dict[int, LinearHead]:
    """Fit for each fold a head on all rows but the fold's, its C chosen without the fold's rows.

    A path of C that is fitted without two folds says for each of them how well C does on the other. Each fold shares
    one with each other fold; of many rows, with the fold before it and the one after it alone.

    Args:
        folds: (n,) of the rows, -1 for those that are only trained on.

    Raises:
        DataError: features are not finite.
    """
    numbers = [int(number) for number in np.unique(folds[folds >= 0])]
    training = {number: np.flatnonzero(folds != number) for number in numbers}
    if len(numbers) < 3 or len(strengths) == 1:
        return {
            number: fit_linear_head(task, rows, inner_folds=folds, strengths=strengths)
            for number, rows in training.items()
        }
    kept = _sample_rows(task, np.arange(len(folds)))
    held: dict[int, list[tuple[_Path, int]]] = {number: [] for number in numbers}
    with _limit_threads(task, kept) as is_small:
        for first, second in combinations(numbers, 2) if is_small else pairwise([*numbers, numbers[0]]):
            rows = kept[(folds[kept] != first) & (folds[kept] != second)]
            path = _fit_path(task, rows, [kept[folds[kept] == first], kept[folds[kept] == second]], strengths)
            held[first].append((path, 1))  # what is known of C without the first fold is how it does on the second
            held[second].append((path, 0))
        return {number: _fit_chosen(task, rows, held[number], strengths) for number, rows in training.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Path:
    """Heads along C.

    Attributes:
        heads: of the strengths that were tried.
        losses: (n_sets, n_strengths) mean loss on each held out set of rows; inf for strengths that were not tried.
    """

    heads: list[LinearHead]
    losses: NDArray[np.float64]


def _fit_path(task: HeadTask, rows: Rows, held: Sequence[Rows], strengths: Sequence[float]) -> _Path:
    """Fit heads from the strongest regularisation on, each from the last one's minimum, until they get worse."""
    fitted = _Standardised.from_rows(task, rows)
    sets = [_Standardised(task, own, fitted.mean, fitted.scale) for own in held]
    parameters, heads = fitted.init_parameters(), list[LinearHead]()
    losses, waiting = np.full((len(held), len(strengths)), np.inf), set(range(len(held)))
    for index, strength in enumerate(strengths):
        parameters = _minimise(fitted, parameters, strength, tolerance=PATH_TOLERANCE)
        heads.append(fitted.build_head(parameters, strength, inner_loss=float("nan")))
        for number in tuple(waiting):  # each by itself: what chooses C for one set must not depend on another
            losses[number, index] = sets[number].compute_loss(parameters)[0]
            if index - int(losses[number].argmin()) >= PATIENCE:
                waiting.remove(number)
        if not waiting:
            break
    return _Path(heads=heads, losses=losses)


def _fit_chosen(
    task: HeadTask, rows: Rows, paths: Sequence[tuple[_Path, int]], strengths: Sequence[float]
) -> LinearHead:
    """Fit the rows with the best C; paths come with the number of the held out set that may be looked at."""
    losses = np.mean([path.losses[number] for path, number in paths], axis=0)
    decades = np.log10(np.asarray(strengths) * _count_features(task, rows) / USUAL_STRENGTH[task.link])
    costs = np.log(np.maximum(losses, 1e-12)) + PRIOR_WEIGHT / np.sqrt(len(rows)) * decades**2
    chosen = int(costs.argmin())
    return _fit(task, rows, strengths[chosen], start=paths[0][0].heads[chosen], inner_loss=float(losses[chosen]))


def _fit(task: HeadTask, rows: Rows, strength: float, *, start: LinearHead | None, inner_loss: float) -> LinearHead:
    fitted = _Standardised.from_rows(task, rows)
    parameters = fitted.init_parameters() if start is None else fitted.convert_head(start)
    parameters = _minimise(fitted, parameters, strength, tolerance=TOLERANCE)
    return fitted.build_head(parameters, strength, inner_loss=inner_loss)


@contextmanager
def _limit_threads(task: HeadTask, rows: Rows) -> Iterator[bool]:
    """Compute with one thread where there is little to compute, and tell whether that is so."""
    is_small = _count_products(task, rows) * len(rows) <= FEW_PRODUCTS
    n_threads = torch.get_num_threads()
    if is_small:
        torch.set_num_threads(1)
    try:
        yield is_small
    finally:
        torch.set_num_threads(n_threads)


def _sample_rows(task: HeadTask, rows: Rows) -> Rows:
    """Return which of the rows C is chosen on, in their order: all of them, or as many as a moment is enough for."""
    affordable = max(int(MAX_PRODUCTS / _count_products(task, rows)), 5 * task.targets.shape[1], 100)
    n_kept = min(affordable, MAX_ROWS_FOR_STRENGTH)
    if len(rows) <= n_kept:
        return rows
    kept: Rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), n_kept, replace=False))]
    return kept


def _count_features(task: HeadTask, rows: Rows) -> int:
    return int(task.views[0][rows[:1]].shape[1])


def _count_products(task: HeadTask, rows: Rows) -> int:
    """Count the multiplications with which a row becomes outputs, in all views."""
    return _count_features(task, rows) * int(task.targets.shape[1]) * len(task.views)


Chunk = tuple[Tensor, Tensor, Tensor]  # (m, F + 1) features and a one, (m, n_outputs) targets, (m, 1) weights


class _Standardised:
    """Rows of all views on the device, with features of mean 0 and variance 1 among the rows that are fitted."""

    def __init__(self, task: HeadTask, rows: Rows, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
        self.mean, self.scale = mean, scale
        self.n_rows = len(rows)
        self._task, self._rows = task, rows
        weights = np.ones(len(rows)) if task.sample_weights is None else task.sample_weights[rows].astype(np.float64)
        self._weights = weights / max(weights.sum() * len(task.views), 1e-300)
        self._dtype = torch.float64 if task.device.startswith("cpu") else torch.float32
        self._resident: list[Chunk] | None = None
        free = GPU_SHARE * torch.cuda.mem_get_info(task.device)[0] if task.device.startswith("cuda") else CPU_LIMIT
        if len(task.views) * len(rows) * (len(mean) + 1) * self._dtype.itemsize <= free:
            self._resident = list(self._load_chunks())

    @classmethod
    def from_rows(cls, task: HeadTask, rows: Rows) -> _Standardised:
        """Take mean and variance from these rows; features that are constant among them become 0.

        Raises:
            DataError: some are not finite.
        """
        mean, scale = _compute_moments(task, rows)
        return cls(task, rows, mean, scale)

    def init_parameters(self) -> Tensor:
        """Return (n_outputs, F + 1) zeros, with the bias that is best without features."""
        mean = (self._task.targets[self._rows] * self._weights[:, None]).sum(axis=0) * len(self._task.views)
        if self._task.link != "ridge":
            mean = np.clip(mean, 1e-4, 1.0 - 1e-4)
            mean = np.log(mean) if self._task.link == "softmax" else np.log(mean) - np.log1p(-mean)
        return self._join(np.zeros((len(mean), len(self.mean))), mean)

    def convert_head(self, head: LinearHead) -> Tensor:
        """Return the (n_outputs, F + 1) parameters with which the standardised features give the head's outputs."""
        weight = head.weight.astype(np.float64)
        std = np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        return self._join(weight * std, head.bias + weight @ self.mean)

    def build_head(self, parameters: Tensor, strength: float, *, inner_loss: float) -> LinearHead:
        """Build the head that acts on features as they are."""
        parameters = parameters.double().cpu()
        weight = parameters[:, :-1].numpy() * self.scale
        bias = parameters[:, -1].numpy() - weight @ self.mean
        return LinearHead(
            weight=weight.astype(np.float32), bias=bias.astype(np.float32), strength=strength, inner_loss=inner_loss
        )

    def compute_loss(self, parameters: Tensor) -> tuple[float, Tensor]:
        """Compute the weighted mean loss, and its gradient (n_outputs, F + 1)."""
        loss, gradient = 0.0, torch.zeros_like(parameters)
        for features, targets, weights in self._resident or self._load_chunks():
            losses, residuals = _compute_losses(features @ parameters.T, targets, self._task)
            loss += float((losses[:, None] * weights).sum())
            gradient.addmm_((residuals * weights).T, features)
        self._task.on_step()
        return loss, gradient

    def _load_chunks(self) -> Iterator[Chunk]:
        convert, mean, scale = self._convert, self._convert(self.mean), self._convert(self.scale)
        for view in self._task.views:
            for part in _split(len(self._rows), len(self.mean)):
                rows, weights = self._rows[part], convert(self._weights[part, None])
                features = (convert(view[rows]) - mean) * scale
                yield torch.cat([features, torch.ones_like(weights)], dim=1), convert(self._task.targets[rows]), weights

    def _join(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Tensor:
        return self._convert(np.concatenate([weight, bias[:, None]], axis=1))

    def _convert(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device=self._task.device, dtype=self._dtype)


def _compute_losses(outputs: Tensor, targets: Tensor, task: HeadTask) -> tuple[Tensor, Tensor]:
    """Compute (m,) losses, and their derivatives (m, n_outputs) by the outputs."""
    match task.link:
        case "softmax":
            sizes = task.head_sizes or (outputs.shape[1],)
            log_probs = torch.cat([own.log_softmax(dim=1) for own in torch.split(outputs, [*sizes], dim=1)], dim=1)
            totals = [own.sum(dim=1, keepdim=True).expand_as(own) for own in torch.split(targets, [*sizes], dim=1)]
            return -(targets * log_probs).sum(dim=1), log_probs.exp() * torch.cat(totals, dim=1) - targets
        case "sigmoid":
            losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
            return losses.sum(dim=1), outputs.sigmoid() - targets
        case "ridge":
            residuals = outputs - targets
            return 0.5 * residuals.square().sum(dim=1), residuals


def _minimise(rows: _Standardised, start: Tensor, strength: float, *, tolerance: float) -> Tensor:
    """Find the (n_outputs, F + 1) parameters of least mean loss + ||weights||² / (2 C n); the bias is free.

    Source: Liu and Nocedal 1989, On the Limited Memory BFGS Method for Large Scale Optimization, as torch has it, with
    the line search of Nocedal and Wright 2006, Numerical Optimization, algorithm 3.5.
    """
    parameters = start.clone()
    decay = 1.0 / (strength * rows.n_rows)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def compute_loss() -> float:
        loss, gradient = rows.compute_loss(parameters)
        weights = parameters[:, :-1]
        gradient[:, :-1] += decay * weights
        parameters.grad = gradient
        return loss + 0.5 * decay * float(weights.square().sum())

    optimizer.step(compute_loss)  # type: ignore[no-untyped-call]
    return parameters


def _compute_moments(task: HeadTask, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute (F,) the mean of each feature, and the inverse of its standard deviation or 0 for constant ones."""
    sums = squares = np.zeros(_count_features(task, rows))
    origin = task.views[0][rows[: 2**10]].astype(np.float64).mean(axis=0)  # near the mean: no digits are lost
    for view in task.views:
        for part in _split(len(rows), len(sums)):
            with np.errstate(invalid="ignore"):
                centred = view[rows[part]].astype(np.float64) - origin
            sums, squares = sums + centred.sum(axis=0), squares + np.square(centred).sum(axis=0)
    if not np.isfinite(squares).all():
        raise DataError("a network's features are not finite", hint="leave this backbone out")
    n = len(rows) * len(task.views)
    std = np.sqrt(np.maximum(squares / n - np.square(sums / n), 0.0))
    varies = std > 1e-7 * np.maximum(abs(origin), 1e-7)
    return origin + sums / n, np.divide(1.0, std, out=np.zeros_like(std), where=varies)


def _split(n_rows: int, n_features: int) -> Iterator[slice]:
    size = max(1, CHUNK_BYTES // (8 * n_features))
    return (slice(start, start + size) for start in range(0, n_rows, size))
