"""A section of a report, parsed."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from automl.reports.study_page import render_ensemble_section


class Tags(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def section_of(document: object, folder: Path) -> Tags:
    path = folder / "ensemble.json"
    path.write_text(json.dumps(document))
    page = Tags()
    page.feed(render_ensemble_section(path))
    return page
