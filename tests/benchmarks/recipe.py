"""What each technique does on its own: python -m tests.benchmarks.recipe DATA_FOLDER

Trains on two competitions as Kaggle ships them, DATA_FOLDER/cifar-10 and DATA_FOLDER/dogs-vs-cats: a baseline, then the
same with one technique switched on, for as many epochs, on the same images and with the same seeds. A second table is
about transfer: dogs-vs-cats with weights that were trained on cifar-10, or that lie in the folder --weights.
An interrupted run goes on from the results beside --out.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from tests.benchmarks.recipe_runs import METRICS, Bench, Training, Workshop
from tests.benchmarks.recipe_table import Table
from tests.benchmarks.techniques import AGAIN, BASELINE, SCRATCH, TECHNIQUES, TRANSFER, Technique, group

OTHER_SEEDS = 1000  # from the seeds of the baseline to those of the baseline again
SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained.

    Attributes:
        benches: of the first table.
        transfer: of the second table.
        source: what the second table's weights are trained on, unless they are given.
    """

    benches: tuple[Bench, ...]
    transfer: Bench
    source: Bench


def cpu_plan() -> Plan:
    """Some ten seconds for each training; half of the images validates, since fewer rows would tell less.

    The first table's network lacks its last stage: images of 32 pixels end as maps of 2 x 2, which can be pooled and
    attended to.
    """
    cut, whole = ModelConfig(backbone="test_resnet", pooling="avg", cut=1), ModelConfig(backbone="test_resnet")
    cifar = config_of(cut, 32, lr=3e-3, batch_size=32, epochs=5)
    dogs = config_of(cut, 48, lr=3e-3, batch_size=32, epochs=8)
    return Plan(
        benches=(
            Bench(competition="cifar-10", n_folds=2, config=cifar, n_images=2500),
            Bench(competition="dogs-vs-cats", n_folds=2, config=dogs),
        ),
        transfer=Bench(competition="dogs-vs-cats", n_folds=2, config=replace(dogs, model=whole)),
        source=Bench(competition="cifar-10", n_folds=5, config=replace(cifar, model=whole, batch_size=64, epochs=12)),
    )


def gpu_plan() -> Plan:
    """Ordinary fine-tuning of ordinary backbones; a fifth of the images validates."""
    small = ModelConfig(backbone="efficientnet_b0", pooling="avg")
    large = ModelConfig(backbone="efficientnet_b3", pooling="avg")
    cifar, dogs = config_of(small, 160, lr=1e-3), config_of(large, 320, lr=1e-3)
    return Plan(
        benches=(
            Bench(competition="cifar-10", n_folds=5, config=cifar),
            Bench(competition="dogs-vs-cats", n_folds=5, config=dogs),
        ),
        transfer=Bench(competition="dogs-vs-cats", n_folds=5, config=config_of(small, 224, lr=1e-3)),
        source=Bench(competition="cifar-10", n_folds=5, config=replace(cifar, epochs=20)),
    )


def config_of(model: ModelConfig, image_size: int, *, lr: float, batch_size: int = 64, epochs: int = 10) -> TrialConfig:
    """A baseline, in which every technique is off."""
    return TrialConfig(
        model=model,
        resize=ResizeConfig(image_sizes=(image_size,)),
        optim=OptimConfig(lr=lr, weight_decay=1e-2),
        batch_size=batch_size,
        epochs=epochs,
    )


PLANS = {"cpu": cpu_plan, "gpu": gpu_plan}


def trainings_of(
    benches: Iterable[Bench],
    techniques: Mapping[str, Technique],
    names: Iterable[str],
    n_seeds: int,
    weights: Path | None,
) -> list[Training]:
    """The named techniques on each bench, one seed after the other, so that a machine's moods meet all of them."""
    return [
        Training(
            bench=bench,
            technique=name,
            seed=seed,
            config=techniques[name].change(bench.config),
            seed_offset=OTHER_SEEDS if name == AGAIN else 0,
            weights_dir=weights,
        )
        for seed in range(n_seeds)
        for bench in benches
        for name in names
    ]


def begun(bench: Bench, *, pretrained: bool) -> Bench:
    """The bench whose baseline begins from pretrained weights or from scratch."""
    return replace(bench, config=group("model", pretrained=pretrained)(bench.config))


def source_of(bench: Bench, folder: Path) -> Training:
    """The training from scratch that leaves its body in the folder, under the name that the backbone's weights have."""
    backbone = bench.config.model.backbone
    config = begun(bench, pretrained=False).config
    return Training(bench=bench, technique=SOURCE, seed=0, config=config, body_to=folder / f"{backbone}.safetensors")


def first_part(shop: Workshop, plan: Plan, names: Sequence[str], n_seeds: int, weights: Path | None) -> str:
    """The table of each technique alone, and what has to be known about it."""
    benches = [begun(bench, pretrained=weights is not None) for bench in plan.benches]
    results = shop.measure(trainings_of(benches, TECHNIQUES, names, n_seeds, weights))
    rows = {name: technique.says for name, technique in TECHNIQUES.items()}
    remarks = [
        "training begins from scratch" if weights is None else "training begins from pretrained weights",
        "*: the epoch was chosen by its score on the very rows that it is scored on, which flatters it",
        "left out: class weights and balanced sampling, as all classes are equally large; losses of ranks, as none are",
    ]
    table = Table(results=results, metrics=METRICS, rows=rows, baseline=BASELINE)
    return f"{table}\n{notes(shop, benches, table, remarks)}"


