"""README.md is short, links and anchors resolve, the site builds, and what is generated is up to date."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.benchmarks.techniques import TECHNIQUES, TRANSFER, Technique
from tests.docs_tests import run_picture
from tests.docs_tests.pages import DOCS, PAGES, README, ROOT, anchors, between, links, name_of, page_named, text_of

MOST_LINES = 220


def test_the_readme_is_for_a_first_visit() -> None:
    assert len(text_of(README).splitlines()) <= MOST_LINES


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in links(README)}
    assert {name_of(page) for page in PAGES if page not in (README, DOCS / "index.md")} <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if path.startswith(("https://", "http://")):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed; it is in the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    for page in (tmp_path / "site").glob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="?(https?:[^">\s]+)', page.read_text())
        loaded += re.findall(r'<link[^>]*rel="?stylesheet"?[^>]*href="?(https?:[^">\s]+)', page.read_text())
        assert loaded == [], page.name


@pytest.mark.parametrize("picture", sorted(DOCS.glob("images/*.svg")), ids=name_of)
def test_a_picture_fetches_nothing(picture: Path) -> None:
    assert re.findall(r"url\(\"?http|href=\"http|@import", picture.read_text()) == []


def words_in(svg: str) -> list[str]:
    """The texts of a picture; another version of rich may draw them a hair apart."""
    return [html.unescape(text).replace("\xa0", " ").strip() for text in re.findall(r"<text[^>]*>(.*?)</text>", svg)]


def test_the_picture_shows_the_run_of_the_documentation() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        run_picture.PICTURE.write_text(run_picture.draw(), encoding="utf-8")
    assert words_in(run_picture.PICTURE.read_text()) == words_in(run_picture.draw()), "UPDATE_GOLDEN=1 draws it anew"


def test_the_figures_of_the_readme_are_measured() -> None:
    shown = re.findall(r"\d\.\d+ ± \d\.\d+", text_of(README))
    measured = "".join(between(page_named("measurements"), mark) for mark in ("ensembles", "first minute"))
    assert shown
    assert [figure for figure in shown if figure not in measured] == []


@pytest.mark.parametrize(("mark", "plan"), [("transfer", TRANSFER), ("techniques", TECHNIQUES)])
def test_the_tables_of_techniques_have_the_rows_of_the_benchmark(mark: str, plan: Mapping[str, Technique]) -> None:
    """In its order; the table may lack techniques that the measured competitions gave no reason to try."""
    table = between(page_named("measurements"), mark)
    rows = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)[2:]
    names = [technique.says for technique in plan.values()]
    assert len(rows) > 5
    assert rows == [name for name in names if name in rows]
