"""Rankings, priors and correlations from probes' scores."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from automl.study.probe_evidence import (
    ProbeScore,
    build_prior,
    compute_rank_correlation,
    find_weight,
    pair_probes_and_trials,
    rank_probes,
)

SCORES = [
    ProbeScore("resnet50", 224, 0.9),
    ProbeScore("resnet50", 160, 0.8),
    ProbeScore("densenet121", 160, 0.7),
    ProbeScore("densenet121", 224, 0.95),
    ProbeScore("vgg11", 96, 0.2),
]


def test_probes_rank_by_score_and_equal_ones_by_name_and_size() -> None:
    assert rank_probes(SCORES) == [
        ("densenet121", 224),
        ("resnet50", 224),
        ("resnet50", 160),
        ("densenet121", 160),
        ("vgg11", 96),
    ]
    equal = [ProbeScore("b", 224, 0.5), ProbeScore("a", 224, 0.5), ProbeScore("b", 160, 0.5), ProbeScore("a", 224, 0.4)]
    assert rank_probes(equal) == [("a", 224), ("b", 160), ("b", 224)]


def test_a_prior_prefers_backbones_by_their_best_probe_and_sizes_that_win_within_backbones() -> None:
    prior = build_prior(SCORES)
    assert list(prior) == ["backbone", "resize"]
    assert sorted(prior["backbone"], key=prior["backbone"].__getitem__) == ["vgg11", "resnet50", "densenet121"]
    assert prior["resize"].keys() == {"224", "160"}  # 96 was compared with nothing
    assert prior["resize"]["224"] > prior["resize"]["160"]


def test_a_size_is_not_preferred_because_better_backbones_were_probed_at_it() -> None:
    scores = [ProbeScore("good", 160, 0.9), ProbeScore("bad", 224, 0.2), ProbeScore("bad", 160, 0.1)]
    prior = build_prior(scores)
    assert prior["resize"]["224"] > prior["resize"]["160"]


@pytest.mark.parametrize("scores", [[], [ProbeScore("resnet50", 224, 0.9)]])
def test_nothing_that_was_compared_makes_no_prior(scores: list[ProbeScore]) -> None:
    assert build_prior(scores) == {}


def test_a_choice_has_the_weight_of_the_nearest_size_or_else_the_mean() -> None:
    sizes = {"160": 1.0, "224": 3.0}
    weights = {
        choice: find_weight(sizes, "resize", choice) for choice in ("224", "128-160", 200, "320", "192", "small")
    }
    assert weights == {"224": 3.0, "128-160": 1.0, 200: 3.0, "320": 3.0, "192": 3.0, "small": 2.0}
    assert find_weight({"a": 1.0, "b": 3.0}, "backbone", "c") == 2.0


def test_each_probe_is_paired_with_the_best_trial_that_ends_near_its_size() -> None:
    trials: list[tuple[dict[str, object], float]] = [
        ({"backbone": "resnet50", "resize": "128-224"}, 0.91),
        ({"backbone": "resnet50", "resize": "320"}, 0.93),
        ({"backbone": "resnet50", "resize": "96"}, 0.85),
        ({"backbone": "densenet121"}, 0.96),  # a space of one size: the backbone's best probe
        ({"backbone": "unprobed", "resize": "224"}, 0.99),
        ({"lr": 0.1}, 0.5),
    ]
    assert pair_probes_and_trials(SCORES, trials) == [(0.95, 0.96), (0.8, 0.85), (0.9, 0.93)]
    assert pair_probes_and_trials([], trials) == []


def test_the_correlation_of_ranks_is_scipys() -> None:
    rng = random.Random(0)
    for n in range(3, 40):
        x = [rng.randrange(n // 2 + 2) / 7 for _ in range(n)]  # with ties
        y = [value + rng.gauss(0, 1) for value in x]
        assert compute_rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_correlation_that_means_nothing_is_none() -> None:
    assert compute_rank_correlation([1, 2], [1, 2]) is None
    assert compute_rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert compute_rank_correlation([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert compute_rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        compute_rank_correlation([1, 2, 3], [1, 2])
