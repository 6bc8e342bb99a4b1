"""Images that belong together are found by a column, by pairs of ids or by their names, and never in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from automl.errors import DataError, UsageError
from automl.files.images import ImageFiles
from automl.files.tables import Table
from automl.readers.groups import Groups, find_fixed_fold, find_groups
from automl.readers.known_competitions import KnownCompetition
from automl.readers.labels.source import LabelOrigin, Labels, LabelSource
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import parse_sample
from tests.automl_tests.small_competitions import put_csv

N = 20
SAMPLE = parse_sample(
    Table(name="sample_submission.csv", delimiter=",", header=("id", "label"), rows=(("s0", "0"),), lines=(2,))
)


def labels_with(
    others: dict[str, Sequence[object]] | None = None,
    *,
    ids: Sequence[str] | None = None,
    images: Sequence[str] | None = None,
    cells: Sequence[object] | None = None,
) -> Labels:
    """Labels of 20 images with these columns beside them, of two classes in turn."""
    names = tuple(ids or (f"x{number}" for number in range(N)))
    return Labels(
        ids=names,
        images=tuple(images or (f"train/{name}.png" for name in names)),
        columns=("label",),
        cells=tuple((str(cell),) for cell in (cells or [number % 2 for number in range(len(names))])),
        others={name: tuple(map(str, values)) for name, values in (others or {}).items()},
        evidence=(),
    )


def found(labels: Labels, root: Path = Path("nowhere"), group: str | None = None, known: str | None = None) -> Groups:
    tables = {path.name: path for path in sorted(root.glob("*.csv"))} if root.is_dir() else {}
    source = LabelSource(
        root=root,
        files=ImageFiles(root=root, train=labels.images, test=(), other=()),
        tables=tables,
        documents={},
        sample=SAMPLE,
        test_images=frozenset(),
        settings=CompetitionSettings(group=group),
        known=None if known is None else KnownCompetition(slug="rats", metric="accuracy", group=known),
    )
    return find_groups(labels, source)


def numbers(groups: Groups) -> list[int]:
    assert groups.numbers is not None
    return groups.numbers.tolist()


FIVES = [number // 4 for number in range(N)]  # five groups of four


@pytest.mark.parametrize(
    "name", ["patient_id", "PatientID", "subject", "StudyInstanceUID", "location", "Case No.", "driver", "userId"]
)
def test_a_column_that_is_called_like_groups_is_used_and_told_with_the_way_out(name: str) -> None:
    groups = found(labels_with({"age": range(N), name: FIVES}))
    assert numbers(groups) == FIVES
    assert groups.grouped_by == name
    assert groups.evidence == (
        f"groups: 5 of up to 4 images, from column {name}, which looks like it; --group none ignores it",
    )


@pytest.mark.parametrize("name", ["Subject Focus", "patients_age", "species", "side", "classname", "usage", "campsite"])
def test_a_column_that_is_called_otherwise_is_no_group(name: str) -> None:
    groups = found(labels_with({name: FIVES}))
    assert groups.numbers is None
    assert groups.evidence == ()


def test_of_several_such_columns_a_patient_goes_before_a_place() -> None:
    labels = labels_with({"location": [number % 10 for number in range(N)], "patient": FIVES})
    assert found(labels).grouped_by == "patient"


@pytest.mark.parametrize(
    "values",
    [
        [number % 4 for number in range(N)],  # fewer than folds
        [0] * 11 + list(range(1, 10)),  # one of them larger than half
    ],
)
def test_groups_that_folds_cannot_be_made_of_are_proposed_alone(values: list[int]) -> None:
    groups = found(labels_with({"site": values}))
    assert groups.numbers is None
    assert groups.evidence == ("groups: none; --group site would hold equal ones together",)
    assert numbers(found(labels_with({"site": values}), group="site")) == values


@pytest.mark.parametrize("values", [["same"] * N, list(range(N))])
def test_one_value_or_another_for_each_image_makes_no_groups(values: list[object]) -> None:
    assert found(labels_with({"patient": values})).evidence == ()
    asked = found(labels_with({"patient": values}), group="patient")
    assert asked.numbers is None
    assert asked.evidence[0].startswith("groups: none, column patient has ")


def test_the_target_by_another_name_is_no_group() -> None:
    labels = labels_with({"case": [f"name {value}" for value in FIVES]}, cells=FIVES)
    assert found(labels).numbers is None
    shared = labels_with({"case": FIVES}, cells=[value % 2 for value in FIVES])
    assert numbers(found(shared)) == FIVES, "that a patient has one label is no reason to part its images"


def test_images_without_a_value_are_groups_of_their_own() -> None:
    values = ["", *map(str, FIVES[1:-1]), ""]
    grouped = numbers(found(labels_with({"patient": values})))
    assert grouped[0] != grouped[-1]
    assert len(set(grouped)) == 7
    assert grouped[1] == grouped[2] == grouped[3]


def test_what_is_asked_goes_before_what_is_known_and_that_before_what_looks_like_it() -> None:
    labels = labels_with({"patient": FIVES, "Day": [number // 2 for number in range(N)], "cage": [0, 1] * 10})
    known = found(labels, known="day")
    assert (known.grouped_by, len(set(numbers(known)))) == ("Day", 10)
    assert known.evidence == ("groups: 10 of up to 2 images, from column Day, known of rats",)
    asked = found(labels, known="day", group="CAGE")
    assert asked.evidence == ("groups: 2 of up to 10 images, from column cage, as asked",)
    assert found(labels, known="day", group="none").evidence == ("groups: none, as asked",)
    assert found(labels, known="litter").evidence == (
        "groups: none, no table has the column litter that is known of rats",
    )


def test_a_column_that_no_table_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    put_csv(tmp_path / "weather.csv", "date,rain", "1,0")
    put_csv(tmp_path / "test.csv", "id,camera", "s0,0")
    with pytest.raises(DataError, match="--group cage: no table has such a column") as caught:
        found(labels_with({"patient": FIVES}), tmp_path, group="cage")
    assert "patient, date, rain, file name, or none" in caught.value.hint


@pytest.mark.parametrize("form", ["x{}", "x{}.png", "train/x{}.png"])
@pytest.mark.parametrize("group", [None, "subject"])
def test_the_column_of_another_table_is_joined_by_whatever_names_the_images(
    tmp_path: Path, form: str, group: str | None
) -> None:
    put_csv(
        tmp_path / "drivers.csv",
        "subject,classname,img",
        *(f"p{FIVES[row]},c0,{form.format(row)}" for row in reversed(range(N))),
    )
    put_csv(tmp_path / "test.csv", "subject,img", "p9,s0")
    groups = found(labels_with(), tmp_path, group=group)
    assert numbers(groups) == FIVES
    assert "from column subject of drivers.csv" in groups.evidence[0]


def test_a_table_that_names_other_images_is_not_joined(tmp_path: Path) -> None:
    put_csv(tmp_path / "drivers.csv", "subject,img", *(f"p{row // 4},y{row}" for row in range(N)))
    put_csv(tmp_path / "broken.csv", "subject,img", 'p1,"x1')
    assert found(labels_with(), tmp_path).numbers is None
    with pytest.raises(DataError, match="no table has such a column"):
        found(labels_with(), tmp_path, group="subject")


def test_ids_that_begin_alike_and_end_in_the_same_few_ways_are_pairs() -> None:
    pairs = [f"{number}_{side}.jpeg" for number in range(10) for side in ("left", "right")]
    groups = found(labels_with(ids=pairs))
    assert numbers(groups) == [number // 2 for number in range(N)]
    assert groups.evidence == (
        "groups: 10 of up to 2 images, from the beginnings of the ids, which look like it; --group none ignores them",
    )


@pytest.mark.parametrize(
    "ids",
    [
        [f"Train_{number}" for number in range(N)],  # one beginning
        [f"{number}_{number + 1}" for number in range(N)],  # another ending for each
        [f"{number}_{('left', 'right')[number % 2]}" for number in range(N)],  # no pairs
        [f"{number // 2}_{'abcd'[number % 4]}" for number in range(N)],  # other endings for every second
        [f"x{number}" for number in range(N)],
        [*(f"{number}_{side}" for number in range(9) for side in ("left", "right")), "a", "b"],  # some have no ending
    ],
)
def test_ids_that_end_otherwise_are_no_pairs(ids: list[str]) -> None:
    assert found(labels_with(ids=ids)).numbers is None


def test_images_of_one_name_in_every_folder_belong_together() -> None:
    images = [f"{folder}/{number:05d}.jpg" for folder in ("Cover", "UERD") for number in range(10)]
    labels = labels_with(ids=images, images=images, cells=[image.split("/")[0] for image in images])
    groups = found(labels)
    assert numbers(groups) == [*range(10), *range(10)]
    assert groups.grouped_by == "file name"
    assert found(labels, group="file name").evidence == ("groups: 10 of up to 2 images, from the file names, as asked",)
    apart = [f"{folder}/{number}.jpg" for start, folder in ((0, "a"), (5, "b")) for number in range(start, start + 10)]
    assert found(labels_with(ids=apart, images=apart)).numbers is None, "half of the names are in one folder alone"


def test_folders_that_are_no_classes_group_the_images_in_them(tmp_path: Path) -> None:
    groups = found(replace(labels_with({"folder": FIVES}), origin=LabelOrigin.FOLDERS))
    assert numbers(groups) == FIVES
    assert groups.grouped_by == "folder"
    assert found(labels_with({"folder": FIVES})).numbers is None, "a column of a table is no folder"


@pytest.mark.parametrize("group", [None, "none"])
def test_the_images_of_one_row_are_one_group_whatever_else_is_said(group: str | None) -> None:
    rows = tuple(number // 2 for number in range(N))
    groups = found(replace(labels_with(), rows=rows), group=group)
    assert numbers(groups) == list(rows)
    assert groups.grouped_by == "row"
    assert groups.evidence[-1] == "groups: the images of one row stay together, 10 rows"


def test_groups_that_share_a_row_are_one(tmp_path: Path) -> None:
    rows = (0, 0, *range(1, N - 3), 4, 4)
    groups = found(replace(labels_with({"patient": FIVES}), rows=rows))
    assert groups.grouped_by == "patient"
    merged = numbers(groups)
    assert merged[-1] == merged[5], "the last images are of a row of the second patient"
    assert merged[0] != merged[5]


def fixed(labels: Labels, folder: str | None) -> tuple[str | None, list[str]]:
    files = ImageFiles(root=Path("nowhere"), train=labels.images, test=(), other=(), fixed_fold=folder)
    source = LabelSource(root=files.root, files=files, tables={}, documents={}, sample=SAMPLE, test_images=frozenset())
    return find_fixed_fold(labels, find_groups(labels, source), source)


def test_a_fixed_fold_is_told_and_groups_that_straddle_it_are_warned_of() -> None:
    images = [f"{'val' if number < 6 else 'train'}/x{number}.png" for number in range(N)]
    assert fixed(labels_with(images=images), None) == (None, [])
    folder, lines = fixed(labels_with(images=images), "val/")
    assert (folder, lines) == ("val/", ["folds: 6 images of val/ are the fold that trials validate on, as asked"])
    _, lines = fixed(labels_with({"patient": FIVES}, images=images), "val/")
    assert lines[1].startswith("warning: folds: 1 group lie both in val/ and outside")
    for nowhere in ("test/", ""):
        with pytest.raises(UsageError, match="labelled image lies in it"):
            fixed(labels_with(images=images), nowhere)