def second_part(shop: Workshop, plan: Plan, names: Sequence[str], n_seeds: int, weights: Path | None) -> str:
    """The table of transfer, and what has to be known about it."""
    remark = "pretrained are the weights of the given folder"
    if weights is None:
        weights = shop.records.with_suffix(".weights")
        score = shop.measure([source_of(plan.source, weights)])[-1].score
        remark = f"pretrained is a body trained from scratch to accuracy {score} on {describe(shop, plan.source)}"
    results = shop.measure(trainings_of([plan.transfer], TRANSFER, names, n_seeds, weights))
    rows = {name: technique.says for name, technique in TRANSFER.items()}
    metrics = {plan.transfer.competition: METRICS[plan.transfer.competition]}
    table = Table(results=results, metrics=metrics, rows=rows, baseline=SCRATCH)
    return f"{table}\n{notes(shop, [plan.transfer], table, [remark])}"


def notes(shop: Workshop, benches: Sequence[Bench], table: Table, remarks: Sequence[str]) -> str:
    """What the figures are of, and what they cannot tell."""
    errors = " and ".join(f"{0.5 / math.sqrt(n_rows(shop, bench)[1]):.3f}" for bench in benches)
    spreads = " and ".join(f"{table.spread(bench.competition):.4f}" for bench in benches)
    clear = " and ".join(f"{table.clear_spreads(bench.competition):.1f}" for bench in benches)
    in_spreads = (
        f"; in brackets in units of the spread of such differences, {spreads} (standard deviation, pooled over rows);"
        f" beyond {clear} it is clear of chance (t-test at 5 %: of twenty techniques without effect one gets there)"
    )
    lines = [
        *(describe(shop, bench) for bench in benches),
        *remarks,
        f"{machine(shop.on_gpu)}; nothing was tuned for any technique",
        "±: standard deviation over the seeds, which share their validation rows; for the choice of these rows a score"
        f" is uncertain by about another {errors}, so that a small difference says little about other images",
        f"difference: mean over the seeds, each against the baseline's{'' if 'nan' in spreads else in_spreads}",
        f"time: {'seconds' if shop.on_gpu else 'processor seconds'} of a whole training over the baseline's",
    ]
    return "".join(f"- {line}\n" for line in lines)


def describe(shop: Workshop, bench: Bench) -> str:
    """What the bench is, in a line."""
    config, (n_train, n_valid) = bench.config, n_rows(shop, bench)
    model, optim, size = config.model, config.optim, config.resize.image_sizes[-1]
    cut = f" less {model.cut} of its stages" if model.cut else ""
    return (
        f"{bench.competition}: {model.backbone}{cut}, {size} px, {config.epochs} epochs of {n_train} images, {n_valid}"
        f" to validate on; {optim.optimizer}, lr {optim.lr:g}, batch {config.batch_size}, {optim.schedule} schedule,"
        f" {config.augment.policy} augmentation"
    )


def n_rows(shop: Workshop, bench: Bench) -> tuple[int, int]:
    """How many images are trained and validated on."""
    files = bench.study(shop.folder)
    folds = load_folds(files.folds, load_competition(files.competition))
    return int((folds != 0).sum()), int((folds == 0).sum())


def machine(on_gpu: bool) -> str:
    """What computed."""
    if on_gpu:
        return torch.cuda.get_device_name()
    return f"{platform.machine()}, {os.cpu_count()} cores, one for each training"


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.recipe", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("data", type=Path, help="holds cifar-10 and dogs-vs-cats as Kaggle ships them")
    parser.add_argument("--only", type=lambda text: text.split(","), help="techniques, joined by commas")
    parser.add_argument("--size", choices=PLANS, default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1, help="trainings at once")
    parser.add_argument("--weights", type=Path, help="folder of pretrained weights, NAME.safetensors")
    parser.add_argument("--out", type=Path, default=Path("recipe.md"), help="the table; results are kept beside it")
    namespace = parser.parse_args()
    known = [*TECHNIQUES, *TRANSFER]
    if unknown := [name for name in namespace.only or () if name not in known]:
        parser.error(f"no technique is called {', '.join(unknown)}; there are {', '.join(known)}")
    return namespace


def chosen(techniques: Mapping[str, Technique], only: Sequence[str] | None, baseline: str) -> list[str]:
    """The techniques to measure, the baseline first; none if none was asked for."""
    names = [name for name in techniques if only is None or name in only]
    return list(dict.fromkeys([baseline, *names])) if names else []


def main() -> None:
    command = asked()
    plan, weights, n_seeds = PLANS[command.size](), command.weights, command.seeds
    command.out.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(
            data=command.data,
            folder=Path(folder),
            records=command.out.with_suffix(".jsonl"),
            n_processes=command.processes,
            on_gpu=command.size == "gpu",
        )
        if names := chosen(TECHNIQUES, command.only, BASELINE):
            parts.append(first_part(shop, plan, names, n_seeds, weights))
        if names := chosen(TRANSFER, command.only, SCRATCH):
            parts.append(second_part(shop, plan, names, n_seeds, weights))
    command.out.write_text("\n".join(parts))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
