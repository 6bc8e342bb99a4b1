"""A competition is meant by its slug, its address, the study, or its folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import UsageError
from automl.kaggle.slugs import build_page_url, parse_slug, resolve_slug
from tests.automl_tests.kaggle_tests.commands import CONTENT, download, submit, zipped
from tests.automl_tests.kaggle_tests.platform import Platform


def test_the_competition_is_asked_for_or_known_or_its_folders_name(kaggle: Platform, here: Path) -> None:
    submit(here, "--competition", "https://www.kaggle.com/competitions/dogs-vs-cats/overview")
    assert kaggle.requests[-2]["competitionName"] == "dogs-vs-cats"
    (here / "automl.toml").write_text('competition = "cifar-10"\n')
    finished = submit(here)
    assert "competition: cifar-10, as asked" in finished.stdout


def test_an_address_names_its_competition_and_other_words_do_not(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    assert download(tmp_path, "https://www.kaggle.com/c/leaves/data").exit_code == 0
    assert (tmp_path / "leaves" / "train.csv").exists()
    assert download(tmp_path, "../leaves").exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "dogs-vs-cats",
        " dogs-vs-cats ",
        "https://www.kaggle.com/competitions/dogs-vs-cats",
        "http://kaggle.com/c/dogs-vs-cats/data?select=train.zip",
        "www.kaggle.com/competitions/dogs-vs-cats#rules",
    ],
)
def test_a_slug_is_given_by_itself_or_by_its_address(text: str) -> None:
    assert parse_slug(text) == "dogs-vs-cats"


@pytest.mark.parametrize("text", ["", "../x", "two words", "-x", "a/b", "https://example.org/c/x", "x" * 101])
def test_what_is_no_slug_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a competition"):
        parse_slug(text)


def test_the_users_word_goes_before_the_study_and_that_before_the_folder() -> None:
    evidence = ["labels: 4 images", "competition: leaf-classification, from the folder's name"]
    assert resolve_slug(Path("cifar-10"), evidence, "dogs-vs-cats") == ("dogs-vs-cats", "as asked")
    assert resolve_slug(Path("cifar-10"), evidence, None) == ("leaf-classification", "as the study has it")
    assert resolve_slug(Path("cifar-10-data"), [], None) == ("cifar-10", "known by the folder's name cifar-10-data")
    assert resolve_slug(Path("my-own"), [], None)[0] == "my-own"
    with pytest.raises(UsageError, match="the folder's name 'my data' is not that of a competition"):
        resolve_slug(Path("my data"), [], None)


def test_a_page_may_be_a_part_of_the_competitions() -> None:
    assert build_page_url("leaves") == "https://www.kaggle.com/competitions/leaves"
    assert build_page_url("leaves", "rules") == "https://www.kaggle.com/competitions/leaves/rules"
