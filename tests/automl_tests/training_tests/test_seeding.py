"""Seeds that are derived from several numbers and words, and the allocator of a process that computes."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from automl.training import seeding
from automl.training.seeding import derive_seed

KNOWN = 3_940_610_156  # a change of it would make every resumed trial differ from the one that was begun


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    seeds = [derive_seed(*parts) for parts in [(0, 1, 2), (1, 0, 2), (0, 12), (0, 1), (0, 1, "2"), (0, 1, 2, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(0, 1, 2) == KNOWN


COUNT_FAULTS = """
import resource, sys, torch
from automl.training.seeding import tune_allocator
if sys.argv[1] == "tuned":
    assert tune_allocator()
    assert tune_allocator()
torch.set_num_threads(1)
layers = [torch.nn.Conv2d(3, 32, 3, padding=1), *(torch.nn.Conv2d(32, 32, 3, padding=1) for _ in range(6))]
images = torch.zeros(8, 3, 96, 96)
@torch.no_grad()
def use():
    outputs = images
    for layer in layers:
        outputs = layer(outputs).relu()
for _ in range(4):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_tuned_allocator_keeps_what_a_layer_has_freed_for_the_next() -> None:
    def count(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert count("tuned") < count("plain") / 4


def test_elsewhere_the_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding.platform, "libc_ver", lambda: ("", ""))
    assert not seeding.tune_allocator.__wrapped__()
