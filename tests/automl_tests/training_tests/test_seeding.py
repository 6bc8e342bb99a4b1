"""Seeds that are derived from several numbers and words."""

from __future__ import annotations

from automl.training.seeding import derive_seed

KNOWN = 3_940_610_156  # a change of it would make every resumed trial differ from the one that was begun


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    seeds = [derive_seed(*parts) for parts in [(0, 1, 2), (1, 0, 2), (0, 12), (0, 1), (0, 1, "2"), (0, 1, 2, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(0, 1, 2) == KNOWN
