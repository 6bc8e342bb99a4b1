"""What a trial takes over from another, and what it refuses to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles, TrialFiles, write_bytes, write_json
from automl.config import LossConfig, ModelConfig, TrialConfig
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import load_folds, make_folds, save_folds
from automl.errors import AutomlError, StorageError, UsageError
from automl.tasks import Task
from automl.training.checkpoints import serialize_model
from automl.training.network.create import build_model
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer
from automl.training.network.warm_start import find_warm_start_weights, load_warm_start, read_source_model
from tests.automl_tests.training_tests.trial_builders import config_of

N_CLASSES = 3


def network(config: TrialConfig, seed: int = 1, n_classes: int = N_CLASSES, task: Task = Task.MULTICLASS) -> Network:
    torch.manual_seed(seed)
    model = build_model(
        config.model,
        n_classes=n_classes,
        weights_dir=None,
        output_layer=build_output_layer(config.loss, task, n_classes),
    )
    model.load_state_dict(
        {name: torch.randn(tensor.shape).to(tensor.dtype) for name, tensor in model.state_dict().items()}
    )
    return model


def configured(*, loss: str = "cross_entropy", **model: Any) -> TrialConfig:
    config = config_of(loss=LossConfig(name=loss))
    return replace(config, model=replace(config.model, **model))


def new_study(root: Path, of: Competition, *, seed: int = 0) -> StudyFiles:
    files = StudyFiles(root)
    save_competition(of, files.competition)
    save_folds(make_folds(of, seed=seed), of, files.folds)
    return files


def add_trial(
    study: StudyFiles, config: TrialConfig, folds: tuple[int, ...] = (0,), n_classes: int = N_CLASSES
) -> Path:
    """A trial whose folds have weights of their own; its folder."""
    files = study.get_trial_files(3)
    write_json(files.config, config.to_json())
    for fold in folds:
        write_bytes(
            files.get_weights_path(fold), serialize_model(network(config, seed=100 + fold, n_classes=n_classes))
        )
    return files.root


def elsewhere(competition: Competition, root: Path, *, shift: int = 1) -> Competition:
    """The same folder at another place, with other labels if shifted."""
    paths = {
        name: tuple(root / path.relative_to(competition.root) for path in getattr(competition, name))
        for name in ("image_paths", "test_paths")
    }
    targets = (competition.targets + shift * (np.arange(len(competition.targets)) // 7)) % len(competition.classes)
    return replace(competition, root=root, targets=targets, **paths)


@pytest.fixture
def ours(shapes: StudyFiles) -> Competition:
    return load_competition(shapes.competition)


@pytest.fixture
def folds(shapes: StudyFiles, ours: Competition) -> np.ndarray[Any, Any]:
    return load_folds(shapes.folds, ours)


@pytest.fixture
def other(tmp_path: Path, ours: Competition) -> Iterator[StudyFiles]:
    """A study of another competition with the same classes."""
    yield new_study(tmp_path / "other", elsewhere(ours, tmp_path / "images"))


def filled_parts(model: Network, before: dict[str, torch.Tensor], source: Network) -> set[str]:
    """The parts that are the source's; the rest is as before."""
    own, theirs = model.state_dict(), source.state_dict()
    numbers = [name for name in own if own[name].is_floating_point()]  # counters may be equal by chance
    filled = {name.split(".")[0] for name in numbers if name in theirs and torch.equal(own[name], theirs[name])}
    assert all(torch.equal(own[name], before[name]) for name in own if name.split(".")[0] not in filled)
    for part in filled:
        assert all(torch.equal(own[name], theirs[name]) for name in own if name.split(".")[0] == part)
    return filled


PARTS = [  # ours, theirs, what is taken over
    ({}, {}, {"body", "head"}),
    ({"pooling": "gem"}, {"pooling": "gem"}, {"body", "neck", "head"}),
    ({"hidden": (8,)}, {}, {"body"}),
    ({"hidden": (8,)}, {"hidden": (9,)}, {"body"}),
    ({}, {"hidden": (8,)}, {"body"}),
    ({"loss": "bce"}, {"loss": "bce"}, {"body", "head"}),
    ({"loss": "bce"}, {}, {"body"}),
    ({"loss": "focal_bce"}, {"loss": "bce"}, {"body", "head"}),
    ({"loss": "smooth_l1"}, {"loss": "smooth_l1"}, {"body", "head"}),
    ({"loss": "ordinal"}, {}, {"body"}),
    ({"pooling": "avg", "attention": "se", "cut": 1}, {"pooling": "avg", "attention": "se", "cut": 1},
     {"body", "neck", "head"}),
]  # fmt: skip


