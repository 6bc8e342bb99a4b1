"""What a user writes with Optuna and timm in an afternoon; a baseline of first_minute.

    python -m tests.benchmarks.plain_optuna train FOLDER --weights DIR --out BEST.pt
    python -m tests.benchmarks.plain_optuna predict FOLDER --weights DIR --out BEST.pt --submission CSV

Trials until it is stopped: TPE, MedianPruner, a fifth of the images to validate on, AdamW under one cycle. The weights
with the best validation loss of all trials and epochs are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tests.benchmarks.plain_data import PlainFolder, read_folder, split_rows, write_submission

BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
EPOCHS, BATCH_SIZE, N_WORKERS = 5, 32, 2


class Photos(Dataset[tuple[torch.Tensor, int]]):
    """Images and labels, read anew for every epoch."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int], transform: Any) -> None:
        self.paths, self.labels, self.transform = paths, labels, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


def create_model(backbone: str, weights: Path, n_classes: int) -> nn.Module:
    """A network with pretrained weights from the folder and a new classifier."""
    file = {"file": str(weights / f"{backbone}.safetensors")}
    return timm.create_model(backbone, pretrained=True, pretrained_cfg_overlay=file, num_classes=n_classes)


def build_transform(model: Any, size: int, *, train: bool) -> Any:
    """Crop, flip and normalise as the weights ask for."""
    cfg, bicubic = model.pretrained_cfg, transforms.InterpolationMode.BICUBIC
    steps: list[Any] = (
        [
            transforms.RandomResizedCrop(size, scale=(0.5, 1.0), interpolation=bicubic),
            transforms.RandomHorizontalFlip(),
        ]
        if train
        else [transforms.Resize(round(size / 0.875), interpolation=bicubic), transforms.CenterCrop(size)]
    )
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(cfg["mean"], cfg["std"])])


@dataclass
class Script:
    """The folder, and the best that any trial has reached."""

    folder: PlainFolder
    weights: Path
    out: Path
    sizes: Sequence[int]
    seed: int
    best: float = field(default=float("inf"))

    def load(self, model: nn.Module, rows: Sequence[int], size: int, *, train: bool) -> DataLoader[Any]:
        """Batches of training images."""
        paths = [self.folder.train_paths[row] for row in rows]
        labels = [self.folder.labels[row] for row in rows]
        photos = Photos(paths, labels, build_transform(model, size, train=train))
        return DataLoader(photos, BATCH_SIZE, shuffle=train, drop_last=train, num_workers=N_WORKERS)

    def run_trial(self, trial: optuna.Trial) -> float:
        """Fine-tune one network and return its validation loss."""
        backbone = trial.suggest_categorical("backbone", BACKBONES)
        size = trial.suggest_categorical("size", self.sizes)
        lr = trial.suggest_float("lr", 3e-5, 3e-3, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
        torch.manual_seed(self.seed + trial.number)
        model = create_model(backbone, self.weights, len(self.folder.classes))
        train_rows, valid_rows = split_rows(len(self.folder.labels), self.seed)
        train = self.load(model, train_rows.tolist(), size, train=True)
        valid = self.load(model, valid_rows.tolist(), size, train=False)
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=EPOCHS * len(train))
        loss = float("inf")
        for epoch in range(EPOCHS):
            train_epoch(model, train, optimizer, schedule)
            loss = measure_loss(model, valid)
            print(f"trial {trial.number} {backbone} {size} px lr {lr:.1e} epoch {epoch}: {loss:.4f}", flush=True)
            if loss < self.best:
                self.best = loss
                save(self.out, {"backbone": backbone, "size": size, "loss": loss, "state": model.state_dict()})
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss


def train_epoch(model: nn.Module, batches: DataLoader[Any], optimizer: Any, schedule: Any) -> None:
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        schedule.step()


@torch.inference_mode()
def measure_loss(model: nn.Module, batches: DataLoader[Any]) -> float:
    """The mean cross-entropy."""
    model.eval()
    losses = [nn.functional.cross_entropy(model(images), labels, reduction="sum").item() for images, labels in batches]
    return sum(losses) / len(batches.dataset)  # type: ignore[arg-type]


def save(path: Path, document: dict[str, Any]) -> None:
    """Write weights whole or not at all."""
    torch.save(document, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


@torch.inference_mode()
def predict(folder: PlainFolder, weights: Path, kept: dict[str, Any]) -> NDArray[np.float64]:
    """Probabilities (n_test, n_classes) by the kept weights."""
    model = create_model(kept["backbone"], weights, len(folder.classes))
    model.load_state_dict(kept["state"])
    model.eval()
    transform = build_transform(model, kept["size"], train=False)
    photos = Photos(folder.test_paths, [0] * len(folder.test_paths), transform)
    batches = DataLoader(photos, BATCH_SIZE, num_workers=N_WORKERS)
    return torch.cat([model(images).softmax(dim=1) for images, _ in batches]).double().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "predict"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the best weights")
    parser.add_argument("--submission", type=Path)
    parser.add_argument("--sizes", default="128,160,192,224", help="of images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    folder = read_folder(given.folder)
    if given.what == "predict":
        kept = torch.load(given.out, weights_only=True)
        write_submission(folder, predict(folder, given.weights, kept), given.submission)
        return
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=given.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    sizes = [int(word) for word in given.sizes.split(",")]
    study.optimize(Script(folder, given.weights, given.out, sizes, given.seed).run_trial)


if __name__ == "__main__":
    main()
