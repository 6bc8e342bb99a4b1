"""TFRecord files are read as written, and a damaged one is refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from automl.errors import DataError
from automl.files.containers.container import NoImagesError
from automl.files.containers.opening import open_container
from automl.files.containers.record_files import BrokenRecordError, Span
from automl.files.containers.tfrecord import (
    compute_crc,
    compute_masked_crc,
    iterate_frames,
    open_tfrecord,
    parse_example,
)
from tests.automl_tests.competitions.container_files import example, frame, jpeg, tfrecord

RED = jpeg(Image.new("RGB", (8, 8), "red"))
SAME_EACH_TIME = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_images_are_addressed_by_their_id_and_have_their_fields_beside_them(tmp_path: Path) -> None:
    records = [{"image": RED + bytes([n]), "id": f"a{n}", "class": n, "share": 0.1, "tags": [1, 2]} for n in range(3)]
    opened = open_tfrecord(put(tmp_path / "train.tfrec", tfrecord(records)))
    assert (opened.keys, opened.is_named, opened.remarks) == (("a0", "a1", "a2"), True, ())
    assert opened.read("a1") == RED + b"\1"
    assert opened.read_columns() == {
        "id": ("a0", "a1", "a2"),
        "class": ("0", "1", "2"),
        "share": ("0.1",) * 3,
        "tags": ("1 2",) * 3,
    }
    with pytest.raises(DataError, match=r"train\.tfrec has no image a9"):
        opened.read("a9")


def test_records_without_distinct_ids_are_numbered(tmp_path: Path) -> None:
    records = [{"image_raw": RED, "id": "same", "label": n} for n in range(2)]
    opened = open_tfrecord(put(tmp_path / "a.tfrecord", tfrecord(records, packed=False)))
    assert (opened.keys, opened.is_named) == (("row0", "row1"), False)
    assert opened.read_columns()["label"] == ("0", "1")


def test_records_without_an_image_among_others_are_counted(tmp_path: Path) -> None:
    content = tfrecord([{"image": RED, "class": 1}, {"class": 2}])
    opened = open_tfrecord(put(tmp_path / "a.tfrec", content))
    assert opened.read_columns() == {"class": ("1",)}
    assert opened.remarks == ("1 records without an image",)


def test_records_of_other_things_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no encoded image"):
        open_tfrecord(put(tmp_path / "a.tfrec", tfrecord([{"text": "abc"}])))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"\x1f\x8b" + b"x" * 40, "compressed by gzip"),
        (b"\x00junk of some length", "checksum of its length at byte 0"),
        (frame(example({"image": RED}))[:-6], "is cut"),
        (frame(example({"image": RED})) + b"1234", "record 1, counted from 0: it is cut"),
        (frame(b"\xff" * 12), "does not end"),
        (frame(b"\x0a\x7f"), "does not fit"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        open_container(put(tmp_path / "bad.tfrec", content))
    assert "bad.tfrec" in caught.value.problem and "\n" not in caught.value.problem


def test_the_checksum_is_that_of_the_format() -> None:
    assert compute_crc(b"123456789") == 0xE3069283  # Source: RFC 3720, B.4 has the same polynomial
    assert struct.pack("<I", compute_masked_crc(struct.pack("<Q", 5))) == frame(b"12345")[8:12]


names = st.text(min_size=1, max_size=8)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=2, max_size=4),
    floats,
    st.lists(floats, min_size=2, max_size=4),
    st.binary(max_size=20),
    st.lists(st.binary(max_size=9), min_size=2, max_size=3),
)


@settings(SAME_EACH_TIME)
@given(st.dictionaries(names, values, max_size=5), st.booleans())
def test_every_example_is_parsed_as_it_was_written(features: dict[str, object], packed: bool) -> None:
    content = example(features, packed=packed)  # type: ignore[arg-type]
    parsed = parse_example(content, Span(0, len(content)))
    plain = {name: _plain(content, value) for name, value in parsed.items()}
    assert plain.keys() == features.keys()
    for name, value in features.items():
        wanted = list(value) if isinstance(value, list) else [value]
        found = plain[name] if isinstance(plain[name], list) else [plain[name]]
        assert [struct.pack("<f", x) if isinstance(x, float) else x for x in found] == [
            struct.pack("<f", x) if isinstance(x, float) else x for x in wanted
        ]


def _plain(content: bytes, value: object) -> object:
    if isinstance(value, list):
        return [_plain(content, each) for each in value]
    return content[value.start : value.end] if isinstance(value, Span) else value


@settings(SAME_EACH_TIME)
@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(tfrecord([{"image": RED[:60], "id": f"a{n}", "class": n} for n in range(2)]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    path = put(tmp_path / "a.tfrec", bytes(content[:cut]))
    try:
        opened = open_tfrecord(path)
    except (DataError, NoImagesError):
        return
    assert all(isinstance(opened.read(key), bytes) for key in opened.keys)
    assert all(len(column) == len(opened.keys) for column in opened.read_columns().values())


@settings(SAME_EACH_TIME)
@given(st.binary(max_size=60))
def test_whatever_bytes_a_record_holds_it_is_parsed_or_refused(content: bytes) -> None:
    try:
        (record,) = iterate_frames(frame(content))
        parse_example(frame(content), record)
    except BrokenRecordError as error:
        assert str(error)
