"""The page about a competition's images: its sections, small copies of images, and names that are no elements."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from automl.data.survey import Survey
from automl.inspection.inspection import inspect_competition
from automl.reports.inspection_page import write_inspection
from tests.automl_tests.inspection_tests.surveys import drawn, facts_of, make_competition, noise

N_IMAGES = 30
HOSTILE = "<b>canary</b>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of 30 images, of which one cannot be decoded; too few for what compares kinds of images."""
    root = tmp_path_factory.mktemp("leaves")
    made = make_competition(root, np.arange(N_IMAGES) % 2)
    (root / "train").mkdir(exist_ok=True)
    for path in made.image_paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "green").save(path)
    competition = replace(made, evidence=(f"metric: {HOSTILE}",), classes=(HOSTILE, "dog"))
    facts = replace(facts_of(drawn(noise, N_IMAGES)), problems={3: f"train/{HOSTILE}.jpg cannot be decoded"})
    found = inspect_competition(competition, Survey(train=facts, test=facts_of(drawn(noise, N_IMAGES, seed=1))))
    write_inspection(found, root / "inspection.html")
    return (root / "inspection.html").read_text()


def test_the_page_has_its_sections_and_small_copies_of_images(page: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[:2] == ["What was understood", "What is suggested, and why"]
    assert len(headings) == 9
    assert "data:image/" in page


def test_names_from_the_folder_are_no_elements(page: str) -> None:
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert HOSTILE not in body
    assert "&lt;b&gt;canary&lt;/b&gt;.jpg cannot be decoded" in body


def test_the_page_loads_nothing(page: str) -> None:
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page)
    assert not re.findall(r"<img[^>]+src=\"(?!data:)", page)
