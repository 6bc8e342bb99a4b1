"""The page on the architecture names every package and module at the root, and what it names exists."""

from __future__ import annotations

import configparser
import os
import re

import pytest

from tests.docs_tests.pages import DOCS, ROOT, between, page_named, replaced, text_of

PACKAGES = sorted(
    path.parent.relative_to(ROOT).as_posix() + "/"
    for package in ("automl", "runners", "search_spaces")
    for path in (ROOT / package).rglob("__init__.py")
    if path.parent != ROOT / "automl"
)
MODULES = sorted(f"automl/{path.name}" for path in (ROOT / "automl").glob("*.py") if path.name != "__init__.py")
NAMED = set(re.findall(r"`((?:automl|runners|search_spaces|tests)/[\w/.]*)`", page_named("architecture")))


@pytest.mark.parametrize("name", [*PACKAGES, *MODULES])
def test_every_package_and_module_at_the_root_is_named(name: str) -> None:
    assert name in NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


def layers() -> str:
    """The contract's layers as a block of text, the highest first."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    lines = contracts["importlinter:contract:layers"]["layers"].replace("automl.", "").strip()
    return f"```text\n{lines}\n```\n"


def test_the_layers_are_those_of_the_contract() -> None:
    page = DOCS / "architecture.md"
    if os.environ.get("UPDATE_GOLDEN"):
        page.write_text(replaced(text_of(page), "layers", layers()), encoding="utf-8")
    assert between(text_of(page), "layers") == layers(), "UPDATE_GOLDEN=1 writes it anew"
