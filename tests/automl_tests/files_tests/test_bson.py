"""Files of BSON documents are read as written, and a damaged one is refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from automl.errors import DataError
from automl.files.containers.bson import open_bson, parse_document
from automl.files.containers.container import NoImagesError
from automl.files.containers.opening import open_container
from automl.files.containers.record_files import BrokenRecordError, Span
from tests.automl_tests.competitions.container_files import Int64, ObjectId, bson, document, jpeg

RED = jpeg(Image.new("RGB", (8, 8), "red"))
SAME_EACH_TIME = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def product(number: int, n_images: int) -> dict[str, object]:
    images = [{"picture": RED + bytes([number, place])} for place in range(n_images)]
    return {"_id": number, "category_id": Int64(1000010653), "imgs": images}


def test_the_images_of_a_document_are_addressed_by_its_id_and_their_number(tmp_path: Path) -> None:
    opened = open_bson(put(tmp_path / "train.bson", bson([product(7, 2), product(10, 1)])))
    assert (opened.keys, opened.is_named) == (("7/0", "7/1", "10/0"), True)
    assert opened.read("7/1") == RED + b"\7\1"
    assert opened.read_columns() == {"_id": ("7", "7", "10"), "category_id": ("1000010653",) * 3}
    with pytest.raises(DataError, match=r"train\.bson has no image 7/2"):
        opened.read("7/2")


def test_documents_without_distinct_ids_are_numbered(tmp_path: Path) -> None:
    opened = open_bson(put(tmp_path / "a.bson", bson([product(1, 1), product(1, 2)])))
    assert (opened.keys, opened.is_named) == (("row0/0", "row1/0", "row1/1"), False)


def test_object_ids_and_dates_are_fields_as_text(tmp_path: Path) -> None:
    fields = {"_id": ObjectId(bytes(range(12))), "ok": True, "share": 0.5, "none": None, "name": "caf\u00e9", "p": RED}
    opened = open_bson(put(tmp_path / "a.bson", bson([fields])))
    assert opened.keys == ("000102030405060708090a0b/0",)
    assert opened.read_columns()["name"] == ("caf\u00e9",)
    assert opened.read_columns()["ok"] == ("True",)


def test_documents_of_other_things_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no encoded image"):
        open_bson(put(tmp_path / "a.bson", bson([{"_id": 1, "name": "x"}])))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00junk train.bson", "does not fit"),
        (bson([product(1, 1)])[:-9], "does not fit"),
        (bson([product(1, 1)]) + b"\5\0", "record 1, counted from 0: it is cut"),
        (struct.pack("<i", 8) + b"\x44a\0\0", "no type 0x44"),
        (struct.pack("<i", 9) + b"\x02aaa\0", "does not end"),
        (document({"a": "b"}).replace(b"\2\0\0\0", b"\x7f\0\0\0"), "do not fit"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        open_container(put(tmp_path / "bad.bson", content))
    assert "bad.bson" in caught.value.problem and "\n" not in caught.value.problem


def test_documents_that_are_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    fields: dict[str, object] = {"picture": RED}
    for _ in range(60):
        fields = {"a": fields}
    with pytest.raises(DataError, match="nested too deeply"):
        open_container(put(tmp_path / "a.bson", bson([fields])))


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
leaves = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.binary(max_size=12),
)
contents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


@settings(SAME_EACH_TIME)
@given(st.dictionaries(names, contents, max_size=4))
def test_every_document_is_parsed_as_it_was_written(fields: dict[str, object]) -> None:
    content = document(fields)
    assert _plain(content, parse_document(content, Span(0, len(content)))) == fields


def _plain(content: bytes, value: object) -> object:
    if isinstance(value, list):
        return [_plain(content, each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(content, each) for name, each in value.items()}
    return content[value.start : value.end] if isinstance(value, Span) else value


@settings(SAME_EACH_TIME)
@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(bson([product(number, 1) for number in (1, 2)]))
    places = [place for place in range(len(content)) if not 60 < place < 60 + len(RED) - 30]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    path = put(tmp_path / "a.bson", bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        opened = open_bson(path)
    except (DataError, NoImagesError):
        return
    assert all(isinstance(opened.read(key), bytes) for key in opened.keys)
    assert all(len(column) == len(opened.keys) for column in opened.read_columns().values())


@settings(SAME_EACH_TIME)
@given(st.binary(max_size=60))
def test_whatever_bytes_a_document_holds_it_is_parsed_or_refused(body: bytes) -> None:
    content = struct.pack("<i", len(body) + 5) + body + b"\0"
    try:
        parse_document(content, Span(0, len(content)))
    except BrokenRecordError as error:
        assert str(error)