def trial_config(of: dict[str, Any]) -> TrialConfig:
    if of.get("loss") == "focal_bce":
        config = config_of(loss=LossConfig(name="focal_bce", focal_gamma=2.0))
        return replace(config, model=replace(config.model, **{k: v for k, v in of.items() if k != "loss"}))
    return configured(**of)


@pytest.mark.parametrize(("mine", "theirs", "parts"), PARTS, ids=lambda given: str(sorted(given)))
def test_body_and_neck_are_inherited_and_a_head_that_says_the_same(
    mine: dict[str, Any], theirs: dict[str, Any], parts: set[str], other: StudyFiles, ours: Competition, folds: Any
) -> None:
    source = add_trial(other, trial_config(theirs))
    model = network(trial_config(mine))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    message = load_warm_start(model, source, fold=0, competition=ours, folds=folds)
    assert filled_parts(model, before, network(trial_config(theirs), seed=100)) == parts
    assert ("head" in message) == ("head" in parts)


def test_a_head_of_other_classes_stays_fresh(tmp_path: Path, ours: Competition, folds: Any) -> None:
    renamed = replace(elsewhere(ours, tmp_path / "images"), classes=("cat", "dog", "fox"))
    source = add_trial(new_study(tmp_path / "other", renamed), configured())
    assert load_warm_start(network(configured()), source, fold=0, competition=ours, folds=folds) == [
        "backbone",
        "pooling",
    ]
    fewer = replace(renamed, classes=("cat", "dog"), targets=renamed.targets % 2)
    source = add_trial(new_study(tmp_path / "fewer", fewer), configured(), n_classes=2)
    assert load_warm_start(network(configured()), source, fold=0, competition=ours, folds=folds) == [
        "backbone",
        "pooling",
    ]


def test_in_the_same_competition_each_fold_begins_with_its_own(tmp_path: Path, ours: Competition, folds: Any) -> None:
    source = add_trial(new_study(tmp_path / "again", ours), configured(), folds=(0, 2))
    for fold in (0, 2):
        model = network(configured())
        load_warm_start(model, source, fold=fold, competition=ours, folds=folds)
        expected = network(configured(), seed=100 + fold).state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def refused(kind: type[AutomlError], source: Path, ours: Competition, folds: Any, fold: int = 0) -> AutomlError:
    with pytest.raises(kind) as caught:
        load_warm_start(network(configured()), source, fold=fold, competition=ours, folds=folds)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_fold_without_weights_of_its_own_is_refused(tmp_path: Path, ours: Competition, folds: Any) -> None:
    source = add_trial(new_study(tmp_path / "again", ours), configured(), folds=(0, 2))
    error = refused(UsageError, source, ours, folds, fold=1)
    assert str(error) == f"{source} has no weights of fold 1"
    assert "automl refit" in error.hint


def same_images(kind: str, ours: Competition, root: Path) -> tuple[Competition, int]:
    """A competition with images of ours, and the seed of its folds."""
    kept = range(len(ours.image_ids) - 5)
    subset = replace(
        ours, image_ids=ours.image_ids[:-5], image_paths=ours.image_paths[:-5], targets=ours.targets[list(kept)]
    )
    return {
        "other folds": (ours, 1),
        "other folds elsewhere": (elsewhere(ours, root / "images", shift=0), 1),
        "fewer images": (subset, 0),
        "fewer images elsewhere": (elsewhere(subset, root / "images", shift=0), 0),
        "other labels": (replace(ours, targets=(ours.targets + 1) % 3), 1),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["other folds", "other folds elsewhere", "fewer images", "fewer images elsewhere", "other labels"]
)
def test_weights_that_have_seen_images_to_validate_on_are_refused(
    kind: str, tmp_path: Path, ours: Competition, folds: Any
) -> None:
    competition, seed = same_images(kind, ours, tmp_path)
    source = add_trial(new_study(tmp_path / "again", competition, seed=seed), configured())
    error = refused(UsageError, source, ours, folds)
    assert "other folds of the same images" in str(error)
    assert "--seed" in error.hint


