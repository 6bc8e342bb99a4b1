"""Fifty real competitions in miniature: from the folder to a submission that is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.data.cleaning import clean_competition
from automl.data.competition import Competition
from automl.data.folds import make_folds
from automl.data.survey import survey_images
from automl.decisions.choose import choose_rule
from automl.errors import DataError
from automl.metrics.registry import get_metric
from automl.readers.known_competitions import KNOWN_COMPETITIONS, get_known_competition
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.submission import validate
from automl.submission.write import write_submission
from automl.tasks import Task
from tests.automl_tests.competitions.by_document import furniture_of
from tests.automl_tests.competitions.checker import agreement, complaints
from tests.automl_tests.competitions.everything import ALL
from tests.automl_tests.competitions.miniatures import Folder, Made, Miniature
from tests.automl_tests.competitions.quick_model import fit_and_predict

N_FOLDS = 3
LEAST_AGREEMENT = 0.75  # with the truth of the test images, which are easy

Build = Callable[[Miniature, str], tuple[Path, Made]]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a miniature in a folder of that name, to be read only."""

    def build_one(one: Miniature, name: str) -> tuple[Path, Made]:
        folder = tmp_path_factory.mktemp(f"row{one.row}") / name
        return folder, one.build(folder)

    return build_one


def by_slug(one: Miniature) -> str:
    return one.slug


def test_every_row_of_the_reference_has_a_miniature_and_is_known() -> None:
    assert [one.row for one in ALL] == list(range(1, 51))
    assert {one.slug for one in ALL} == set(KNOWN_COMPETITIONS)


@pytest.mark.parametrize("one", ALL, ids=by_slug)
def test_a_competition_goes_from_its_folder_to_an_accepted_submission(
    one: Miniature, build: Build, tmp_path: Path
) -> None:
    folder, made = build(one, one.slug)
    before = listing(folder)

    competition = read_competition(folder)
    is_read_as_made(competition, made, one)
    assert competition.metric_given
    seen = clean_competition(competition, survey_images(competition, tmp_path / "survey"))
    assert len(seen.image_ids) == made.n_images, "no miniature has broken images"
    assert seen.grouped_by == competition.grouped_by, "nor copies of one image"
    folds = make_folds(seen, n_folds=N_FOLDS, seed=0)
    probs = fit_and_predict(seen, folds, tmp_path / "cache")
    groups = None if seen.groups is None else seen.groups[probs.rows]
    decision = choose_rule(seen.metric, seen.scorer.context, seen.targets[probs.rows], probs.oof, groups=groups)
    path = tmp_path / "submission.csv"
    write_submission(seen, probs.test, path, decision.rule)

    content = path.read_bytes()
    assert validate.find_problems(seen, content) == []
    assert complaints(made.form, content) == []
    assert agreement(made.form, content, made.truth) >= LEAST_AGREEMENT, content.decode()
    chance = np.tile(seen.prior, (len(probs.rows), 1))
    truth = seen.targets[probs.rows]
    assert seen.metric.is_better(seen.scorer(truth, probs.oof), seen.scorer(truth, chance))
    assert listing(folder) == before, "the folder is only read"


@pytest.mark.parametrize("one", ALL, ids=by_slug)
def test_without_its_name_only_what_no_file_tells_must_be_said(one: Miniature, build: Build) -> None:
    folder, made = build(one, "data")
    known = get_known_competition(one.slug)

    given = read_competition(folder, settings_of(one))
    is_read_as_made(given, made, one)

    if "--negative" in words(one):
        with pytest.raises(DataError) as refusal:
            read_competition(folder)
        assert "--negative" in refusal.value.hint
        return
    bare = read_competition(folder)
    assert bare.classes == given.classes
    assert bare.image_ids == given.image_ids
    assert [path.relative_to(bare.root) for path in bare.test_paths] == [
        path.relative_to(given.root) for path in given.test_paths
    ]
    assert np.array_equal(bare.targets, given.targets)
    assert bare.submission == given.submission or one.row == 4, "zeros in every row fit a label and a probability"
    assert (bare.task is given.task) == ("--task" not in words(one))
    metric_follows = "--task" in words(one)  # an ordinal task proposes the metric by itself
    assert (bare.metric.name == known.metric) == ("--metric" not in words(one) and not metric_follows)
    assert bare.flips == ("--no-flips" in words(one) or given.flips)
    assert (bare.grouped_by == given.grouped_by) == ("--group" not in words(one))


def test_a_competition_of_urls_is_refused_until_its_images_are_there(tmp_path: Path) -> None:
    furniture_of(Folder(tmp_path / "imaterialist-challenge-furniture-2018", seed=1), downloaded=False)
    with pytest.raises(DataError, match="URL") as refusal:
        read_competition(tmp_path / "imaterialist-challenge-furniture-2018")
    assert "download" in refusal.value.hint


def test_the_metrics_that_are_known_exist() -> None:
    for known in KNOWN_COMPETITIONS.values():
        weights = [weight for _, weight in known.metric_weights or ()]
        assert get_metric(known.metric).name == known.metric
        assert all(weight > 0 for weight in weights)


def is_read_as_made(competition: Competition, made: Made, one: Miniature) -> None:
    """That all is understood which the submission and the score depend on."""
    known = get_known_competition(one.slug)
    assert competition.task.value == one.task
    assert competition.metric.name == known.metric
    assert list(competition.classes) == list(made.classes)
    assert len(competition.image_ids) == made.n_images
    n_groups = None if competition.groups is None else len(np.unique(competition.groups))
    assert n_groups == made.n_groups
    assert competition.flips == known.flips
    assert competition.submission.header == tuple(made.form.header)
    assert competition.submission.ids == tuple(made.form.ids)
    assert competition.submission.submission_kind.value == KINDS[one.submission]
    assert competition.evidence


KINDS = {
    "label": "label",
    "label, 0 or 1": "label",
    "label, a row for each head": "label",
    "labels": "labels",
    "best 5 labels": "ranking",
    "probability": "probability",
    "probability of any class but one": "probability",
    "probability, a row for each label": "probabilities",
    "probabilities": "probabilities",
    "value": "values",
    "value, a row for each target": "values",
}


def words(one: Miniature) -> list[str]:
    return " ".join(one.needs).split()


def settings_of(one: Miniature) -> CompetitionSettings:
    """What the flags say that this competition needs where its name is not known."""
    settings = CompetitionSettings()
    for need in one.needs:
        flag, _, value = need.partition(" ")
        name = flag.removeprefix("--")
        if name == "no-flips":
            settings = replace(settings, flips=False)
        elif name == "metric_weights":
            settings = replace(settings, metric_weights=get_known_competition(one.slug).metric_weights)
        else:
            settings = replace(settings, **{name: Task(value) if name == "task" else value})
    return settings


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.as_posix(), path.stat().st_mtime_ns) for path in folder.rglob("*"))
