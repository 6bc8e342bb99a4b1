"""A page that needs no network: what is text is escaped, what is markup is not."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
from markupsafe import Markup

from automl.reports.page_shell import (
    render_figure,
    render_list,
    render_paragraph,
    render_section,
    render_table,
    write_page,
)

HOSTILE = "<script>canary()</script>"


def test_a_page_brings_all_it_needs_along_and_escapes_its_title(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, HOSTILE, [render_paragraph("one", "two"), render_figure(go.Figure())])
    text = path.read_text()
    assert "<script>canary" not in text
    assert text.count("&lt;script&gt;canary()") == 2  # in the title and in the heading
    assert "default-src 'none'" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert "<p>one<br>two</p>" in text
    assert [other.name for other in tmp_path.iterdir()] == ["page.html"]


def test_texts_are_escaped_and_markup_is_kept() -> None:
    assert render_paragraph(HOSTILE) == "<p>&lt;script&gt;canary()&lt;/script&gt;</p>"
    assert render_paragraph() == ""
    assert render_list(["a & b", Markup("<b>c</b>")]) == "<ul><li>a &amp; b</li><li><b>c</b></li></ul>"
    assert render_section("<i>", Markup("<p>x</p>"), Markup("<p>y</p>")) == "<h2>&lt;i&gt;</h2><p>x</p><p>y</p>"


def test_columns_of_numbers_are_aligned_at_the_right_and_rows_are_whole() -> None:
    table = render_table(("name", "score"), [("<a>", "0.5")], numbers=(1,))
    assert table == (
        '<table><tr><th>name</th><th class="number">score</th></tr>'
        '<tr><td>&lt;a&gt;</td><td class="number">0.5</td></tr></table>'
    )
    assert render_table(("name",), []) == "<table><tr><th>name</th></tr></table>"


def test_a_figure_is_drawn_by_the_script_of_the_page_with_or_without_its_bar() -> None:
    assert "displayModeBar" not in render_figure(go.Figure())
    assert '"displayModeBar": false' in render_figure(go.Figure(), mode_bar=False)
    assert "<html" not in render_figure(go.Figure())
