"""What the soak searches in, and the terms of its studies."""

from __future__ import annotations

from typing import Any

from automl.artifacts import StudyFiles
from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.space import Space
from automl.study.study import Terms
from automl.suggest import Suggest

EPOCHS = 6


def suggest(trial: Suggest) -> TrialConfig:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64])
    return TrialConfig(
        model=ModelConfig(backbone="none"),
        resize=ResizeConfig(image_sizes=(32,)),
        optim=OptimConfig(lr=lr),
        batch_size=batch_size,
        epochs=EPOCHS,
    )


SPACE = Space(name="soak", suggest=suggest, first_trials=({"lr": 1e-3, "batch_size": 32},))
TERMS = Terms(
    space="soak",
    space_fingerprint=SPACE.fingerprint,
    competition_fingerprint="none",
    metric="accuracy",
    direction="maximize",
    epochs=EPOCHS,
    train_folds=1,
    seed=0,
)


def payload_of(files: StudyFiles, number: int, config: TrialConfig, **settings: Any) -> dict[str, Any]:
    """What `task.train` gets."""
    return {"trial": number, "study_dir": str(files.root), "config": config.to_json(), **settings}
