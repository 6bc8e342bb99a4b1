"""Data-parallel training: how the ranks of a trial divide its batches and exchange gradients; one process alone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

MIN_MICRO_BATCH = 2  # batch norm cannot normalise one image by itself


class RankGroup(Protocol):
    """The processes that train a trial together, one on each device, as one of them sees them.

    All of them make the same calls in the same order, from `begin_epoch` to `end_epoch`.

    Attributes:
        rank: this process's number; 0 is the one that the runner started, which alone validates, keeps and reports.
        n_ranks: how many they are.
    """

    @property
    def rank(self) -> int: ...

    @property
    def n_ranks(self) -> int: ...

    def begin_fold(self, fold: int) -> None:
        """Let all of them prepare the fold."""

    def begin_epoch(self, model: nn.Module, epoch: int, plateaus: int) -> None:
        """Begin with the weights and statistics of rank 0, and train those parameters that now require gradients.

        Args:
            plateaus: of the scores so far, which rank 0 alone knows.
        """

    def begin_batch(self, n_images: int, micro_batch: int) -> None:
        """Announce a batch of so many images, or the same once more in smaller parts."""

    def forward(self, model: nn.Module, images: Tensor, *, is_last: bool) -> Tensor:
        """Compute the logits of a micro-batch; `is_last` marks this process's last one of the batch."""

    def reduce_loss(self, loss: float | None) -> float | None:
        """Replace the losses and gradients of all by their mean; None if anyone has None, which is out of memory."""

    def end_epoch(self, model: nn.Module) -> None:
        """Average the running statistics of all ranks."""


class SingleProcess:
    """The group of a trial on one device: itself."""

    rank = 0
    n_ranks = 1

    def begin_fold(self, fold: int) -> None:
        pass

    def begin_epoch(self, model: nn.Module, epoch: int, plateaus: int) -> None:
        pass

    def begin_batch(self, n_images: int, micro_batch: int) -> None:
        pass

    def forward(self, model: nn.Module, images: Tensor, *, is_last: bool) -> Tensor:
        return model(images)  # type: ignore[no-any-return]

    def reduce_loss(self, loss: float | None) -> float | None:
        return loss

    def end_epoch(self, model: nn.Module) -> None:
        pass


def count_sharing_ranks(n_images: int, n_ranks: int) -> int:
    """Count the ranks among which a batch is divided: all of them, or none where a part would be too small.

    A batch that is not divided is computed by every rank; the mean over ranks is then that of equal gradients.
    """
    return n_ranks if n_images >= MIN_MICRO_BATCH * n_ranks else 1


def get_rank_slice(n_images: int, rank: int, n_ranks: int) -> slice:
    """Return which images of a batch the rank computes: nearly equal parts of two or more, or all for everyone."""
    n_parts = count_sharing_ranks(n_images, n_ranks)
    if n_parts == 1:
        return slice(0, n_images)
    smaller, n_larger = divmod(n_images, n_parts)
    start = rank * smaller + min(rank, n_larger)
    return slice(start, start + smaller + (rank < n_larger))
