"""One small trained study for the tests of kits."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.kit.manifest import KitFiles
from tests.automl_tests.kit_tests.worlds import World, train_world


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A study with an ensemble, to be read only."""
    return train_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="package")
def kit(world: World, tmp_path_factory: pytest.TempPathFactory) -> KitFiles:
    """The kit of that study, to be read only."""
    return world.kit(out=tmp_path_factory.mktemp("kits") / "kit")


@pytest.fixture
def copied_kit(kit: KitFiles, tmp_path: Path) -> KitFiles:
    """A kit that a test may damage."""
    import shutil

    return KitFiles(Path(shutil.copytree(kit.root, tmp_path / "kit")))
