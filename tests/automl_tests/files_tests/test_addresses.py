"""An image's address leads to a file, a member, a row or a file for each colour; what is on the disk goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.addresses import (
    ArchiveMember,
    ColourFiles,
    DiskFile,
    PixelRow,
    expand_colours,
    list_source_files,
    read_bytes,
    resolve_address,
)
from tests.automl_tests.small_competitions import put_zip


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_each_kind_of_address_leads_to_its_place_and_its_files(tmp_path: Path) -> None:
    table = put(tmp_path / "train.csv")
    archive = put_zip(
        tmp_path / "t.ZIP", {"train/0.jpg": b"0", "p.csv": b"1", "c/x_red.png": b"", "c/x_green.png": b""}
    )
    put(tmp_path / "train" / "0.jpg")
    parts = {colour: tmp_path / f"x_{colour}.png" for colour in ("red", "green", "blue")}
    expected = {
        "train/0.jpg": (DiskFile(tmp_path / "train/0.jpg"), [tmp_path / "train/0.jpg"]),
        "t.ZIP/train/0.jpg": (ArchiveMember(archive, "train/0.jpg"), [archive]),
        "train.csv/17": (PixelRow(table, 17), [table]),
        "t.ZIP/p.csv/0": (PixelRow(archive / "p.csv", 0), [archive]),
        "x_{red,green,blue}.png": (ColourFiles(parts), list(parts.values())),
        "t.ZIP": (DiskFile(archive), [archive]),
    }
    for name, (place, files) in expected.items():
        assert resolve_address(tmp_path / name) == place, name
        assert list_source_files(tmp_path / name) == tuple(files), name


def test_colours_may_lie_in_an_archive_in_any_order(tmp_path: Path) -> None:
    colours = ("green", "yellow", "red", "blue")
    archive = put_zip(tmp_path / "t.zip", {f"train/x_{colour}.png": colour.encode() for colour in colours})
    place = resolve_address(tmp_path / "t.zip/train/x_{green,yellow,red,blue}.png")
    assert isinstance(place, ColourFiles)
    assert {colour: read_bytes(part) for colour, part in place.parts.items()} == {c: c.encode() for c in colours}
    assert list_source_files(tmp_path / "t.zip/train/x_{green,yellow,red,blue}.png") == (archive,)


@pytest.mark.parametrize("name", ["x_{red,green,blue}.png", "train.csv/17", "train.zip/0.jpg"])
def test_a_file_or_folder_of_that_very_name_goes_before_what_may_be_read_into_it(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, b"itself")
    put(tmp_path / "x_red.png")
    assert resolve_address(tmp_path / name) == DiskFile(tmp_path / name)
    assert list_source_files(tmp_path / name) == (tmp_path / name,)
    assert read_bytes(tmp_path / name) == b"itself"


@pytest.mark.parametrize(
    "name", ["x_{red,green}.png", "x_{red,green,pink}.png", "{red,green,blue}_{red,green,blue}.png"]
)
def test_other_braces_are_letters_of_a_name(tmp_path: Path, name: str) -> None:
    assert resolve_address(tmp_path / name) == DiskFile(tmp_path / name)
    assert expand_colours(name) == (name,)


@pytest.mark.parametrize(
    "name", ["notes.txt/0.jpg", "train.csv/-1", "train.csv/x", "train.csv/1/2", "train.csv/\u0663"]
)
def test_below_another_file_there_is_nothing(tmp_path: Path, name: str) -> None:
    put(tmp_path / "notes.txt")
    put(tmp_path / "train.csv")
    assert resolve_address(tmp_path / name) == DiskFile(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        read_bytes(tmp_path / name)


def test_the_names_behind_an_address_by_colour_are_listed() -> None:
    names = ("train/x_red.png", "train/x_green.png", "train/x_blue.png", "train/x_yellow.png")
    assert expand_colours("train/x_{red,green,blue,yellow}.png") == names
    assert expand_colours("train/x.png") == ("train/x.png",)


def test_bytes_come_from_files_and_members_alone(tmp_path: Path) -> None:
    put_zip(tmp_path / "t.zip", {"0.jpg": b"member"})
    put(tmp_path / "train.csv")
    assert read_bytes(put(tmp_path / "a.jpg", b"file"), at_most=2) == b"fi"
    assert read_bytes(tmp_path / "t.zip/0.jpg", at_most=3) == b"mem"
    with pytest.raises(DataError, match=r"train\.csv/0 is no single file"):
        read_bytes(tmp_path / "train.csv/0")
    with pytest.raises(DataError, match=r"missing\.jpg cannot be read: No such file"):
        read_bytes(tmp_path / "missing.jpg")
    with pytest.raises(DataError, match=r"t\.zip has no member 1\.jpg"):
        read_bytes(tmp_path / "t.zip/1.jpg")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg is neither a file nor a folder"):
        read_bytes(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("name", ["a\0.jpg", "x" * 300, "loop/0.jpg"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert list_source_files(tmp_path / name) == (tmp_path / name,)
    with pytest.raises(DataError, match="cannot be read: ") as caught:
        read_bytes(tmp_path / name)
    assert caught.value.problem.isprintable()
