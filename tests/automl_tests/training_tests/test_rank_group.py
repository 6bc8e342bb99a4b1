"""How ranks divide a batch."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from automl.training.distributed.rank_group import RankGroup, SingleProcess, count_sharing_ranks, get_rank_slice


@given(st.integers(1, 300), st.integers(1, 8))
def test_shares_make_up_the_batch_and_none_is_a_single_image_of_it(n_images: int, n_ranks: int) -> None:
    shares = [range(n_images)[get_rank_slice(n_images, rank, n_ranks)] for rank in range(n_ranks)]
    sizes = [len(share) for share in shares]
    if n_images < 2 * n_ranks:
        assert sizes == [n_images] * n_ranks
    else:
        assert [image for share in shares for image in share] == list(range(n_images))
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 300), st.integers(1, 8))
def test_a_batch_is_shared_by_all_ranks_or_by_none(n_images: int, n_ranks: int) -> None:
    n_sharing = count_sharing_ranks(n_images, n_ranks)
    assert n_sharing in (1, n_ranks)
    assert n_images // n_sharing >= min(2, n_images)


def test_a_single_process_computes_every_batch_whole_and_leaves_its_loss_as_it_is() -> None:
    ranks: RankGroup = SingleProcess()
    assert range(10)[get_rank_slice(10, ranks.rank, ranks.n_ranks)] == range(10)
    model, images = torch.nn.Linear(3, 2), torch.ones(4, 3)
    assert torch.equal(ranks.forward(model, images, is_last=False), model(images))
    assert ranks.reduce_loss(0.25) == 0.25
    assert ranks.reduce_loss(None) is None
