"""A space and the terms of a study."""

from __future__ import annotations

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.space import Space
from automl.study.study import Terms
from automl.suggest import Suggest

TERMS = Terms(
    space="tiny",
    space_fingerprint="a",
    competition_fingerprint="b",
    metric="accuracy",
    direction="maximize",
    epochs=9,
    train_folds=1,
    seed=0,
)


def suggest(trial: Suggest) -> TrialConfig:
    trial.suggest_float("x", 0.0, 1.0)
    return TrialConfig(model=ModelConfig(backbone="resnet18"), resize=ResizeConfig(image_sizes=(32,)), epochs=9)


SPACE = Space(name="tiny", suggest=suggest)
