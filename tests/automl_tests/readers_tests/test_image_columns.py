"""The columns that name images are those of files, before numbers that coincide; views go together, masks apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from automl.errors import DataError
from automl.files.image_index import ImageLookup
from automl.files.tables import Table
from automl.readers.labels.image_columns import (
    find_image_columns,
    find_row_images,
    is_row_number,
    normalize_name,
    split_paths,
)
from automl.readers.labels.source import LayoutMismatchError

N = 12
FILES = [f"train/{i}.png" for i in range(N)]
EYES = [f"train/{i}_{side}.png" for i in range(N) for side in ("left", "right")]
MASKS = [f"train/{i}_mask.png" for i in range(N)]


def table_of(header: str, columns: Sequence[Sequence[object]]) -> Table:
    rows = tuple(tuple(map(str, row)) for row in zip(*columns, strict=True))
    lines = tuple(range(2, len(rows) + 2))
    return Table(name="train.csv", delimiter=",", header=tuple(header.split(",")), rows=rows, lines=lines)


TURNED = [7 * i % N for i in range(N)]
NUMBERS = list(range(N))


@pytest.mark.parametrize(
    ("header", "columns", "id_name", "chosen", "n_lines"),
    [
        ("id,filename", [NUMBERS, [f"{i}.png" for i in TURNED]], "id", "filename", 1),
        ("id,path", [NUMBERS, [f"train/{i}.png" for i in TURNED]], "id", "path", 1),
        ("id,image", [NUMBERS, TURNED], "id", "image", 1),
        ("id,age", [NUMBERS, TURNED], "id", "id", 1),
        ("image_id,photo", [NUMBERS, TURNED], "image_id", "image_id", 1),
        (",id", [NUMBERS, TURNED], "image", "id", 0),
        ("id,filename", [NUMBERS, [f"{i}.png" for i in NUMBERS]], "id", "id", 0),
        ("file,original", [[f"{i}.png" for i in NUMBERS], [f"{i}.png" for i in TURNED]], "file", "file", 1),
        ("label,file", [[i % 3 for i in NUMBERS], [f"{i}.png" for i in NUMBERS]], "id", "file", 0),
    ],
)
def test_the_column_of_the_images_is_the_surest_one_and_what_contradicts_it_is_told(
    header: str, columns: Sequence[Sequence[object]], id_name: str, chosen: str, n_lines: int
) -> None:
    table = table_of(header, columns)
    found = find_image_columns(table, ImageLookup(FILES), id_name)
    assert [table.header[column] for column in found.columns] == [chosen]
    assert (found.share, found.is_distinct, found.names_several) == (1.0, True, False)
    assert len(found.evidence) == n_lines
    assert all(line.startswith("warning: column ") for line in found.evidence)


def test_a_column_that_names_the_same_images_is_an_alias() -> None:
    table = table_of("id,filename,path", [NUMBERS, [f"{i}.png" for i in NUMBERS], FILES])
    found = find_image_columns(table, ImageLookup(FILES), "id")
    assert (found.columns, set(found.aliases), found.evidence) == ((0,), {1, 2}, ())


def test_two_columns_of_files_for_other_rows_are_refused() -> None:
    names = [[f"{i}.png" for i in order] for order in (NUMBERS, TURNED)]
    with pytest.raises(DataError, match=r"two columns of train.csv name the same images.*: old, new, 1.png, 7.png in"):
        find_image_columns(table_of("old,new", [column[1:] for column in names]), ImageLookup(FILES), "id")


def test_columns_of_other_images_in_each_row_go_together_and_masks_do_not() -> None:
    sides = [[f"{i}_{side}.png" for i in NUMBERS] for side in ("left", "right")]
    found = find_image_columns(table_of("ID,left,right", [NUMBERS, *sides]), ImageLookup(EYES), "ID")
    assert found.columns == (1, 2)
    masks = [f"{i}_mask.png" for i in NUMBERS]
    table = table_of("mask_path,image_path", [masks, [f"{i}.png" for i in NUMBERS]])
    found = find_image_columns(table, ImageLookup([*FILES, *MASKS]), "id")
    assert found.columns == (1,)
    assert "warning: column mask_path of train.csv names masks" in found.evidence[0]
    found = find_image_columns(table_of("id,mask", [NUMBERS, masks]), ImageLookup([*FILES, *MASKS]), "id")
    assert found.columns == (0,)


def test_ids_of_folders_prefixes_and_lists_name_several_images() -> None:
    cells = {"0": ("train/0_left.png", "train/0_right.png"), "a_left.png;nothing.png": ()}
    lists = {"0_left.png;0_right.png": cells["0"], "['1_left.png', '1_right.png']": tuple(EYES[2:4])}
    assert find_row_images([*cells, *lists], ImageLookup(EYES)) == {"0": cells["0"], **lists}
    found = find_image_columns(table_of("id,label", [NUMBERS, [i % 2 for i in NUMBERS]]), ImageLookup(EYES), "id")
    assert (found.columns, found.names_several, found.share) == ((0,), True, 1.0)
    joined = [f"{i}_left.png|{i}_right.png" for i in NUMBERS]
    found = find_image_columns(table_of("images,n", [joined, NUMBERS]), ImageLookup(EYES), "id")
    assert (found.columns, found.names_several) == ((0,), True)


def test_a_label_that_is_the_name_of_a_folder_names_no_images() -> None:
    images = [f"train/{'ab'[i % 2]}/{i}.png" for i in range(N)]
    table = table_of("file,label", [[f"{i}.png" for i in NUMBERS], ["ab"[i % 2] for i in NUMBERS]])
    found = find_image_columns(table, ImageLookup(images), "id")
    assert (found.columns, found.aliases) == ((0,), ())


def test_a_table_that_names_no_image_has_no_such_column() -> None:
    with pytest.raises(LayoutMismatchError, match=r"train.csv has no column that names the training images"):
        find_image_columns(table_of("id,label", [["x", "y"], ["a", "b"]]), ImageLookup(FILES), "id")


def test_cells_and_names_of_columns_are_split_and_compared_in_one_form() -> None:
    assert split_paths("a.png; b.png") == ["a.png", "b.png"]
    assert split_paths('["a", "b"]') == split_paths("['a', 'b']") == ["a", "b"]
    assert split_paths("[a") == ["[a"]
    assert split_paths("[a]") == []
    assert normalize_name("Image_ID") == normalize_name("image") == "image"
    assert is_row_number("Unnamed: 0")
    assert not is_row_number("id")
