"""An ensemble's result as `automl ensemble` would have it, without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.ensemble.ensemble_recipe import Drop, Recipe, RecipeMember
from automl.ensemble.ensemble_result import EnsembleResult

VIEWS = ("identity", "mirror", "top-left", "top-right", "bottom-left", "bottom-right", "centre")


def example_result() -> EnsembleResult:
    """Three members, of which one was trained with pseudo-labels."""
    first = _build_member(7, 0.5, backbone="convnext_tiny.in12k_ft_in1k")
    members = (
        first,
        _build_member(12, 0.3, backbone="resnet18"),
        replace(_build_member(7, 0.2), member_kind="pseudo", views=VIEWS[:1], seconds_per_image=0.0421 / 5),
    )
    return EnsembleResult(
        recipe=Recipe(
            members=members,
            by_rank=False,
            rule={"kind": "plain"},
            short_side=200.0,
            drop_order=(Drop(view="mirror"), Drop(member="7-pseudo")),
            n_threads=2,
        ),
        member_scores={"7": 0.2413, "12": 0.2587, "7-pseudo": 0.2601},
        member_gains={"7": 0.0104, "12": 0.0031, "7-pseudo": -0.0002},
        metric="log_loss",
        greater_is_better=False,
        score=0.2101,
        score_error=0.0123,
        is_trimmed=False,
        score_without_tta=0.2188,
        best_single_number=7,
        best_single_score=0.2413,
        optimism=0.0042,
        n_trials=16,
        tta="mirror+crops",
        views=VIEWS,
        view_gains=dict.fromkeys(VIEWS[1:], 0.0011) | {"mirror": -0.0003},
        error_correlations=((1.0, 0.61, 0.93), (0.61, 1.0, 0.58), (0.93, 0.58, 1.0)),
        blend_method="greedy",
        rule_source="plain",
        rule_words="submitted as probabilities, without a decision",
        n_pool=15,
        n_rows=320,
        seconds=12.0,
        submission=Path("submission.csv"),
        submission_digest="0" * 64,
        device="cpu",
        notes=("trial 3 is left out: <b>its</b> weights are missing",),
    )


def _build_member(number: int, weight: float, *, backbone: str = "efficientnet_b0") -> RecipeMember:
    return RecipeMember(
        number=number,
        member_kind="search",
        weight=weight,
        temperature=1.25,
        config=TrialConfig(model=ModelConfig(backbone=backbone), resize=ResizeConfig(image_sizes=(224,))),
        folds=(0, 1, 2, 3, 4),
        views=VIEWS,
        seconds_per_image=0.0421 / (5 * len(VIEWS)),
    )
