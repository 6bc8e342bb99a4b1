"""An ensemble's result as `automl ensemble` would have it, without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.ensemble.ensemble_recipe import Recipe, RecipeMember, Saving
from automl.ensemble.ensemble_result import EnsembleMember, EnsembleResult

VIEWS = ("identity", "mirror", "top-left", "top-right", "bottom-left", "bottom-right", "centre")


def example_result() -> EnsembleResult:
    """Three members, of which one was taught by the others."""
    members = (
        _member(7, 0.5, 0.2413, 0.0104, backbone="convnext_tiny.in12k_ft_in1k"),
        _member(12, 0.3, 0.2587, 0.0031, backbone="resnet18"),
        replace(_member(7, 0.2, 0.2601, -0.0002), name="7-pseudo", kind="pseudo", views=VIEWS[:1]),
    )
    return EnsembleResult(
        members=members,
        metric="log_loss",
        greater_is_better=False,
        score=0.2101,
        score_error=0.0123,
        is_trimmed=False,
        score_without_tta=0.2188,
        best_single_number=7,
        best_single_score=0.2413,
        luck=0.0042,
        n_trials=16,
        tta="mirror+crops",
        views=VIEWS,
        view_adds=dict.fromkeys(VIEWS[1:], 0.0011) | {"mirror": -0.0003},
        error_correlations=((1.0, 0.61, 0.93), (0.61, 1.0, 0.58), (0.93, 0.58, 1.0)),
        kind="greedy",
        by_rank=False,
        rule={"kind": "plain"},
        rule_kind="plain",
        decided="handed in as probabilities, without a decision",
        n_pool=15,
        n_rows=320,
        seconds=12.0,
        submission=Path("submission.csv"),
        submission_digest="0" * 64,
        device="cpu",
        notes=("trial 3 is left out: <b>its</b> weights are missing",),
        recipe=Recipe(
            members=tuple(_recipe_member(member) for member in members),
            by_rank=False,
            rule={"kind": "plain"},
            short_side=200.0,
            savings=(Saving(view="mirror"), Saving(member="7-pseudo")),
            n_threads=2,
        ),
    )


def _member(
    number: int, weight: float, score: float, adds: float, *, backbone: str = "efficientnet_b0"
) -> EnsembleMember:
    return EnsembleMember(
        name=str(number),
        number=number,
        kind="search",
        weight=weight,
        temperature=1.25,
        score=score,
        adds=adds,
        backbone=backbone,
        image_size=224,
        folds=(0, 1, 2, 3, 4),
        views=VIEWS,
        seconds_per_image=0.0421,
    )


def _recipe_member(member: EnsembleMember) -> RecipeMember:
    config = TrialConfig(
        model=ModelConfig(backbone=member.backbone), resize=ResizeConfig(image_sizes=(member.image_size,))
    )
    return RecipeMember(
        number=member.number,
        kind=member.kind,
        weight=member.weight,
        temperature=member.temperature,
        config=config,
        folds=member.folds,
        views=member.views,
        seconds_per_image=member.seconds_per_image / (len(member.folds) * len(member.views)),
    )