def test_the_same_folds_of_the_images_in_another_order_are_other_folds(
    tmp_path: Path, ours: Competition, folds: Any
) -> None:
    turned = replace(
        ours, image_ids=ours.image_ids[::-1], image_paths=ours.image_paths[::-1], targets=ours.targets[::-1]
    )
    study = new_study(tmp_path / "again", turned)
    save_folds(folds, turned, study.folds)
    assert "other folds of the same images" in str(refused(UsageError, add_trial(study, configured()), ours, folds))


def test_the_same_images_elsewhere_with_the_same_folds_are_no_leak(
    tmp_path: Path, ours: Competition, folds: Any
) -> None:
    moved = elsewhere(ours, tmp_path / "images", shift=0)
    source = add_trial(new_study(tmp_path / "again", moved), configured(), folds=(0, 1))
    assert find_warm_start_weights(source, fold=1, competition=ours, folds=folds) == TrialFiles(
        source
    ).get_weights_path(1)


def test_a_fold_that_was_trained_after_the_search_passes_its_weights_on(
    tmp_path: Path, ours: Competition, folds: Any
) -> None:
    source = add_trial(new_study(tmp_path / "again", ours), configured())
    refit = TrialFiles(source).get_refit_files("refit").get_weights_path(1)
    write_bytes(refit, serialize_model(network(configured())))
    assert find_warm_start_weights(source, fold=1, competition=ours, folds=folds) == refit
    assert find_warm_start_weights(source, fold=0, competition=ours, folds=folds) == TrialFiles(
        source
    ).get_weights_path(0)


def test_of_another_competition_the_first_fold_that_there_is_serves_all(
    other: StudyFiles, ours: Competition, folds: Any
) -> None:
    source = add_trial(other, configured(), folds=(4, 2))
    for fold in range(5):
        found = find_warm_start_weights(source, fold=fold, competition=ours, folds=folds)
        assert found == TrialFiles(source).get_weights_path(2)


def test_a_trial_without_weights_is_refused(other: StudyFiles, ours: Competition, folds: Any) -> None:
    source = add_trial(other, configured(), folds=())
    assert str(refused(UsageError, source, ours, folds)) == f"{source} has no weights of any fold"


@pytest.mark.parametrize(
    ("theirs", "mismatch"),
    [
        ({"backbone": "test_byobnet"}, "it lacks 'body.conv1.0.weight'"),
        ({"pooling": "gem"}, "it has 'neck.pool.p', which the network lacks"),
        ({"pooling": "avg", "cut": 1}, "it lacks 'body.layer4"),
    ],
    ids=str,
)
def test_another_network_is_refused_with_the_first_mismatch(
    theirs: dict[str, Any], mismatch: str, other: StudyFiles, ours: Competition, folds: Any
) -> None:
    source = add_trial(other, configured(**theirs))
    error = refused(UsageError, source, ours, folds)
    assert mismatch in str(error)
    model = configured(**theirs).model
    assert error.hint.startswith(f"fix what its trial had: backbone {model.backbone}, cut {model.cut}, attention none")


def test_a_tensor_of_another_shape_is_named(other: StudyFiles, ours: Competition, folds: Any) -> None:
    source = add_trial(other, configured())
    trained = network(configured())
    trained.get_submodule("body").bn1 = torch.nn.BatchNorm2d(7)
    TrialFiles(source).get_weights_path(0).write_bytes(serialize_model(trained))
    assert "'body.bn1.weight' is (7,) in it, but (" in str(refused(UsageError, source, ours, folds))


def test_the_network_to_fix_is_read_from_the_trial(other: StudyFiles, tmp_path: Path) -> None:
    config = configured(pooling="gem", cut=1, hidden=(8,))
    assert read_source_model(add_trial(other, config)) == config.model
    assert isinstance(config.model, ModelConfig)
    with pytest.raises(UsageError, match=f"{tmp_path} is not the folder of a trial") as caught:
        read_source_model(tmp_path)
    assert "automl_runs/NAME/trials/00017" in caught.value.hint


