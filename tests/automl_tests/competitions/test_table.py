"""The README's table of known competitions is the one that the miniatures prove."""

from __future__ import annotations

import os
from pathlib import Path

from tests.automl_tests.competitions.table import table

README = Path(__file__).parents[3] / "README.md"
START, END = "<!-- competitions -->", "<!-- /competitions -->"
ADVICE = "run `UPDATE_GOLDEN=1 pytest tests/automl_tests/competitions/test_table.py` to write it anew"


def test_the_readme_has_the_table_of_what_is_recognised() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(START) == 1, f"README.md lacks the line {START} once"
    assert text.count(END) == 1, f"README.md lacks the line {END} once"
    before, _, rest = text.partition(f"{START}\n")
    _, _, after = rest.partition(END)
    wanted = f"{before}{START}\n{table()}\n{END}{after}"
    if os.environ.get("UPDATE_GOLDEN"):
        README.write_text(wanted, encoding="utf-8")
    assert README.read_text(encoding="utf-8") == wanted, f"README.md has another table of competitions: {ADVICE}"
