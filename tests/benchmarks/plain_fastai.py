"""What a user of fastai writes: vision_learner, fine_tune, test-time augmentation; a baseline of first_minute.

    python -m tests.benchmarks.plain_fastai train FOLDER --weights DIR --out LAST.pt --size 224 --epochs 4
    python -m tests.benchmarks.plain_fastai predict FOLDER --weights DIR --out LAST.pt --submission CSV

Needs `pip install 'automl[benchmarks]'`. One frozen epoch and then as many as asked, by fine_tune's own rates and
schedule; the weights after each epoch are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.plain_data import PlainFolder, read_folder, split_rows, write_submission

BACKBONE = "tf_efficientnet_lite0"
BATCH_SIZE, N_WORKERS = 32, 2
SIZES = (224, 192, 160, 128, 96)
FEWEST_EPOCHS, MOST_EPOCHS = 2, 10  # after the frozen one
COST_SIZE, COST_BATCHES = 128, 3  # at which costs are measured
USED = 0.9  # of the time; the rest is for what a plan does not know


def plan_epochs(budget_s: float, startup_s: float, image_ms: float, n_images: int) -> tuple[int, int]:
    """Return the image size and the number of unfrozen epochs that fit into a budget of CPU seconds.

    The largest size at which two epochs fit after the frozen one; at the smallest whatever fits, and one at least.

    Args:
        startup_s: imports and the like.
        image_ms: what one image of 224 px costs in one epoch, validation included; a frozen epoch costs as much, since
            fastai trains the batch normalisation of a frozen body. Pixels cost in proportion.
    """
    n_epochs = 0
    for size in SIZES:
        epoch_s = n_images * image_ms / 1000 * (size / 224) ** 2
        n_epochs = math.floor((USED * budget_s - startup_s) / epoch_s) - 1
        if n_epochs >= FEWEST_EPOCHS:
            return size, min(n_epochs, MOST_EPOCHS)
    return SIZES[-1], max(n_epochs, 1)


def build_learner(folder: PlainFolder, weights: Path, size: int, seed: int) -> Any:
    """A vision_learner on the folder's images whose body has the given weights."""
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Resize, aug_transforms
    from fastai.vision.learner import vision_learner

    label_of = dict(zip(folder.train_paths, folder.labels, strict=True))
    _, valid_rows = split_rows(len(folder.labels), seed)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(range(len(folder.classes))))),
        get_y=lambda path: label_of[path],
        splitter=IndexSplitter(valid_rows.tolist()),
        item_tfms=Resize(size),
        batch_tfms=aug_transforms(),
    )
    loaders = block.dataloaders(
        list(folder.train_paths), bs=BATCH_SIZE, num_workers=N_WORKERS, device=torch.device("cpu")
    )
    file = {"file": str(weights / f"{BACKBONE}.safetensors")}
    return vision_learner(loaders, BACKBONE, pretrained_cfg_overlay=file)


def train(folder: PlainFolder, weights: Path, out: Path, *, size: int, epochs: int, seed: int) -> None:
    """fine_tune; the weights are kept after each epoch."""
    from fastai.callback.core import Callback
    from fastai.torch_core import set_seed

    class KeepWeights(Callback):  # type: ignore[misc]
        order = 60  # after the Recorder

        def after_epoch(self) -> None:
            torch.save({"size": size, "state": self.learn.model.state_dict()}, out.with_suffix(".tmp"))
            out.with_suffix(".tmp").replace(out)
            print(self.learn.recorder.values[-1], flush=True)

    set_seed(seed)
    learner = build_learner(folder, weights, size, seed)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs, cbs=[KeepWeights()])


def predict(folder: PlainFolder, weights: Path, kept: dict[str, Any]) -> NDArray[np.float64]:
    """Probabilities (n_test, n_classes) by the kept weights, with fastai's test-time augmentation."""
    learner = build_learner(folder, weights, kept["size"], 0)
    learner.model.load_state_dict(kept["state"])
    with learner.no_bar(), learner.no_logging():
        probs, _ = learner.tta(dl=learner.dls.test_dl(list(folder.test_paths)))
    return np.asarray(probs, np.float64)


def measure_cost(folder: PlainFolder, weights: Path, seed: int) -> tuple[float, float]:
    """Return CPU seconds of the start, and CPU milliseconds of an image of 224 px in one epoch, validation included.

    Call it first of all, in a process of its own.
    """
    learner = build_learner(folder, weights, COST_SIZE, seed)
    learner.create_opt()
    startup_s = began = time.process_time()
    items = learner.dls.train.new(num_workers=0, n=(1 + COST_BATCHES) * BATCH_SIZE)
    for number, (images, labels) in enumerate(items):
        if number == 1:  # the first pays for what is done once
            startup_s = began = time.process_time()
        learner.loss_func(learner.model(images), labels).backward()
        learner.opt.step()
    per_image_s = (time.process_time() - began) / (COST_BATCHES * BATCH_SIZE)
    # of five images four are trained on, and one only predicted, at a third of the cost
    return startup_s, 1000 * per_image_s * (224 / COST_SIZE) ** 2 * (4 + 1 / 3) / 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "predict", "cost"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the weights after the last epoch")
    parser.add_argument("--submission", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    folder = read_folder(given.folder)
    if given.what == "cost":
        given.out.write_text(json.dumps(measure_cost(folder, given.weights, given.seed)))
        return
    if given.what == "predict":
        kept = torch.load(given.out, weights_only=True)
        write_submission(folder, predict(folder, given.weights, kept), given.submission)
        return
    train(folder, given.weights, given.out, size=given.size, epochs=given.epochs, seed=given.seed)


if __name__ == "__main__":
    main()