def test_a_trial_without_its_study_is_refused(other: StudyFiles, ours: Competition, folds: Any) -> None:
    source = add_trial(other, configured())
    other.competition.unlink()
    assert "is not in the folder of its study" in str(refused(UsageError, source, ours, folds))


@pytest.mark.parametrize("content", [b"", b"no safetensors at all"])
def test_damaged_weights_are_a_storage_error(content: bytes, other: StudyFiles, ours: Competition, folds: Any) -> None:
    source = add_trial(other, configured())
    TrialFiles(source).get_weights_path(0).write_bytes(content)
    assert "cannot be loaded" in str(refused(StorageError, source, ours, folds))


# ---- Labels and values ----------------------------------------------------------------------------------------------


def of_task(competition: Competition, root: Path, task: Task, **changes: Any) -> Competition:
    """The same images at another place, with labels or values made of their classes."""
    columns = np.eye(3, dtype=np.int64)[competition.targets] | (np.arange(60) % 7 == 0)[:, None]
    values = {"targets": columns * 2.5, "scales": ((0.0, 2.5),) * 3}
    own = {"targets": columns} if task is Task.MULTILABEL else values
    return replace(elsewhere(competition, root), task=task, **{**own, **changes})


def study_of(competition: Competition, root: Path, folds: Any) -> StudyFiles:
    files = StudyFiles(root)
    save_competition(competition, files.competition)
    save_folds(folds, competition, files.folds)
    return files


@pytest.mark.parametrize("task", [Task.MULTILABEL, Task.REGRESSION])
def test_the_same_images_elsewhere_are_known_by_their_labels_and_values(
    task: Task, tmp_path: Path, ours: Competition, folds: Any
) -> None:
    mine = of_task(ours, tmp_path / "mine", task)
    source = add_trial(study_of(of_task(ours, tmp_path / "copy", task), tmp_path / "study", folds), configured())
    load_warm_start(network(configured(), task=task), source, fold=0, competition=mine, folds=folds)
    error = refused(UsageError, source, mine, np.roll(folds, 1))
    assert "has seen what is validated here" in str(error)


@pytest.mark.parametrize("task", [Task.MULTILABEL, Task.REGRESSION])
def test_other_labels_or_values_of_images_of_the_same_names_are_another_competition(
    task: Task, tmp_path: Path, ours: Competition, folds: Any
) -> None:
    mine = of_task(ours, tmp_path / "mine", task)
    copy = of_task(ours, tmp_path / "copy", task, targets=mine.targets[::-1].copy())
    source = add_trial(study_of(copy, tmp_path / "study", folds), configured())
    find_warm_start_weights(source, fold=0, competition=mine, folds=np.roll(folds, 1))


@pytest.mark.parametrize(("theirs", "is_taken_over"), [
    ({}, True),
    ({"loss": "bce"}, True),
    ({"scales": ((0.0, 100.0),) * 3}, False),
    ({"classes": ("x", "y", "z")}, False),
    ({"task": Task.MULTILABEL, "scales": None}, False),
])  # fmt: skip
def test_a_head_of_values_is_inherited_where_its_scales_are_the_same(
    theirs: dict[str, Any], is_taken_over: bool, tmp_path: Path, ours: Competition, folds: Any
) -> None:
    changes, loss = dict(theirs), theirs.get("loss", "cross_entropy")
    changes.pop("loss", None)
    task = changes.pop("task", Task.REGRESSION)
    mine = of_task(ours, tmp_path / "mine", Task.REGRESSION)
    shifted = of_task(ours, tmp_path / "copy", task)
    other = replace(shifted, targets=shifted.targets[::-1].copy(), **changes)
    source = add_trial(study_of(other, tmp_path / "study", folds), configured(loss=loss))
    model = network(configured(), task=Task.REGRESSION)
    message = load_warm_start(model, source, fold=0, competition=mine, folds=folds)
    assert ("head" in message) == is_taken_over
