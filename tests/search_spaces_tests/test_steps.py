"""Whatever a space proposes can be built and takes a training step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles
from automl.config import TrialConfig
from automl.space import list_spaces, load_space
from automl.tasks import Task
from automl.training.network.create import build_model
from automl.training.network.input_sizes import fit_sizes
from automl.training.network.outputs import build_output_layer
from automl.training.seeding import seed_everything
from automl.training.training_loop import train_epoch
from tests.automl_tests.training_tests.trial_builders import CLASSES, state_of, task_of, write_study
from tests.search_spaces_tests.random_trial import RandomTrial

N_CONFIGS = 200
SEEDS_AT_FULL_SIZE = {"foundation": range(0, 3, 2)}  # six of each other space; a ViT-L takes a minute on a CPU
N_ROWS = 6
SMALLEST = 32  # pixels; a backbone that needs more gets more
SMALL_RELATIVES = {
    "efficientnet": "test_efficientnet",
    "tf_efficientnet": "test_efficientnet_evos",
    "convnext": "test_convnext",
    "vit": "test_vit",
    "resnet": "test_resnet",
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return write_study(tmp_path_factory.mktemp("shapes"))


def proposed(name: str, seed: int, *, relative: bool) -> TrialConfig:
    """What the space answers at random, from scratch and with the smallest images.

    Args:
        relative: whether a small network of the backbone's family takes its place.
    """
    config = load_space(name)(RandomTrial(seed))
    backbone = config.model.backbone
    if relative:
        matching = [small for family, small in SMALL_RELATIVES.items() if backbone.startswith(family)]
        backbone = matching[0] if matching else backbone if backbone.startswith("test_") else "test_byobnet"
    stages = tuple(SMALLEST + 16 * stage for stage in range(len(config.resize.image_sizes)))
    return replace(
        config,
        model=replace(config.model, backbone=backbone, pretrained=False),
        resize=replace(config.resize, image_sizes=fit_sizes(backbone, stages)),
    )


def take_a_step(shapes: StudyFiles, config: TrialConfig, seed: int) -> None:
    """One step in any of the trial's epochs, on a few images of three classes."""
    rng = np.random.default_rng(seed)
    seed_everything(seed)
    output_layer = build_output_layer(config.loss, Task.MULTICLASS, len(CLASSES))
    state = state_of(
        build_model(config.model, n_classes=len(CLASSES), weights_dir=None, output_layer=output_layer), config
    )
    task = task_of(shapes, config, train_rows=np.arange(N_ROWS), valid_rows=np.arange(48, 50))
    trained = train_epoch(task, state, int(rng.integers(config.epochs)), plateaus=0, on_batch=lambda now: None)
    assert np.isfinite(trained.train_loss)
    assert all(torch.isfinite(parameter).all() for parameter in state.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipe", "tiny"])
@pytest.mark.parametrize("part", range(4))
def test_every_proposal_takes_a_step_with_a_small_network_of_its_family(
    name: str, part: int, shapes: StudyFiles
) -> None:
    for seed in range(part * N_CONFIGS // 4, (part + 1) * N_CONFIGS // 4):
        take_a_step(shapes, proposed(name, seed, relative=True), seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name in list_spaces() for seed in SEEDS_AT_FULL_SIZE.get(name, range(6))]
)
def test_a_proposal_takes_a_step_with_its_own_network(name: str, seed: int, shapes: StudyFiles) -> None:
    take_a_step(shapes, proposed(name, seed, relative=False), seed)
