"""`automl download` against a server that speaks the client's protocol."""

from __future__ import annotations

import io
import json
import random
import shutil
import stat
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from automl.kaggle import downloading
from tests.automl_tests.kaggle_tests.commands import CONTENT, download, zipped
from tests.automl_tests.kaggle_tests.platform import ETAG, Platform
from tests.conftest import automl_here

HIDDEN = ".automl-download"


def files_below(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and HIDDEN not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_competition_is_fetched_and_unpacked_and_the_next_command_shown(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "next: cd leaves; automl inspect"
    assert files_below(tmp_path / "leaves") == CONTENT
    assert not list((tmp_path / "leaves").rglob("leaves.zip*"))


def test_the_same_command_again_fetches_nothing(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    download(tmp_path, "leaves", "--into", "some where")
    n_calls = len(kaggle.calls)
    finished = download(tmp_path, "leaves", "--into", "some where")
    assert finished.exit_code == 0
    assert "3 files; nothing was fetched" in finished.stdout
    assert "next: cd 'some where'; automl inspect" in finished.stdout
    assert len(kaggle.calls) == n_calls


@pytest.mark.parametrize("other", ["something else", "another competition", "a file"])
def test_a_folder_that_holds_something_else_is_left_alone(kaggle: Platform, tmp_path: Path, other: str) -> None:
    kaggle.bundle = zipped(CONTENT)
    if other == "a file":
        (tmp_path / "leaves").write_text("mine")
    elif other == "something else":
        (tmp_path / "leaves").mkdir()
        (tmp_path / "leaves" / "mine.txt").write_text("mine")
    else:
        download(tmp_path, "trees", "--into", "leaves")
    before = files_below(tmp_path)
    n_calls = len(kaggle.calls)
    assert download(tmp_path, "leaves").exit_code == 2
    assert (files_below(tmp_path), len(kaggle.calls)) == (before, n_calls)


def test_an_empty_folder_may_be_filled(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    (tmp_path / "leaves").mkdir()
    assert download(tmp_path, "leaves").exit_code == 0


def begun(tmp_path: Path, kaggle: Platform, n_bytes: int) -> Path:
    """What an interrupted download leaves: the first bytes and the client's own note of what they are of."""
    parts = tmp_path / "leaves" / HIDDEN
    parts.mkdir(parents=True)
    (parts / "download.json").write_text('{"slug": "leaves"}')
    (parts / "leaves.zip").write_bytes(kaggle.bundle[:n_bytes])
    marker = {"validator": ETAG, "size": len(kaggle.bundle)}
    (parts / "leaves.zip.kaggle-partial").write_text(json.dumps(marker))
    return parts


def test_an_interrupted_download_goes_on_where_it_stopped(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    begun(tmp_path, kaggle, 100)
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 0, finished.stderr
    assert "of it still to come" in finished.stdout
    assert kaggle.ranges[-1] == "bytes=100-"
    assert files_below(tmp_path / "leaves") == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(kaggle: Platform, tmp_path: Path) -> None:
    content = {"noise": random.Random(0).randbytes(1_500_000)}
    kaggle.bundle, kaggle.cut_at = zipped(content), 1_200_000
    assert download(tmp_path, "leaves").exit_code == 0
    assert kaggle.ranges == [None, "bytes=1048576-"]  # the client writes whole mebibytes
    assert files_below(tmp_path / "leaves") == content


def test_a_transfer_whose_address_expires_is_finished_by_the_same_command(kaggle: Platform, tmp_path: Path) -> None:
    """The address of the bytes is signed for a while: its refusal does not mean that the rules were not accepted."""
    content = {"noise": random.Random(0).randbytes(1_500_000)}
    kaggle.bundle, kaggle.cut_at, kaggle.expires = zipped(content), 1_200_000, True
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 7
    assert "the transfer of leaves.zip broke off" in finished.stderr
    assert download(tmp_path, "leaves").exit_code == 0
    assert files_below(tmp_path / "leaves") == content


def test_an_interrupted_unpacking_is_done_again_without_another_transfer(
    kaggle: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.bundle = zipped(CONTENT)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloading._UnpackingProgress, "__call__", interrupt)
        assert automl_here(tmp_path, "download", "leaves").exit_code == 130
    assert (tmp_path / "leaves" / HIDDEN / "leaves.zip").exists()
    kaggle.ranges.clear()
    kaggle.cut_at = 0  # whoever asks for the bytes again gets none
    assert download(tmp_path, "leaves").exit_code == 0
    assert files_below(tmp_path / "leaves") == CONTENT


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/automl-evil.txt", "a/../../evil.txt", "..\\evil.txt", "train/../../../evil.txt"]
)
def test_a_bundle_that_would_write_outside_the_folder_writes_nothing(
    kaggle: Platform, tmp_path: Path, name: str
) -> None:
    kaggle.bundle = zipped({"train.csv": b"id\n", name: b"evil"})
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 3
    assert "leads out of it" in finished.stderr
    assert files_below(tmp_path) == {}
    assert not Path("/tmp/automl-evil.txt").exists()


def test_a_link_in_a_bundle_is_left_out(kaggle: Platform, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("secret")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("train.csv", "id\n")
    kaggle.bundle = file.getvalue()
    assert download(tmp_path, "leaves").exit_code == 0
    assert files_below(tmp_path / "leaves") == {"train.csv": b"id\n"}


@pytest.mark.parametrize("damage", ["cut", "a page", "bytes"])
def test_a_damaged_bundle_is_refused_and_fetched_anew(kaggle: Platform, tmp_path: Path, damage: str) -> None:
    whole = zipped(CONTENT)
    in_the_middle = whole[:60] + bytes(20) + whole[80:]
    kaggle.bundle = {"cut": whole[:-200], "a page": b"<html>sorry</html>", "bytes": in_the_middle}[damage]
    assert download(tmp_path, "leaves").exit_code == 3
    kaggle.bundle = whole
    assert download(tmp_path, "leaves").exit_code == 0
    assert files_below(tmp_path / "leaves") == CONTENT


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("place", ["packed", "unpacked"])
def test_what_would_fill_the_disk_is_refused_beforehand(
    kaggle: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    content = {"zeros": bytes(4_000_000)}
    kaggle.bundle = zipped(content)
    needed = len(kaggle.bundle) if place == "packed" else 2_000_000
    free = downloading.SPARE_BYTES + needed
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=free, used=0, free=free))
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 5
    assert "are free" in finished.stderr
    assert files_below(tmp_path) == {}
    assert (tmp_path / "leaves" / HIDDEN / "leaves.zip").exists() == (place == "unpacked")


@pytest.mark.parametrize(
    ("status", "message", "exit_code", "expected"),
    [
        (403, "You must accept this competition's rules before you'll be able to download files.", 7, "leaves/rules"),
        (404, "Not found", 2, "check the name"),
        (401, "Unauthorized", 7, "https://www.kaggle.com/settings/api"),
        (429, "Too many requests", 7, "wait some minutes"),
        (500, "Internal error", 7, "later"),
    ],
)
def test_a_refusal_is_one_line_and_a_hint_and_leaves_no_folder(
    kaggle: Platform, tmp_path: Path, status: int, message: str, exit_code: int, expected: str
) -> None:
    kaggle.failures["DownloadDataFiles"] = [(status, message)]
    finished = download(tmp_path, "leaves")
    assert (finished.exit_code, expected in finished.stderr) == (exit_code, True), finished.stderr
    assert not (tmp_path / "leaves").exists()


def test_who_has_no_credentials_gets_no_folder(signed_out: Platform, tmp_path: Path) -> None:
    finished = download(tmp_path, "leaves")
    assert finished.exit_code == 7
    assert "there are no credentials for Kaggle" in finished.stderr
    assert not (tmp_path / "leaves").exists()


def test_no_network_leaves_no_folder(kaggle: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglesdk import kaggle_env  # type: ignore[import-not-found, unused-ignore]

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:1")
    finished = download(tmp_path, "leaves")
    assert (finished.exit_code, (tmp_path / "leaves").exists()) == (7, False)
    assert "Kaggle cannot be reached" in finished.stderr


def test_two_downloads_into_one_folder_do_not_mix(kaggle: Platform, tmp_path: Path) -> None:
    kaggle.bundle = zipped(CONTENT)
    with downloading._lock_folder(tmp_path / "leaves", "leaves"):
        finished = download(tmp_path, "leaves")
    assert finished.exit_code == 6
    assert "another process fetches into leaves" in finished.stderr
