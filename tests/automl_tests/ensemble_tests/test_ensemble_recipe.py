"""A recipe on its way to a file and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl.ensemble.ensemble_recipe import parse_recipe, read_recipe
from automl.errors import StorageError, UsageError
from tests.automl_tests.ensemble_tests.recipes import member_of, recipe_of

RECIPE = recipe_of(
    member_of(3, 0.75, views=("identity", "mirror"), folds=(0, 2), temperature=1.25),
    member_of(3, 0.25, member_kind="pseudo"),
    dropped_views=("mirror",),
    dropped_members=("3-pseudo",),
)


def test_a_recipe_comes_back_from_json_as_it_was() -> None:
    assert parse_recipe(json.loads(json.dumps(RECIPE.to_json()))) == RECIPE


def test_a_recipe_is_read_from_an_ensemble_json(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps({"score": 1.0, "recipe": RECIPE.to_json()}))
    assert read_recipe(path) == RECIPE


def test_without_an_ensemble_the_hint_is_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        read_recipe(tmp_path / "ensemble.json")
    assert refusal.value.hint == "make one first: automl ensemble"


def test_an_ensemble_of_a_version_without_recipes_is_to_be_made_again(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps({"score": 1.0}))
    with pytest.raises(UsageError, match="holds no recipe"):
        read_recipe(path)
    path.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        read_recipe(path)


def changed(**changes: Any) -> dict[str, Any]:
    """The recipe's document with something else in its first member, or in itself."""
    document = json.loads(json.dumps(RECIPE.to_json()))
    for key, value in changes.items():
        (document if key in document else document["members"][0])[key] = value
    return document


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        changed(members=[]),
        changed(members=["3"]),
        changed(members=[RECIPE.to_json()["members"][0]] * 2),
        changed(weight=0.5),
        changed(weight=float("nan")),
        changed(weight=-0.75),
        changed(temperature=0.0),
        changed(seconds_per_image=-1.0),
        changed(seconds_per_image=float("inf")),
        changed(views=["mirror"]),
        changed(folds=[]),
        changed(kind="other"),
        changed(config={}),
        changed(config={"epochs": 3}),
        changed(n_threads=0),
        changed(rule="plain"),
        changed(savings=["mirror"]),
    ],
)
def test_what_is_no_recipe_is_a_storage_error(document: Any) -> None:
    with pytest.raises(StorageError, match="recipe of an ensemble cannot be understood"):
        parse_recipe(document)
