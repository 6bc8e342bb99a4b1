"""A sample submission is parsed and its template built, and what is no table of ids and targets is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    sample_rows,
)

FOLDER_FAULTS: dict[str, FolderFault] = {
    "a repeated test id": (sample_rows("s0,cat", "s0,cat"), "names s0 in lines 2 and 3", "each id has one row"),
    "a blank test id": (sample_rows("s0,cat", ",cat"), "has a blank id in line 3", "restore"),
    "a sample of one column": (sample_rows("s0", header="id"), "has one column alone: id", "restore"),
    "a semicolon sample": (sample_rows("s0;cat", header="id;label"), "is separated by ';'", "with commas"),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_sample_that_is_no_table_of_ids_and_targets_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
