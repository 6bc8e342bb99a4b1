"""`automl submit` against a server that speaks the client's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from automl.artifacts import StudyFiles, write_json
from automl.kaggle.records import handing_in
from automl.study.lock import locked
from tests.automl_tests.kaggle_tests.conftest import attribute_of
from tests.automl_tests.kaggle_tests.platform import SIGNATURE, TOKEN, Platform
from tests.conftest import automl_here

PENDING = {"status": "PENDING"}
SCORED = {"status": "COMPLETE", "publicScore": "0.91234", "privateScore": "0.90001"}
FORMAT_ERROR = "ERROR: Unexpected Column:  'NotAnId' (Line 1, Column 1)"


def submit(here: Path, *arguments: str) -> Result:
    finished = automl_here(here, "submit", *arguments)
    assert "Traceback" not in finished.output
    assert TOKEN not in finished.output
    assert SIGNATURE not in finished.output
    if finished.exit_code not in (0, 130):
        assert finished.stderr.startswith("Error: ")
        assert len(finished.stderr.splitlines()) == 2, finished.stderr
        assert finished.exit_code != 1
    return finished


def records(files: StudyFiles) -> list[dict[str, Any]]:
    return list(json.loads(files.submissions.read_text()))


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


def test_the_message_says_what_the_file_is_or_what_the_user_says(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    submit(here)
    submit(here, "--again", "--message", "my best")
    digest = hashlib.sha256(files.submission.read_bytes()).hexdigest()
    messages = [each["description"] for each in kaggle.submissions[::-1]]
    assert messages == [f"automl: submission.csv {digest[:8]}", "my best"]


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


def test_a_file_that_would_be_refused_is_not_sent(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    files.submission.write_text("id,label\ns0,dog\ns1,horse\n")
    finished = submit(here)
    assert finished.exit_code == 3
    assert "would be refused, so nothing was handed in" in finished.stderr
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


@pytest.mark.parametrize("method", ["StartSubmissionUpload", "CreateSubmission"])
@pytest.mark.parametrize(
    ("status", "message", "exit_code", "said"),
    [
        (400, "Submission not allowed: your team has used its Submission allowance (5 of 5).", 7, "midnight UTC"),
        (400, "This competition only accepts Submissions from Notebooks.", 2, "automl kit"),
        (400, "Bad Request", 2, "joined the competition"),
        (401, "Unauthorized", 7, "does not accept the credentials of KAGGLE_API_TOKEN"),
        (403, "You cannot submit until you accept the competition rules", 7, "competitions/leaves/rules"),
        (404, "Not found", 2, "check the name at https://www.kaggle.com/competitions/leaves"),
        (429, "Too many requests", 7, "wait some minutes"),
        (500, "Internal error", 7, "trouble at this moment (500)"),
    ],
)
def test_a_refusal_is_one_line_and_a_hint(
    kaggle: Platform, here: Path, method: str, status: int, message: str, exit_code: int, said: str
) -> None:
    kaggle.failures[method] = [(status, f"{message} {TOKEN} https://storage.example/x?{SIGNATURE}")]
    finished = submit(here)
    assert (finished.exit_code, said in finished.stderr) == (exit_code, True), finished.stderr
    assert kaggle.submissions == []


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
    assert "the upload of submission.csv failed: nothing was handed in" in finished.stderr
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
    assert "was handed in before" in finished.stdout
    assert "public score 0.91234" in finished.stdout
    assert (len(kaggle.uploads), len(kaggle.submissions)) == (1, 1)
    assert [record["status"] for record in records(files)] == ["complete"]


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
    assert "was handed in before" in submit(here).stdout
    assert len(kaggle.submissions) == 1


def test_two_processes_do_not_hand_in_at_once(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    with handing_in(files):
        finished = submit(here)
    assert (finished.exit_code, kaggle.submissions) == (6, [])
    assert "another process hands in a submission of 'leaves'" in finished.stderr


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


def test_a_search_at_work_keeps_the_study_and_the_record_stands_in_json(
    kaggle: Platform, here: Path, files: StudyFiles
) -> None:
    with locked(files):
        finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert finished.stdout.count("the submission stands in submissions.json alone") == 1
    assert attribute_of(files) is None
    assert submit(here).exit_code == 0
    assert attribute_of(files) == records(files)


def test_a_score_that_is_no_number_is_none(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.outcomes = [{"status": "COMPLETE", "publicScore": "NaN", "privateScore": ""}]
    finished = submit(here)
    assert "public score is not published" in finished.stdout
    assert records(files)[0]["public_score"] is None


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


def test_the_competition_is_asked_for_or_known_or_its_folders_name(kaggle: Platform, here: Path) -> None:
    submit(here, "--competition", "https://www.kaggle.com/competitions/dogs-vs-cats/overview")
    assert kaggle.requests[-2]["competitionName"] == "dogs-vs-cats"
    (here / "automl.toml").write_text('competition = "cifar-10"\n')
    finished = submit(here)
    assert "competition: cifar-10, as asked" in finished.stdout


def test_who_has_no_credentials_learns_where_they_were_looked_for(signed_out: Platform, here: Path) -> None:
    finished = submit(here)
    assert finished.exit_code == 7
    for place in ("KAGGLE_API_TOKEN", "~/.kaggle/access_token", "KAGGLE_KEY", "kaggle.json", "kaggle auth login"):
        assert place in finished.stderr
    assert "https://www.kaggle.com/settings/api" in finished.stderr
    assert finished.stdout.splitlines() == ["competition: leaves, from the folder's name; --competition names another"]


def test_a_token_that_kaggle_does_not_know_is_not_called_missing(
    signed_out: Platform, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_old")
    finished = submit(here)
    assert finished.exit_code == 7
    assert "Kaggle does not accept the credentials of KAGGLE_API_TOKEN" in finished.stderr
    assert "KGAT_old" not in finished.output


def test_legacy_credentials_do(signed_out: Platform, here: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text('{"username": "me", "key": "0123"}')
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert "0123" not in finished.output
    assert "IntrospectToken" not in signed_out.calls


def test_no_network_is_one_line(
    kaggle: Platform, here: Path, files: StudyFiles, client_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglesdk import kaggle_env  # type: ignore[import-not-found, unused-ignore]

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:1")
    finished = submit(here)
    assert finished.exit_code == 7
    assert "Kaggle cannot be reached (ConnectionError)" in finished.stderr
    assert not files.submissions.exists()


def test_without_the_client_it_says_what_to_install(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_client(monkeypatch)
    monkeypatch.setitem(sys.modules, "kaggle", None)
    for command in (["submit"], ["download", "trees"]):
        finished = automl_here(here, *command)
        assert finished.exit_code == 7
        assert finished.stderr == "Error: Kaggle's client is not installed\n  hint: pip install 'automl[kaggle]'\n"
    assert not (here / "trees").exists()


def test_a_client_that_is_not_whole_says_what_it_lacks(
    kaggle: Platform, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget_client(monkeypatch)
    monkeypatch.setitem(sys.modules, "slugify", None)
    finished = submit(here)
    assert finished.exit_code == 7
    assert finished.stderr == "Error: Kaggle's client lacks the package slugify\n  hint: pip install slugify\n"


def _forget_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
