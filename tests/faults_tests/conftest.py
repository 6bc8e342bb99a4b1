"""What the staged faults share: a tiny competition, and no process left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.automl_tests.small_competitions import put_table_competition
from tests.soak.processes import marked, wait_until

SERIES = iter(range(10_000))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where a user works, with a competition in the folder leaves."""
    put_table_competition(tmp_path / "leaves", labels=["cat", "dog"] * 8)
    return tmp_path


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark for the processes of a test; none of them is alive when it ends."""
    mark = f"test-{id(SERIES)}-{next(SERIES)}"
    yield mark
    wait_until(lambda: not marked(mark), patience_s=5.0, what="the processes of the test to end")
