"""The picture of a run in the README, from the output on the page "A first run": python -m tests.docs_tests.run_picture

A terminal as SVG, as rich draws it, in the fonts that the reader has: rich's own form would fetch one from the web.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.docs_tests.pages import DOCS, FENCED, between, page_named

PICTURE = DOCS / "images" / "run.svg"
COLUMNS = 106

INK, PAPER = (208, 213, 222), (27, 31, 40)
COLOURS = [
    PAPER,
    (233, 110, 110),
    (126, 201, 133),
    (226, 183, 105),
    (111, 170, 240),
    (190, 140, 225),
    (96, 190, 196),
    INK,
]
THEME = TerminalTheme(PAPER, INK, COLOURS)
FONTS = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
STYLES = (  # a later one wins
    (r"^(trial \d+ starts .*|\.\.\.|labels: .*|task: .*|submission: .*|metric: .*)$", Style(dim=True)),
    (r"^(labels|task|submission|metric):", Style(color="cyan", dim=False)),
    (r"^(\.venv/bin/|    --).*$", Style(color="blue", bold=True)),
    (r"^trial +weight.*$", Style(bold=True, underline=True)),
    (r"is complete with [\d.]+", Style(color="green")),
    (r"is pruned at [\d.]+", Style(color="yellow")),
    (r"(?<=, )best [\d.]+ \(trial \d+\)", Style(bold=True)),
    (r"\+0\.00[1-9]\d", Style(color="green")),
    (r"^(ensemble +[\d.]+ \+- [\d.]+)", Style(color="green", bold=True)),
    (r"^wrote .*$", Style(color="cyan")),
    (r"^accuracy on the .*$", Style(color="green", bold=True)),
)


def draw() -> str:
    """The SVG; the same text gives the same picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in shown():
        text = Text(line)
        for pattern, style in STYLES:
            text.highlight_regex(pattern, style)
        console.print(text, soft_wrap=True)
    console.print()  # room below the last line
    svg = without_web_fonts(console.export_svg(title="make demo", theme=THEME, unique_id="run"))
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def shown() -> Iterator[str]:
    """The run's lines, without the tables of views and of how alike the members' errors are."""
    ((_, output),) = FENCED.findall(between(page_named("first-run"), "run"))
    left_out = False
    for line in output.rstrip().splitlines():
        left_out = line.startswith("view ") or (left_out and not line.startswith("ensemble "))
        if not left_out:
            yield line


def without_web_fonts(svg: str) -> str:
    without = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return without.replace("Fira Code, monospace", FONTS).replace("font-family: arial", "font-family: sans-serif")


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
