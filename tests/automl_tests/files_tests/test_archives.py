"""Members of archives are read as they were packed, or refused with the names of archive and member."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files import archives
from automl.files.archives import open_archive
from tests.automl_tests.small_competitions import put_zip


def test_members_come_out_as_they_went_in_and_litter_is_not_among_them(tmp_path: Path) -> None:
    litter = ["__MACOSX/train/._0.jpg", "train/.DS_Store", "train/Thumbs.db", "desktop.ini", "empty/"]
    path = put_zip(
        tmp_path / "a.zip", {"train/0.jpg": b"0" * 999, "./train/1.jpg": b"1", **dict.fromkeys(litter, b"x")}
    )
    archive = open_archive(path)
    assert archive.names == ("train/0.jpg", "train/1.jpg")
    assert archive.read("train/0.jpg") == b"0" * 999
    assert archive.read("train/0.jpg", at_most=3) == b"000"
    assert archive.read("train/1.jpg") == b"1"
    assert "train/1.jpg" in archive and "train/.DS_Store" not in archive


def test_an_archive_is_opened_once_until_it_changes(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": b"old"})
    first = open_archive(path)
    assert open_archive(path) is first
    put_zip(path, {"0.jpg": b"newer", "1.jpg": b""})
    assert open_archive(path) is not first
    assert open_archive(path).read("0.jpg") == b"newer"


def test_many_threads_read_one_archive(tmp_path: Path) -> None:
    members = {f"{number}.bin": bytes([number]) * 50_000 for number in range(40)}
    path = put_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_STORED)
    wrong: list[str] = []

    def read_all() -> None:
        wrong.extend(name for name, content in members.items() if open_archive(path).read(name) != content)

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_opens_the_archive_anew(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": b"x"})
    mine = open_archive(path)
    child = os.fork()
    if child == 0:
        os._exit(0 if open_archive(path) is not mine and open_archive(path).read("0.jpg") == b"x" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("name", ["../0.jpg", "a/../../0.jpg", "/etc/passwd", "..\\0.jpg"])
def test_a_member_that_leads_out_of_the_archive_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": b"x", name: b"x"})
    with pytest.raises(DataError, match=r"a\.zip holds a member whose name leads out of it: "):
        open_archive(path)


def test_a_member_with_a_nul_in_its_name_is_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0_jpg": b"x"})
    path.write_bytes(path.read_bytes().replace(b"0_jpg", b"0\0jpg"))
    with pytest.raises(DataError, match=r"leads out of it: '0\\x00jpg'"):
        open_archive(path)


def test_names_are_read_as_utf_8_whether_the_archive_says_so_or_not(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"caf\u00e9.jpg": b"x"})
    content = path.read_bytes()
    unsaid = content.replace(struct.pack("<H", 0x800), struct.pack("<H", 0))
    assert unsaid != content
    assert open_archive(path).names == ("caf\u00e9.jpg",)
    path.write_bytes(unsaid)
    assert open_archive(path).names == ("caf\u00e9.jpg",)
    path.write_bytes(content.replace("\u00e9".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match="not UTF-8 text"):
        open_archive(path)


def with_flags(path: Path, flags: int) -> None:
    """Set the flags of the first member in its local header and in the directory."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 6, flags)
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 8, flags)
    path.write_bytes(bytes(content))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    with_flags(put_zip(tmp_path / "a.zip", {"0.jpg": b"x"}), 0x1)
    with pytest.raises(DataError, match=r"a\.zip: member 0\.jpg is encrypted") as caught:
        open_archive(tmp_path / "a.zip").read("0.jpg")
    assert caught.value.hint == "unpack a.zip beside it"


def test_another_compression_is_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": b"x" * 99}, compression=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match=r"member 0\.jpg is compressed by method 14, not by deflate"):
        open_archive(path).read("0.jpg")


def test_a_member_that_is_too_large_or_would_grow_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.bmp": bytes(1_000_000)})
    assert len(open_archive(path).read("0.bmp")) == 1_000_000
    monkeypatch.setattr(archives, "RATIO_MATTERS_BYTES", 999_999)
    with pytest.raises(DataError, match=r"member 0\.bmp would grow from \d+ to 1000000 bytes"):
        open_archive(path).read("0.bmp")
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 999_999)
    with pytest.raises(DataError, match=r"member 0\.bmp has 1000000 bytes, more than"):
        open_archive(path).read("0.bmp")


def test_a_member_that_holds_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.bmp": bytes(50_000_000)})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 50_000_000), struct.pack("<L", 1000)))
    with pytest.raises(DataError, match=r"a\.zip: member 0\.bmp is damaged"):
        open_archive(path).read("0.bmp")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": b"abcdefgh"}, compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgX"))
    with pytest.raises(DataError, match=r"a\.zip: member 0\.jpg is damaged \(BadZipFile: Bad CRC"):
        open_archive(path).read("0.jpg")


def test_a_member_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.zip has no member 1\.jpg"):
        open_archive(put_zip(tmp_path / "a.zip", {"0.jpg": b"x"})).read("1.jpg")


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x05\x06" + bytes(10)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip is no archive that can be read: "):
        open_archive(tmp_path / "a.zip")


def test_a_cut_archive_a_folder_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path / "a.zip", {"0.jpg": bytes(10_000)})
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "folder.zip").mkdir()
    os.mkfifo(tmp_path / "pipe.zip")
    for name in ("a.zip", "folder.zip", "pipe.zip", "missing.zip"):
        with pytest.raises(DataError, match=f"{name} is no archive that can be read: "):
            open_archive(tmp_path / name)
