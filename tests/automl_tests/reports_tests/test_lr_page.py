"""The plot of a range test as a page that needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from automl.reports.lr_page import write_lr_page
from tests.automl_tests.lr_finder_tests.curves import LOSSES, LRS


def test_the_page_needs_no_network_and_shows_the_suggestion_only_if_there_is_one(tmp_path: Path) -> None:
    marked, plain = tmp_path / "a.html", tmp_path / "b.html"
    shown: dict[str, Any] = {"title": "<leaf>", "summary": "s", "lrs": LRS, "losses": LOSSES, "smoothed": LOSSES}
    write_lr_page(marked, **shown, suggestion=2.5e-3, falling=(1e-4, 1e-2))
    write_lr_page(plain, **shown, suggestion=None, falling=None)
    assert "suggestion 2.5e-3" in marked.read_text()
    assert "suggestion 2" not in plain.read_text()
    for path in (marked, plain):
        text = path.read_text()
        assert "&lt;leaf&gt;" in text
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
        assert '"type":"log"' in text
