"""`automl submit` against a server that speaks the client's protocol."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from tests.automl_tests.kaggle_tests.commands import attribute_of, records, submit
from tests.automl_tests.kaggle_tests.platform import TOKEN, Platform

PENDING = {"status": "PENDING"}
SCORED = {"status": "COMPLETE", "publicScore": "0.91234", "privateScore": "0.90001"}
FORMAT_ERROR = "ERROR: Unexpected Column:  'NotAnId' (Line 1, Column 1)"


def test_a_submission_is_handed_in_waited_for_and_recorded_with_both_scores(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    kaggle.outcomes = [PENDING, PENDING, SCORED]
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert "competition: leaves, from the folder's name" in finished.stdout
    assert "submissions: 4 left today" in finished.stdout
    assert "public score 0.91234 (submission 101 to leaves)" in finished.stdout
    assert "private score 0.90001" in finished.stdout
    assert kaggle.uploads == [files.submission.read_bytes()]
    assert kaggle.authorizations == {f"Bearer {TOKEN}"} or kaggle.authorizations == {None, f"Bearer {TOKEN}"}
    (record,) = records(files)
    assert (record["ref"], record["status"], record["slug"]) == (101, "complete", "leaves")
    assert (record["public_score"], record["private_score"], record["error"]) == (0.91234, 0.90001, None)
    assert attribute_of(files) == [record]
    assert TOKEN not in files.submissions.read_text()


@pytest.mark.slow
def test_the_message_says_what_the_file_is_or_what_the_user_says(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    submit(here)
    submit(here, "--again", "--message", "my best")
    digest = hashlib.sha256(files.submission.read_bytes()).hexdigest()
    messages = [each["description"] for each in kaggle.submissions[::-1]]
    assert messages == [f"automl: submission.csv {digest[:8]}", "my best"]


def test_a_file_that_would_be_refused_is_not_sent(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    files.submission.write_text("id,label\ns0,dog\ns1,horse\n")
    finished = submit(here)
    assert finished.exit_code == 3
    assert "would be refused, so nothing was submitted" in finished.stderr
    assert "horse" in finished.stderr
    assert kaggle.calls == []
    assert not files.submissions.exists()


def test_a_remark_is_shown_and_the_file_sent(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    files.submission.write_text("id,label\ns0,dog\ns1,dog\n")
    finished = submit(here)
    assert "remark: " in finished.stdout
    assert finished.exit_code == 0


def test_a_missing_file_is_named(kaggle: Platform, here: Path) -> None:
    finished = submit(here, "gone.csv")
    assert (finished.exit_code, kaggle.calls) == (5, [])
    assert "gone.csv cannot be read" in finished.stderr


def test_a_definite_refusal_leaves_no_record(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.failures["CreateSubmission"] = [(400, "Bad Request")]
    submit(here)
    assert records(files) == []


def test_nothing_is_sent_when_nothing_is_left_today(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.limits = {"numToday": 5, "numTotal": 12, "numAllowedNow": 0, "limitedByTotal": False}
    finished = submit(here)
    assert finished.exit_code == 7
    assert "takes no more submissions today: 5 made" in finished.stderr
    assert "StartSubmissionUpload" not in kaggle.calls
    assert not files.submissions.exists()


def test_nothing_is_sent_when_nothing_is_left_in_all(kaggle: Platform, here: Path) -> None:
    kaggle.limits = {"numToday": 0, "numTotal": 12, "numAllowedNow": 0, "limitedByTotal": True}
    finished = submit(here)
    assert (finished.exit_code, kaggle.uploads) == (7, [])
    assert "takes no more submissions in all" in finished.stderr


@pytest.mark.parametrize("tells", [False, True])
def test_who_does_not_learn_what_is_left_may_try(kaggle: Platform, here: Path, tells: bool) -> None:
    """All numbers are zero for who has not joined yet; and the question may fail by itself."""
    if tells:
        kaggle.limits = {"numToday": 0, "numTotal": 0, "numAllowedNow": 0, "limitedByTotal": False}
    else:
        kaggle.failures["GetSubmissionLimits"] = [(500, "Internal")]
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert "left today" not in finished.stdout


def test_an_upload_that_fails_without_raising_is_a_failure(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.put_status = 400
    finished = submit(here)
    assert finished.exit_code == 7
    assert "the upload of submission.csv failed: nothing was submitted" in finished.stderr
    assert kaggle.submissions == []
    kaggle.put_status = 201
    assert submit(here).exit_code == 0
    assert [record["status"] for record in records(files)] == ["complete"]


def test_what_the_platform_says_of_a_file_that_it_cannot_score_is_said_and_recorded(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    kaggle.outcomes = [PENDING, {"status": "ERROR", "errorDescription": FORMAT_ERROR}]
    finished = submit(here)
    assert finished.exit_code == 3
    assert f"could not score submission 101: {' '.join(FORMAT_ERROR.split())}" in finished.stderr
    (record,) = records(files)
    assert (record["status"], record["public_score"]) == ("error", None)
    assert "NotAnId" in record["error"]
    assert attribute_of(files) == [record]
    assert submit(here).exit_code == 3
    assert len(kaggle.submissions) == 1
    kaggle.outcomes = [SCORED]
    assert submit(here, "--again").exit_code == 0


def test_slow_scoring_ends_with_the_number_to_ask_for_later(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.outcomes = [PENDING]
    finished = submit(here, "--timeout", "0.1")
    assert finished.exit_code == 7
    assert "submission 101 is not scored after 0 s" in finished.stderr
    assert "automl submit --wait-for 101" in finished.stderr
    assert records(files)[0]["status"] == "pending"
    kaggle.outcomes = [SCORED]
    finished = submit(here, "--wait-for", "101")
    assert (finished.exit_code, len(kaggle.submissions)) == (0, 1)
    assert [record["public_score"] for record in records(files)] == [0.91234]


def test_an_interrupted_wait_goes_on_with_the_same_command_and_sends_nothing_twice(
    kaggle: Platform, here: Path, files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    kaggle.outcomes = [PENDING]
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupt)
        finished = submit(here)
    assert finished.exit_code == 130
    assert "automl submit --wait-for 101 asks again" in finished.stdout
    kaggle.outcomes = [SCORED]
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert "was submitted before" in finished.stdout
    assert "public score 0.91234" in finished.stdout
    assert (len(kaggle.uploads), len(kaggle.submissions)) == (1, 1)
    assert [record["status"] for record in records(files)] == ["complete"]


@pytest.mark.slow
def test_again_hands_the_same_file_in_twice(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    submit(here)
    submit(here, "--again")
    assert [record["ref"] for record in records(files)] == [101, 102]


def test_a_submission_whose_answer_was_lost_is_found_again_by_its_message(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    kaggle.lost_answers = {"CreateSubmission"}
    assert submit(here).exit_code == 7
    assert [(record["status"], record["ref"]) for record in records(files)] == [("sending", None)]
    kaggle.lost_answers = set()
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert len(kaggle.submissions) == 1
    assert [(record["status"], record["ref"]) for record in records(files)] == [("complete", 101)]


def test_a_submission_that_never_arrived_is_sent_again(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    """Another one of the same message, but long ago, is not taken for it."""
    kaggle.failures["CreateSubmission"] = [(503, "Unavailable")]
    submit(here, "--message", "best")
    old = {"ref": 7, "description": "best", "status": "COMPLETE", "date": "2020-01-01T00:00:00.000Z"}
    kaggle.submissions.append(old)
    kaggle.failures.clear()
    assert submit(here, "--message", "best").exit_code == 0
    assert [record["ref"] for record in records(files)] == [102]


@pytest.mark.slow
def test_trouble_that_passes_does_not_end_the_waiting(kaggle: Platform, here: Path) -> None:
    """Neither does a number that is not known at once."""
    for status in (404, 429, 503):
        kaggle.failures["GetSubmission"] = [(status, "wait")] * 3
        kaggle.outcomes = [SCORED]
        troubles_now = kaggle.failures["GetSubmission"]

        def give_in(troubles: list[tuple[int, str]] = troubles_now) -> None:
            if len(troubles) == 1:
                kaggle.failures.clear()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "sleep", lambda _, give_in=give_in: give_in())
            finished = submit(here, "--again")
        assert finished.exit_code == 0, (status, finished.stderr)
        assert finished.stdout.count("; asking again") == 1
        assert kaggle.calls.count("GetSubmission") == 3  # without the client's own patience on top
        kaggle.calls.clear()


def test_a_number_that_nobody_handed_in_here_is_recorded_or_not_found(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    assert submit(here, "--wait-for", "555").exit_code == 0
    assert [(record["ref"], record["public_score"]) for record in records(files)] == [(555, 0.91234)]
    kaggle.failures["GetSubmission"] = [(404, "Not found")]
    assert submit(here, "--wait-for", "556").exit_code == 2
    assert len(records(files)) == 1


@pytest.mark.slow
def test_a_submission_whose_number_is_not_told_is_found_by_its_message(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    kaggle.tells_ref = False
    assert submit(here).exit_code == 0
    assert [(record["status"], record["ref"]) for record in records(files)] == [("complete", 101)]


def test_an_answer_that_cannot_be_read_may_be_that_of_a_submission(
    kaggle: Platform, here: Path, files: StudyFiles, client_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_anyhow = client_module.KaggleApi.competition_submit

    def submit_unclearly(*args: Any, **kwargs: Any) -> None:
        submit_anyhow(*args, **kwargs)
        raise KeyError("message")

    with monkeypatch.context() as patch:
        patch.setattr(client_module.KaggleApi, "competition_submit", submit_unclearly)
        assert submit(here).exit_code == 7
    assert submit(here).exit_code == 0
    assert len(kaggle.submissions) == 1
    assert [(record["status"], record["ref"]) for record in records(files)] == [("complete", 101)]


def test_a_repetition_that_never_arrived_does_not_hide_the_submission_before_it(kaggle: Platform, here: Path) -> None:
    submit(here)
    kaggle.failures["CreateSubmission"] = [(503, "Unavailable")]
    assert submit(here, "--again", "--message", "once more").exit_code == 7
    kaggle.failures.clear()
    assert "was submitted before" in submit(here).stdout
    assert len(kaggle.submissions) == 1


def test_who_does_not_wait_is_told_how_to_ask(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    finished = submit(here, "--no-wait")
    assert "automl submit --wait-for 101 asks for its score" in finished.stdout
    assert "GetSubmission" not in kaggle.calls
    assert attribute_of(files) == records(files)
    submit(here)
    assert "public score 0.91234" in submit(here, "--no-wait").stdout


def test_a_study_that_is_not_there_is_named(kaggle: Platform, here: Path) -> None:
    finished = submit(here, "--study", "trees")
    assert (finished.exit_code, kaggle.calls) == (2, [])
    assert "there is no study in" in finished.stderr


def test_a_notebook_of_a_code_competition_is_handed_in_by_its_version(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    notebook = ("--kernel", "me/my-kit", "--version", "3")
    assert submit(here, *notebook).exit_code == 0
    request = kaggle.requests[kaggle.calls.index("CreateCodeSubmission")]
    assert (request["kernelOwner"], request["kernelSlug"], request["kernelVersion"]) == ("me", "my-kit", 3)
    assert (request["fileName"], kaggle.uploads) == ("submission.csv", [])
    assert records(files)[0]["content"] == "me/my-kit version 3"
    submit(here, *notebook)
    assert len(kaggle.submissions) == 1


@pytest.mark.parametrize(
    "arguments",
    [("--kernel", "me/kit"), ("--version", "3"), ("--kernel", "kit", "--version", "3"), ("--competition", "a b")],
)
def test_what_does_not_fit_is_refused_before_anything_is_asked(
    kaggle: Platform, here: Path, arguments: tuple[str, ...]
) -> None:
    assert submit(here, *arguments).exit_code == 2
    assert kaggle.calls == []
