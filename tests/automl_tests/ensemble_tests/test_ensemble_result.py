"""The result of an ensemble, and its way through JSON."""

from __future__ import annotations

import json

from automl.ensemble.ensemble_recipe import parse_recipe
from tests.automl_tests.ensemble_tests.results import example_result


def test_the_recipe_survives_the_way_through_json() -> None:
    result = example_result()
    document = json.loads(json.dumps(result.to_json()))
    assert parse_recipe(document["recipe"]) == result.recipe
