"""Tables of pixels are known by their headers, read exactly, and refused cell by cell."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from automl.errors import AutomlError, DataError
from automl.files.pixel_tables import find_pixel_columns, load_pixel_table, read_other_columns
from tests.automl_tests.readers_tests.sources import noise, put_pixels
from tests.automl_tests.small_competitions import put_csv


def smooth(n_rows: int, side: int) -> NDArray[np.uint8]:
    """(n, side, side, 3) of slow ramps in colours far apart."""
    ramp = np.arange(side)[None, :, None] + 2 * np.arange(side)[None, None, :] + np.arange(n_rows)[:, None, None]
    return np.stack([ramp, ramp + 90, ramp + 180], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (["label", *(f"pixel{n}" for n in range(784))], tuple(range(1, 785))),
        (["label", *(f"pixel{n}" for n in range(1, 785))], tuple(range(1, 785))),
        ([*(f"pixel{n:04}" for n in range(2352)), "label"], tuple(range(2352))),
        (["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))], tuple(range(1, 785))),
        (["emotion", " pixels", "Usage"], (1,)),
        ([f"pixel{n}" for n in reversed(range(16))], tuple(reversed(range(16)))),
        (["id", "species", *(f"margin_{n}" for n in range(1, 65))], ()),
        (["id", *(str(n) for n in range(100))], ()),
        (["id", "pixel1", "pixel2", "label"], ()),
        (["id", "320x240", "label"], ()),
        ([], ()),
    ],
)
def test_a_table_of_pixels_is_known_by_its_header_alone(header: list[str], columns: tuple[int, ...]) -> None:
    assert find_pixel_columns(header) == columns


@settings(max_examples=30, deadline=None, database=None)
@given(pixels=npst.arrays(np.uint8, st.tuples(st.integers(1, 4), st.sampled_from([16, 25, 48]))))
def test_what_is_read_is_what_was_written(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pixels") / "train.csv"
    put_pixels(path, pixels, {"label": ["caf\u00e9"] * len(pixels)})
    pictures = load_pixel_table(path)
    assert pictures.dtype == np.uint8
    if pixels.shape[1] == 48:
        flat = {order: pictures.transpose(order).reshape(len(pixels), -1) for order in ((0, 3, 1, 2), (0, 1, 2, 3))}
        assert any((values == pixels).all() for values in flat.values())
    else:
        assert (pictures.reshape(len(pixels), -1) == pixels).all()


def test_rows_columns_and_line_ends_of_any_form_are_read_alike(tmp_path: Path) -> None:
    pixels = noise(3, 16)
    names = [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)]
    order = np.random.default_rng(0).permutation(16)
    shuffled = [";".join(["kind", *(names[column] for column in order)])]
    shuffled += [";".join(['"a;b"', *(f' "{pixels[row, column]}"'.strip() for column in order)]) for row in range(3)]
    (tmp_path / "grid.csv").write_bytes(("\ufeff" + "\r\n".join([*shuffled, "", ""])).encode())
    assert (load_pixel_table(tmp_path / "grid.csv") == pixels.reshape(3, 4, 4)).all()
    assert read_other_columns(tmp_path / "grid.csv") == {"kind": ("a;b",) * 3}

    one_field = [f'{row},"{" ".join(map(str, pixels[row]))}",Training' for row in range(3)]
    put_csv(tmp_path / "faces.csv", "emotion, pixels,Usage", *one_field)
    assert (load_pixel_table(tmp_path / "faces.csv") == pixels.reshape(3, 4, 4)).all()
    assert read_other_columns(tmp_path / "faces.csv") == {"emotion": ("0", "1", "2"), "Usage": ("Training",) * 3}

    put_csv(
        tmp_path / "floats.csv",
        ",".join(f"pixel{n}" for n in range(16)),
        *(",".join(f"{value}.0" for value in row) for row in pixels),
    )
    assert (load_pixel_table(tmp_path / "floats.csv") == pixels.reshape(3, 4, 4)).all()


def test_a_picture_that_is_not_square_needs_names_of_rows_and_columns(tmp_path: Path) -> None:
    pixels = noise(2, 20)
    names = [f"{row}x{column}" for row in range(4) for column in range(5)]
    put_csv(tmp_path / "wide.csv", ",".join(names), *(",".join(map(str, row)) for row in pixels))
    assert (load_pixel_table(tmp_path / "wide.csv") == pixels.reshape(2, 4, 5)).all()
    put_pixels(tmp_path / "train.csv", pixels)
    with pytest.raises(DataError, match=r"train.csv has 20 pixels to an image, which make no square"):
        load_pixel_table(tmp_path / "train.csv")


@pytest.mark.parametrize("planar", [True, False])
def test_the_order_of_colours_is_the_one_that_makes_smooth_pictures(tmp_path: Path, planar: bool) -> None:
    pictures = smooth(3, 8)
    written = pictures.transpose(0, 3, 1, 2) if planar else pictures
    put_pixels(tmp_path / "train.csv", written.reshape(3, -1))
    assert (load_pixel_table(tmp_path / "train.csv") == pictures).all()


def test_pictures_of_noise_are_read_with_one_colour_after_the_other(tmp_path: Path) -> None:
    pixels = noise(40, 192)
    put_pixels(tmp_path / "train.csv", pixels)
    assert (load_pixel_table(tmp_path / "train.csv") == pixels.reshape(40, 3, 8, 8).transpose(0, 2, 3, 1)).all()


@pytest.mark.parametrize("cell", ["256", "-1", "12.5", "x", "", "nan", "inf", "1e400", "0x1f"])
def test_a_cell_that_is_no_pixel_is_named(tmp_path: Path, cell: str) -> None:
    rows = [["1"] * 16 for _ in range(3)]
    rows[1][5] = cell
    put_csv(tmp_path / "train.csv", ",".join(f"pixel{n}" for n in range(16)), "", *(",".join(row) for row in rows))
    with pytest.raises(DataError) as error:
        load_pixel_table(tmp_path / "train.csv")
    assert error.value.problem == (
        f"train.csv: line 4 holds {cell or 'nothing'} in column pixel5, but a pixel is a whole number from 0 to 255"
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["pixels", "1 2 3 4", "1 2 3"], "line 3 has 3 pixels, but the rows before it have 4"),
        (["pixels", "1 2 3 4", '""'], "line 3 has 0 pixels, but the rows before it have 4"),
        (["pixels", "1 2"], "2 pixels to an image in line 2"),
        (["pixels", "1 2 3 four"], "line 2 holds four in column pixels"),
        (["label,pixels", "1,1 2 3 4", "2"], "the header has 2 fields, but line 3 has 1"),
        (["label,pixels", '1,"1 2 3 4'], "train.csv is damaged in line 2"),
        (["pixels"], "train.csv has a header, but no rows"),
        (["id,label", "1,2"], "train.csv is no table of pixels: id, label"),
        ([], "train.csv is no table of pixels"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, lines: list[str], problem: str) -> None:
    put_csv(tmp_path / "train.csv", *lines)
    with pytest.raises(DataError, match=problem):
        load_pixel_table(tmp_path / "train.csv")


def test_a_table_is_read_once_until_the_file_changes(tmp_path: Path) -> None:
    put_pixels(tmp_path / "train.csv", noise(2, 16))
    first = load_pixel_table(tmp_path / "train.csv")
    assert load_pixel_table(tmp_path / "train.csv") is first
    assert not first.flags.writeable
    put_pixels(tmp_path / "train.csv", noise(3, 16))
    assert len(load_pixel_table(tmp_path / "train.csv")) == 3


@settings(max_examples=150, deadline=None, database=None)
@given(
    header=st.sampled_from([b"pixels", b"label,pixels", ",".join(f"pixel{n}" for n in range(16)).encode()]),
    rest=st.one_of(st.binary(), st.text(alphabet='0123456789,;\n\r" .-ex\u0661', max_size=80).map(str.encode)),
)
def test_whatever_follows_the_header_is_read_or_refused(
    header: bytes, rest: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "train.csv"
    path.write_bytes(header + b"\n" + rest)
    try:
        pictures = load_pixel_table(path)
    except AutomlError as error:
        assert "\n" not in error.problem
    else:
        assert pictures.dtype == np.uint8
        assert len(pictures) > 0
