"""The documentation's table of known competitions is the one that the miniatures prove."""

from __future__ import annotations

import os

from tests.automl_tests.competitions.table import table
from tests.docs_tests.pages import DOCS, between, replaced, text_of

PAGE = DOCS / "known-competitions.md"
ADVICE = "run `UPDATE_GOLDEN=1 pytest tests/automl_tests/competitions/test_table.py` to write it anew"


def test_the_documentation_has_the_table_of_what_is_recognised() -> None:
    wanted = f"{table()}\n"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(replaced(text_of(PAGE), "competitions", wanted), encoding="utf-8")
    assert between(text_of(PAGE), "competitions") == wanted, f"{PAGE.name} has another table of competitions: {ADVICE}"
