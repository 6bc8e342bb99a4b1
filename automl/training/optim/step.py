"""Take one step of the optimizer: clipping, loss scaling, and SAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from automl.config import OptimConfig
from automl.training.checkpoints import TrainingState


def take_step(state: TrainingState, optim: OptimConfig, closure: Callable[[], float]) -> None:
    """Move the weights by the gradients that are in the parameters, clipped if so configured.

    They may be scaled by the state's scaler; where they are not finite, it leaves the step out and lowers its scale.
    Source: Pascanu et al. 2013, On the Difficulty of Training Recurrent Neural Networks, section 3.2 (clipping).

    Args:
        closure: computes the gradients of the same batch anew, at the weights as they then are; only sam calls it.
    """
    if optim.optimizer == "sam":
        _compute_sam_gradients(state, optim.sam_rho, closure)
    if optim.clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), optim.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _compute_sam_gradients(state: TrainingState, rho: float, closure: Callable[[], float]) -> None:
    """Replace the gradients by those at the highest point of the loss within rho of the weights, to first order.

    The gradients' scale does not matter to where that point is. Where they are not finite there is none: they stay, and
    the step fares with them as any other. Not `pytorch_optimizer.SAM`, against which it is tested: it takes its step in
    the same breath, which leaves a scaler no say.
    Source: Foret et al. 2021, Sharpness-Aware Minimization, equations 2 and 3.
    """
    parameters = [p for group in state.optimizer.param_groups for p in group["params"] if p.grad is not None]
    gradients = [parameter.grad for parameter in parameters]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not norm.isfinite():
        return
    # Statistics have seen this batch once already.
    with _restore_afterwards(parameters), _restore_afterwards(list(state.model.buffers())):
        with torch.no_grad():
            torch._foreach_add_(parameters, torch._foreach_mul(gradients, rho / (norm + 1e-12)))
        state.optimizer.zero_grad(set_to_none=True)
        closure()


@contextmanager
def _restore_afterwards(tensors: list[Tensor]) -> Iterator[None]:
    """Context after which, however it is left, the tensors hold what they held before."""
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
