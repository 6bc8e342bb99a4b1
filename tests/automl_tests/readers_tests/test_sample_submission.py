"""The sample submission is found, or it is refused because it is missing, unclear or of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.data.competition import SubmissionKind
from automl.errors import UsageError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    sample_rows,
)
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def test_of_several_samples_it_is_the_one_whose_ids_name_images_and_of_the_highest_stage(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "sample_submission.csv").unlink()
    put_csv(tmp_path / "sample_submission_stg1.csv", "id,label", "s0,cat")
    put_csv(tmp_path / "stage_2_sample_submission.csv", "id,label", "s0,cat", "s1,cat")
    put_csv(tmp_path / "sample_submission_v3.csv", "id,label", "s0,cat", "x1,cat")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("s0", "s1")
    assert any(line.startswith("sample: stage_2_sample_submission.csv of") for line in competition.evidence)
    assert read_competition(tmp_path, CompetitionSettings(sample="sample_submission_stg1")).test_ids == ("s0",)
    with pytest.raises(UsageError, match="--sample nothing: there is no such table"):
        read_competition(tmp_path, CompetitionSettings(sample="nothing"))


@pytest.mark.parametrize("name", ["submission.csv", "submit.csv", "to_be_filled_in.csv"])
def test_a_table_whose_ids_name_the_test_images_is_the_sample_where_none_is_called_so(
    tmp_path: Path, name: str
) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "sample_submission.csv").rename(tmp_path / name)
    put_csv(tmp_path / "test.csv", "id,age", "s0,4", "s1,5")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("s0", "s1")
    assert f"sample: {name}, whose column id names the test images" in competition.evidence


def test_rows_for_parts_of_an_image_become_classes_and_ids_with_a_suffix_stay_images(tmp_path: Path) -> None:
    eyes = [f"{number}_{side}" for number in (10, 11) for side in ("left", "right")]
    put_images(tmp_path, ["train/1.png", "train/2.png", "test/10.png", "test/11.png"])
    put_images(tmp_path, [f"test/{eye}.png" for eye in eyes])
    put_csv(tmp_path / "train.csv", "id,any,epidural", "1,1,1", "2,0,0")
    put_csv(tmp_path / "sample_submission.csv", "id,level", *(f"{eye},0" for eye in eyes))
    put_csv(tmp_path / "labels.csv", "id,level", "1,0", "2,1")
    assert read_competition(tmp_path, CompetitionSettings(labels="labels.csv")).test_ids == tuple(eyes)
    put_csv(tmp_path / "sample_submission.csv", "id,level", "11_epidural,0.5", "11_any,0.5")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("11",)
    assert competition.classes == ("epidural", "any")
    assert competition.submission.ids == ("11_epidural", "11_any")
    assert competition.submission.cells == ((0, 0), (0, 1))
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITIES
    assert competition.targets.tolist() == [[1, 1], [0, 0]]


FOLDER_FAULTS: dict[str, FolderFault] = {
    "a workbook of old Excel": (
        lambda root: (root / "sample_submission.csv").rename(root / "sample_submission.xls"),
        "holds a sample submission that is not read: sample_submission.xls",
        "save it as CSV",
    ),
    "a table that is called as a sample": (
        lambda root: (
            (root / "sample_submission.csv").unlink(),
            put_csv(root / "submission_format.csv", "id,label", "x0,cat"),
        ),
        "submission_format.csv is called as a sample submission, but its ids name no images: x0",
        "--sample submission_format.csv",
    ),
    "several samples": (
        lambda root: (
            (root / "sample_submission.csv").rename(root / "sample_submission_all.csv"),
            put_csv(root / "sample_submission_few.csv", "id,label", "s0,cat"),
        ),
        "holds 2 sample submissions: sample_submission_all.csv, sample_submission_few.csv",
        "--sample",
    ),
    "a sample of masks": (
        sample_rows("s0,1 5", header="ImageId,EncodedPixels"),
        "sample_submission.csv asks for masks (column EncodedPixels), not for classes or values of images",
        "segmentation",
    ),
    "a sample of boxes": (
        sample_rows("s0,14 1 0 0 1 1", header="id,PredictionString"),
        "sample_submission.csv asks for boxes (column PredictionString)",
        "detection",
    ),
    "a sample of pairs": (
        sample_rows("s0,s0 s1", "s1,s1", header="posting_id,matches"),
        "sample_submission.csv asks which images match which: each row of column matches begins with its own id",
        "retrieval",
    ),
}


def test_the_nearest_of_the_best_samples_is_taken_and_its_place_is_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "old" / "sample_submission.csv", "id,label", "s0,cat")
    assert read_competition(tmp_path).test_ids == ("s0", "s1")
    (tmp_path / "sample_submission.csv").unlink()
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("s0",)
    assert "sample: old/sample_submission.csv" in competition.evidence
    assert read_competition(tmp_path, CompetitionSettings(sample="sample_submission.csv")).test_ids == ("s0",)


def test_a_sample_of_another_format_is_written_as_csv_and_that_is_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "sample_submission.csv").unlink()
    (tmp_path / "sample_submission.tsv").write_text("id\tlabel\ns1\tcat\ns0\tdog\n")
    competition = read_competition(tmp_path)
    assert competition.submission.ids == ("s1", "s0")
    line = "warning: sample_submission.tsv is no CSV file: the submission is written as one, with commas"
    assert line in competition.evidence


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_sample_that_is_missing_unclear_or_of_another_kind_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
