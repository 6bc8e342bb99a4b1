"""Warm start: begin with the weights that another trial has trained (`--init-from`).

Within one competition no image may be validated on that the weights have seen: folds must be the same, and each starts
from its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import ModelConfig, TrialConfig
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.errors import UsageError
from automl.training.network.network import Network
from automl.training.network.outputs import OutputLayer, build_output_layer
from automl.training.network.shared_backbone import read_weights

Folds = NDArray[np.int64]


def load_warm_start(model: Network, source: Path, *, fold: int, competition: Competition, folds: Folds) -> list[str]:
    """Load backbone and pooling from the trial in the folder; return the parts that were loaded.

    The head is loaded too where it has the same classes, or the same values on the same scales, by the same output
    layer after the same layers; otherwise it stays fresh. Statistics of batch norms come with the weights.

    Args:
        source: a trial's folder, automl_runs/NAME/trials/00017.
        folds: (n,) of this competition's training images.

    Raises:
        UsageError: as `find_warm_start_weights`, or backbone and pooling are of another kind.
        StorageError: a file is damaged.
    """
    path = find_warm_start_weights(source, fold=fold, competition=competition, folds=folds)
    trained, own = read_weights(path, hint="choose another trial, or restore the file"), model.state_dict()
    _require_fit(trained, own, path, read_source_model(source))
    head = {name for name in own if name.startswith("head.")}
    fits = {name: trained[name].shape for name in head & set(trained)} == {name: own[name].shape for name in head}
    theirs = _load_source_competition(source)
    output_layer = build_output_layer(
        read_source_config(source).loss, theirs.task, theirs.n_classes, head_sizes=theirs.head_sizes
    )
    asks_the_same = (theirs.classes, theirs.scales) == (competition.classes, competition.scales)
    is_known = fits and asks_the_same and _is_same_output(output_layer, model.output_layer)
    model.load_state_dict({name: trained[name] if is_known or name not in head else own[name] for name in own})
    return ["backbone", "pooling", "head"] if is_known else ["backbone", "pooling"]


def find_warm_start_weights(source: Path, *, fold: int, competition: Competition, folds: Folds) -> Path:
    """Find the file with which the fold begins: the same fold's of the same images, or the first of other images.

    Raises:
        UsageError: the folder is no trial's, has no such weights, or they have seen images to validate on.
        StorageError: a file is damaged.
    """
    theirs, files = _load_source_competition(source), TrialFiles(source)
    their_folds = load_folds(StudyFiles(_get_study_folder(source)).folds, theirs)
    if _share_images(competition, theirs):
        if theirs.image_ids != competition.image_ids or not np.array_equal(their_folds, folds):
            raise UsageError(
                f"{source} was trained on other folds of the same images, and has seen what is validated here",
                hint="begin with a trial of a study of the same images and --seed, whose folds are the same",
            )
        candidates = [fold]
    else:
        candidates = np.unique(their_folds[their_folds >= 0]).tolist()
    paths = (
        folder.get_weights_path(number) for number in candidates for folder in (files, files.get_refit_files("refit"))
    )
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        which = f"fold {candidates[0]}" if len(candidates) == 1 else "any fold"
        raise UsageError(
            f"{source} has no weights of {which}",
            hint="make them in its study with automl refit, or choose a trial that has them",
        )
    return found


def read_source_model(source: Path) -> ModelConfig:
    """Read the configuration of the network that the trial in the folder has trained; raises as the next."""
    return read_source_config(source).model


def read_source_config(source: Path) -> TrialConfig:
    """Read the configuration of the trial in the folder.

    Raises:
        UsageError: the folder is no trial's, or one of another version.
        StorageError: its configuration is damaged.
    """
    path = TrialFiles(source).config
    if not path.is_file():
        raise UsageError(
            f"{source} is not the folder of a trial: it has no {path.name}",
            hint="name one such as automl_runs/NAME/trials/00017",
        )
    return TrialConfig.from_json(read_json(path))


def _get_study_folder(source: Path) -> Path:
    return source.resolve().parent.parent


def _load_source_competition(source: Path) -> Competition:
    """Load the competition that the trial was trained for."""
    read_source_config(source)
    path = StudyFiles(_get_study_folder(source)).competition
    if not path.is_file():
        raise UsageError(
            f"{source} is not in the folder of its study: there is no {path}",
            hint="bring competition.json and folds.csv along, two levels above the trial",
        )
    return load_competition(path)


def _share_images(ours: Competition, theirs: Competition) -> bool:
    """Whether the folders are one, or all images of the smaller are in the larger by name and label."""
    if ours.root.resolve() == theirs.root.resolve():
        return True
    smaller, larger = sorted((_list_labelled_images(ours), _list_labelled_images(theirs)), key=len)
    return smaller <= larger


def _list_labelled_images(competition: Competition) -> set[tuple[str, tuple[str, ...]]]:
    names = (path.relative_to(competition.root).as_posix() for path in competition.image_paths)
    list_labels = competition.target_kind.list_labels
    labels = (sorted(list_labels(target, competition.classes)) for target in competition.targets)
    return {(name, tuple(own)) for name, own in zip(names, labels, strict=True)}


def _require_fit(trained: dict[str, Tensor], own: dict[str, Tensor], path: Path, theirs: ModelConfig) -> None:
    """Require that backbone and pooling have the same tensors."""
    mismatch = next(filter(None, (_mismatch(name, trained, own) for name in (*own, *trained))), None)
    if mismatch is not None:
        raise UsageError(
            f"{path} does not fit the network of this trial: {mismatch}",
            hint=f"fix what its trial had: backbone {theirs.backbone}, cut {theirs.cut}, "
            f"attention {theirs.attention}, pooling {theirs.pooling}",
        )


def _mismatch(name: str, trained: dict[str, Tensor], own: dict[str, Tensor]) -> str | None:
    if name.startswith("head."):
        return None
    if name not in trained:
        return f"it lacks '{name}'"
    if name not in own:
        return f"it has '{name}', which the network lacks"
    if trained[name].shape != own[name].shape:
        return f"'{name}' is {tuple(trained[name].shape)} in it, but {tuple(own[name].shape)} in the network"
    return None


def _is_same_output(own: OutputLayer, other: OutputLayer) -> bool:
    """Whether both make the same probabilities of the same outputs."""
    if (own.n_classes, own.n_outputs) != (other.n_classes, other.n_outputs):
        return False
    outputs = 3.0 * torch.randn(16, own.n_outputs, generator=torch.Generator().manual_seed(0))
    return torch.equal(own.to_probs(outputs), other.to_probs(outputs))
