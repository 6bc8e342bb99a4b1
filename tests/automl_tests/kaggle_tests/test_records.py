"""Submissions are recorded one by one, with what the ensemble promised of its own file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles, write_json
from automl.errors import StorageError
from automl.kaggle.records import SubmissionRecord, delete_record, lock_submissions, read_records, save_record
from automl.study.lock import lock_study
from tests.automl_tests.kaggle_tests.commands import attribute_of, records, submit
from tests.automl_tests.kaggle_tests.platform import Platform


def ensemble_of(files: StudyFiles) -> dict[str, Any]:
    return {
        "metric": "accuracy",
        "score": 0.9,
        "score_error": 0.01,
        "members": [{"number": 3, "weight": 0.75}, {"number": 8, "name": "8-pseudo", "weight": 0.25}],
        "submission": str(files.submission),
    }


def test_the_ensembles_own_file_is_recorded_with_what_the_ensemble_promised(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    write_json(files.ensemble, ensemble_of(files))
    finished = submit(here)
    (record,) = records(files)
    assert record["ensemble"]["members"] == ["3", "8-pseudo"]
    assert (record["ensemble"]["score"], record["ensemble"]["weights"]) == (0.9, [0.75, 0.25])
    assert "accuracy 0.90000 +- 0.01000 out of fold, trials 3, 8-pseudo" in record["message"]
    assert "out of fold it was 0.90000 +- 0.01000 (accuracy)" in finished.stdout


def test_another_file_is_not_taken_for_the_ensembles(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    """Neither one of another place, nor what a later search has put in the same place."""
    write_json(files.ensemble, ensemble_of(files))
    (here / "mine.csv").write_text("id,label\ns0,cat\ns1,owl\n")
    submit(here, "mine.csv")
    later = files.ensemble.stat().st_mtime_ns + 10**9
    os.utime(files.submission, ns=(later, later))
    submit(here)
    assert [record["ensemble"] for record in records(files)] == [None, None]
    write_json(files.ensemble, {"members": [], "submission": str(files.submission)})
    submit(here, "--again")
    assert records(files)[-1]["ensemble"] is None


def test_two_processes_do_not_hand_in_at_once(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    with lock_submissions(files):
        finished = submit(here)
    assert (finished.exit_code, kaggle.submissions) == (6, [])
    assert "another process submits for 'leaves'" in finished.stderr


@pytest.mark.slow
def test_a_search_at_work_keeps_the_study_and_the_record_stands_in_json(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    with lock_study(files):
        finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert finished.stdout.count("the submission stands in submissions.json alone") == 1
    assert attribute_of(files) is None
    assert submit(here).exit_code == 0
    assert attribute_of(files) == records(files)


EARLIER = SubmissionRecord(begun="2026-01-01T00:00:00", slug="leaves", content="aa", file="a.csv", message="first")
LATER = replace(EARLIER, begun="2026-01-02T00:00:00", content="bb", message="second")


def test_records_are_kept_the_oldest_first_and_one_for_each_beginning(tmp_path: Path) -> None:
    own = StudyFiles(tmp_path)
    assert read_records(own) == []
    save_record(own, LATER)
    save_record(own, EARLIER)
    scored = replace(LATER, status="complete", ref=7, public_score=0.5)
    save_record(own, scored)
    assert read_records(own) == [EARLIER, scored]
    delete_record(own, EARLIER)
    assert read_records(own) == [scored]


def test_records_of_a_later_version_are_read_and_what_is_no_list_of_them_is_refused(tmp_path: Path) -> None:
    own = StudyFiles(tmp_path)
    save_record(own, EARLIER)
    write_json(own.submissions, [{**records(own)[0], "unheard_of": 1}])
    assert read_records(own) == [EARLIER]
    for document in ([{"slug": "leaves"}], ["text"], 7):
        write_json(own.submissions, document)
        with pytest.raises(StorageError, match="is no list of submissions"):
            read_records(own)
