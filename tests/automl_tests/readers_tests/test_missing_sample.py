"""Without a sample submission its rows are those of the test, its columns those of the labels, and that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError
from automl.files.images import find_images
from automl.files.tables import find_tables
from automl.metrics.registry import get_metric
from automl.readers.labels.source import Labels
from automl.readers.missing_sample import add_columns, check_form, make_submission_rows, merge_colours
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission
from automl.tasks import Task
from tests.automl_tests.small_competitions import put_csv, put_images


def make_rows(root: Path) -> tuple[SampleSubmission, tuple[str, ...]]:
    return make_submission_rows(find_images(root), find_tables(root))


def labels_of(*cells: Sequence[str], columns: tuple[str, ...] = ("label",)) -> Labels:
    ids = tuple(str(row) for row in range(len(cells)))
    return Labels(ids=ids, images=ids, columns=columns, cells=tuple(map(tuple, cells)), evidence=())


def put_test(root: Path, *names: str) -> None:
    put_images(root, [f"test/{name}" for name in names])
    put_images(root, ["train/x.png"])


@pytest.mark.parametrize(
    ("lines", "column", "ids"),
    [
        (["id", "t0", "t1"], "id", ("t0", "t1")),
        (["id,file", "7,t1.png", "8,t0.png"], "id", ("7", "8")),
        (["age,image_id", "7,t1.png", "8,t0.png"], "image_id", ("t1.png", "t0.png")),
        (["file_name,label", "t1.png,cat", "t0.png,dog"], "file_name", ("t1.png", "t0.png")),
        ([",path", "0,test/t1.png", "1,test/t0.png"], "path", ("test/t1.png", "test/t0.png")),
        (["ClassId,Path", "1,t1.png", "0,t0.png"], "Path", ("t1.png", "t0.png")),
        (["class_id,image", "1,t1", "0,t0"], "image", ("t1", "t0")),
        (["a,b", "t1,0", "t0,0"], "a", ("t1", "t0")),
    ],
)
def test_a_table_of_the_test_gives_ids_as_it_writes_them(
    tmp_path: Path, lines: list[str], column: str, ids: tuple[str, ...]
) -> None:
    put_test(tmp_path, "t0.png", "t1.png")
    put_csv(tmp_path / "test.csv", *lines)
    sample, told = make_rows(tmp_path)
    assert (sample.id_column, sample.ids, sample.is_given) == (column, ids, False)
    line = f"warning: no sample submission: one is made, of 2 rows after column {column} of test.csv"
    assert told == (line,)


def test_rows_that_repeat_an_id_are_one_and_further_tables_are_named(tmp_path: Path) -> None:
    put_test(tmp_path, "t0.png", "t1.png")
    put_csv(tmp_path / "test.csv", "image,box", "t0,1", "t0,2", "t1,3")
    put_csv(tmp_path / "test_meta.csv", "image,age", "t0,1", "t1,3")
    put_csv(tmp_path / "test_sizes.csv", "height,width", "8,8")
    sample, told = make_rows(tmp_path)
    assert sample.ids == ("t0", "t1")
    assert told[:3] == (
        "warning: 1 row of test.csv left out, repeating an id",
        "warning: test_meta.csv is not read: test.csv lists the test images",
        "warning: test_sizes.csv is not read: none of its columns names images",
    )


def test_a_table_of_the_test_with_ids_of_nothing_or_blank_ones_is_refused(tmp_path: Path) -> None:
    put_test(tmp_path, "t0.png", "t1.png", "t2.png")
    put_csv(tmp_path / "test.csv", "id,age", "u0,4", "u1,5")
    with pytest.raises(
        DataError, match=r"test\.csv lists test images in column id, but these name no image"
    ) as refusal:
        make_rows(tmp_path)
    assert "u0" in refusal.value.seen[0] and "test/t" in refusal.value.seen[0]
    put_csv(tmp_path / "test.csv", "name,age", "t0,4", "t1,5", ",6", "t2,7")
    with pytest.raises(DataError, match=r"test\.csv has a blank id in line 4"):
        make_rows(tmp_path)


def test_the_test_folder_gives_names_and_their_folders_where_they_repeat(tmp_path: Path) -> None:
    put_test(tmp_path, "b.png", "a/1.png", "c/1.png")
    sample, told = make_rows(tmp_path)
    assert sample.ids == ("a/1.png", "b.png", "c/1.png")
    assert sample.addresses == ("test/a/1.png", "test/b.png", "test/c/1.png")
    assert told == ("warning: no sample submission: one is made, of 3 rows after the images of test/ by their names",)
    put_images(tmp_path, ["test2/b.png"])
    assert "test2/b.png" in make_rows(tmp_path)[0].ids


def test_a_doubled_test_folder_is_in_no_id(tmp_path: Path) -> None:
    put_images(tmp_path, ["seg_train/seg_train/cat/0.png", "seg_train/seg_train/dog/1.png"])
    put_images(tmp_path, ["seg_test/seg_test/cat/2.png", "seg_test/seg_test/dog/3.png"])
    assert make_rows(tmp_path)[0].ids == ("cat/2.png", "dog/3.png")


def test_files_for_each_colour_are_one_test_image(tmp_path: Path) -> None:
    put_test(tmp_path, *(f"{name}_{colour}.png" for name in "xy" for colour in ("red", "green", "blue")))
    sample, _ = make_rows(tmp_path)
    assert sample.ids == ("x", "y")
    assert sample.addresses == ("test/x_{red,green,blue}.png", "test/y_{red,green,blue}.png")
    assert merge_colours(["a_red.png", "b.png"]) == {"a_red.png": "a_red.png", "b.png": "b.png"}


def test_without_a_test_there_are_no_rows(tmp_path: Path) -> None:
    put_images(tmp_path, ["cat/1.png", "dog/2.png"])
    sample, told = make_rows(tmp_path)
    assert sample.ids == ()
    assert told == ("warning: no test images, so that nothing is submitted: automl predict FOLDER predicts new ones",)


@pytest.fixture
def sample(tmp_path: Path) -> SampleSubmission:
    put_test(tmp_path, "t0.png", "t1.png")
    put_csv(tmp_path / "test.csv", "id,label,age", "t0,a,4", "t1,b,5")
    return make_rows(tmp_path)[0]


@pytest.mark.parametrize(
    ("labels", "settings", "metric", "columns"),
    [
        (labels_of(["a"], ["b"]), {}, None, ("label",)),
        (labels_of(["10"], ["9"], columns=("breed",)), {}, "accuracy", ("breed",)),
        (labels_of(["10"], ["9"]), {}, "log_loss", ("9", "10")),
        (labels_of(["b"], ["a"]), {"submission": "probabilities"}, "accuracy", ("a", "b")),
        (labels_of(["b"], ["a"]), {"submission": "labels"}, "roc_auc", ("label",)),
        (labels_of(["a b"], ["b"], ["a"], ["a b"]), {"submission": "probabilities"}, None, ("a", "b")),
        (labels_of(["a|b"], ["b"], ["a"], ["a|b"]), {"submission": "probabilities"}, None, ("a", "b")),
        (labels_of(["0.5"], ["2"]), {"submission": "probabilities", "task": Task.REGRESSION}, None, ("label",)),
        (labels_of(["1", "0"], ["0", "1"], columns=("x", "y")), {}, None, ("x", "y")),
    ],
)
def test_columns_are_those_of_the_labels_or_one_for_each_class(
    sample: SampleSubmission, labels: Labels, settings: dict[str, object], metric: str | None, columns: tuple[str, ...]
) -> None:
    wanted = replace(CompetitionSettings(), **settings)  # type: ignore[arg-type]
    found, _ = add_columns(sample, labels, wanted, None if metric is None else get_metric(metric))
    assert found.target_columns == columns
    assert found.table.header == ("id", *columns)
    assert found.table.rows == tuple((own_id, *[""] * len(columns)) for own_id in ("t0", "t1"))


def test_labels_of_test_rows_are_told_and_a_class_called_id_keeps_its_name(sample: SampleSubmission) -> None:
    _, told = add_columns(sample, labels_of(["a"], ["b"]), CompetitionSettings(), None)
    assert told == ("warning: column label of test.csv is not read: its rows are test images",)
    asked = CompetitionSettings(submission="probabilities")
    found, told = add_columns(sample, labels_of(["id"], ["b"], columns=("sort",)), asked, None)
    assert found.table.header == ("id_", "b", "id")
    assert told == ()


def test_a_given_sample_stays_as_it_is(sample: SampleSubmission) -> None:
    given = replace(sample, is_given=True)
    assert add_columns(given, labels_of(["a"], ["b"]), CompetitionSettings(), None) == (given, ())


def test_what_is_asked_for_is_done_or_refused_and_the_other_form_is_suggested(sample: SampleSubmission) -> None:
    label, asked = SubmissionKind.LABEL, CompetitionSettings(submission="probabilities")
    (line,) = check_form(sample, label, CompetitionSettings())
    assert line.startswith("suggestion: --submission probabilities (")
    (line,) = check_form(sample, SubmissionKind.PROBABILITIES, CompetitionSettings())
    assert line.startswith("suggestion: --submission labels (")
    assert check_form(sample, SubmissionKind.PROBABILITIES, asked) == []
    assert check_form(sample, SubmissionKind.VALUES, CompetitionSettings()) == []
    with pytest.raises(UsageError, match="--submission probabilities was asked, but a submission holds labels"):
        check_form(sample, label, asked)
    with pytest.raises(UsageError, match="--submission labels was asked, but a submission holds one probability"):
        check_form(replace(sample, is_given=True), SubmissionKind.PROBABILITY, CompetitionSettings(submission="labels"))
    assert check_form(replace(sample, is_given=True), label, CompetitionSettings()) == []
