"""The documentation as text: its pages, their blocks of code, the commands in them, their links and anchors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, *sorted(DOCS.rglob("*.md")))

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n(?:[ ]*\n(?=    ))?)+", flags=re.MULTILINE)
LINK = re.compile(r"!?\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", flags=re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def page_named(name: str) -> str:
    return text_of(DOCS / f"{name}.md")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The blocks of code in these languages; an indented block has none, which is written as an empty one."""
    text = text_of(page)
    for language, block in FENCED.findall(text):
        if language in languages:
            yield block
    if "" in languages:
        for found in INDENTED.finditer(FENCED.sub("", text)):
            yield re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


def command_lines() -> list[str]:
    """What a reader may type, from all pages, each line once and without its remark."""
    lines = [line for page in PAGES for block in blocks(page, "bash", "") for line in block.splitlines()]
    return list(dict.fromkeys(re.sub(r"\s+#.*$", "", line).strip() for line in lines if line.strip()))


def automl_commands(*names: str) -> list[str]:
    """The lines that call `automl`, or only these commands of it."""
    lines = [line for line in command_lines() if line.startswith("automl ")]
    return [line for line in lines if not names or shlex.split(line)[1] in names]


def program_with(text: str) -> str:
    """The one Python program of the documentation that holds this text."""
    (program,) = [block for page in PAGES for block in blocks(page, "python") if text in block]
    return program


def between(text: str, mark: str) -> str:
    """What stands between <!-- mark --> and <!-- /mark -->."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    assert text.count(start) == text.count(end) == 1, f"{start.strip()} and {end} are not there once"
    return text.partition(start)[2].partition(end)[0]


def replaced(text: str, mark: str, content: str) -> str:
    """The text with other content between the marks."""
    return text.replace(f"<!-- {mark} -->\n{between(text, mark)}", f"<!-- {mark} -->\n{content}")


def links(page: Path) -> list[str]:
    return LINK.findall(FENCED.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub make them of plain words."""
    headings = HEADING.findall(FENCED.sub("", text_of(page)))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
