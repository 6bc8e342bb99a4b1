"""Data sets that the product has never heard of, in miniature: each is understood, or refused with what to do.

Only names and tables matter here, so that the images are empty files; the last tests go on to a submission.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automl.data.folds import make_folds
from automl.errors import DataError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.submission import validate
from automl.submission.write import write_submission
from automl.tasks import Task
from tests.automl_tests.competitions.miniatures import Folder
from tests.automl_tests.competitions.quick_model import fit_and_predict
from tests.automl_tests.small_competitions import put_empty, put_table

TWELVE = range(12)


def cassava_2019(root: Path) -> None:
    """The sample's ids are in its second column."""
    for label in ("cbb", "cgm", "healthy"):
        put_empty(root, (f"train/train/{label}/train-{label}-{number}.jpg" for number in range(4)))
    put_empty(root, (f"test/test/0/test-img-{number}.jpg" for number in range(3)))
    put_table(
        root, "sample_submission_file.csv", "Category,Id", [("cgm", f"test-img-{number}.jpg") for number in range(3)]
    )


def intel_image(root: Path) -> None:
    """Doubled folders, in whose names train and test are not the first words."""
    for number, label in enumerate(("buildings", "forest", "sea")):
        put_empty(root, (f"seg_train/seg_train/{label}/{number}{image}.jpg" for image in range(5)))
        put_empty(root, (f"seg_test/seg_test/{label}/2{number}{image}.jpg" for image in range(2)))
    put_empty(root, (f"seg_pred/seg_pred/{number}.jpg" for number in (1003, 1005)))
    put_table(root, "sample_submission.csv", "id,label", [("1003.jpg", "sea"), ("1005.jpg", "sea")])


def cars(root: Path) -> None:
    """The same names in training and test, and columns of boxes beside the label."""
    put_empty(root, (f"cars_train/{number:05}.jpg" for number in range(1, 13)))
    put_empty(root, (f"cars_test/{number:05}.jpg" for number in range(1, 4)))
    rows = [(f"{number:05}.jpg", 39, 116, 569, 375, 1 + number % 3) for number in range(1, 13)]
    put_table(root, "train.csv", "image,x1,y1,x2,y2,Class", rows)
    put_table(root, "sample_submission.csv", "image,Class", [(f"{number:05}.jpg", 1) for number in range(1, 4)])


def eurosat(root: Path) -> None:
    """A column of row numbers without a name, as pandas writes it, and paths that begin with the class."""
    labels = ("AnnualCrop", "Forest", "River")
    names = [(f"{label}/{label}_{number}.jpg", code, label) for code, label in enumerate(labels) for number in range(6)]
    put_empty(root, (f"EuroSAT/{name}" for name, _, _ in names))
    put_table(root, "train.csv", ",Filename,Label,ClassName", [(row, *names[row]) for row in range(18) if row % 6 < 4])
    put_table(
        root, "sample_submission.csv", "Filename,Label", [(names[row][0], 0) for row in range(18) if row % 6 >= 4]
    )


def row_numbers(root: Path) -> None:
    """A column of row numbers that name images too."""
    put_empty(root, (f"train/{number}.png" for number in TWELVE))
    put_empty(root, ("test/0.png", "test/1.png"))
    put_table(root, "train.csv", ",image_no,label", [(row, 11 - row, "ab"[row % 2]) for row in TWELVE])
    put_table(root, "sample_submission.csv", "id,label", [(0, "a"), (1, "a")])


def chest_x_rays(root: Path) -> None:
    """Findings with | between them, images in numbered folders, a trailing comma in the header."""
    names = [f"{number // 2:08}_{number % 2:03}.png" for number in range(16)]
    put_empty(root, (f"images_{number % 3:03}/images/{name}" for number, name in enumerate(names)))
    findings = ["No Finding", "Cardiomegaly|Effusion", "Effusion", "Mass"]
    rows = [(name, findings[row % 4], row // 2, "M", "") for row, name in enumerate(names[:12])]
    put_table(root, "Data_Entry_2017.csv", "Image Index,Finding Labels,Patient ID,Patient Gender,", rows)
    rows = [(name, 0.5, 0.5, 0.5) for name in names[12:]]
    put_table(root, "sample_submission.csv", "Image Index,Mass,Effusion,Cardiomegaly", rows)


def movie_genres(root: Path) -> None:
    """Lists as Python writes them, of a probability for each genre."""
    put_empty(root, (f"Images/tt{number:04}.jpg" for number in range(15)))
    genres = ["\"['Drama', 'Horror']\"", "['Drama']", "['Horror']", "[]"]
    put_table(root, "train.csv", "Id,Genre", [(f"tt{number:04}", genres[number % 4]) for number in TWELVE])
    put_table(root, "sample_submission.csv", "Id,Drama,Horror", [(f"tt{number:04}", 0, 0) for number in range(12, 15)])


def mixed_up_machine(root: Path) -> None:
    """Paths that begin with a folder of another machine, the same file name in each folder."""
    for part in ("train", "valid"):
        put_empty(root, (f"{part}/patient{number:05}/study1/view1.jpg" for number in TWELVE))
    path = "CheXpert-v1.0-small/{}/patient{:05}/study1/view1.jpg"
    rows = [(path.format("train", row), row % 2, (row + 1) % 3 // 2) for row in TWELVE]
    put_table(root, "train.csv", "Path,Edema,Fracture", rows)
    put_table(
        root, "sample_submission.csv", "Path,Edema,Fracture", [(path.format("valid", row), 0.5, 0.5) for row in TWELVE]
    )


def bone_age(root: Path) -> None:
    """Tables that are called after the folders, a test table beside them, an id of another name."""
    put_empty(root, (f"boneage-training-dataset/boneage-training-dataset/{1377 + row}.png" for row in range(24)))
    put_empty(root, (f"boneage-test-dataset/boneage-test-dataset/{4360 + row}.png" for row in range(3)))
    rows = [(1377 + row, 12 + 9 * row, row % 2 == 0) for row in range(24)]
    put_table(root, "boneage-training-dataset.csv", "id,boneage,male", rows)
    put_table(root, "boneage-test-dataset.csv", "Case ID,Sex", [(4360 + row, "MF"[row % 2]) for row in range(3)])
    put_table(root, "sample_submission.csv", "Case ID,boneage", [(4360 + row, 100) for row in range(3)])


def classifieds(root: Path) -> None:
    """Items whose images have names of their own, in tables of training and test."""
    put_empty(root, (f"data/train_jpg/a{row}f.jpg" for row in TWELVE))
    put_empty(root, (f"data/test_jpg/b{row}f.jpg" for row in range(3)))
    rows = [(f"i{row}", f"u{row // 2}", f"a{row}f", 0.1 * row + 0.05) for row in TWELVE]
    put_table(root, "train.csv", "item_id,user_id,image,deal_probability", rows)
    put_table(root, "test.csv", "item_id,user_id,image", [(f"j{row}", f"v{row}", f"b{row}f") for row in range(3)])
    put_table(root, "sample_submission.csv", "item_id,deal_probability", [(f"j{row}", 0) for row in range(3)])


def sorghum(root: Path) -> None:
    """A row of a hidden file among the labels."""
    put_empty(root, (f"train_images/2017-06-{row:02}.jpg" for row in TWELVE))
    put_empty(root, ("test/0.jpg", "test/1.jpg"))
    rows = [*((f"2017-06-{row:02}.jpg", ("PI_257", "PI_154")[row % 2]) for row in TWELVE), (".DS_Store", "")]
    put_table(root, "train_cultivar_mapping.csv", "image,cultivar", rows)
    put_table(root, "sample_submission.csv", "filename,cultivar", [("0.jpg", "PI_154"), ("1.jpg", "PI_154")])


def skin_lesions(root: Path) -> None:
    """A class of the sample that no training image has, folders named by year."""
    classes = ["MEL", "NV", "BCC", "UNK"]
    put_empty(root, (f"ISIC_2019_Training_Input/ISIC_2019_Training_Input/ISIC_{row:07}.jpg" for row in TWELVE))
    put_empty(root, (f"ISIC_2019_Test_Input/ISIC_{90 + row:07}.jpg" for row in range(2)))
    rows = [(f"ISIC_{row:07}", *(float(row % 3 == column) for column in range(4))) for row in TWELVE]
    put_table(root, "ISIC_2019_Training_GroundTruth.csv", ",".join(["image", *classes]), rows)
    put_table(
        root, "ISIC_2019_Training_Metadata.csv", "image,sex", [(f"ISIC_{row:07}", "mf"[row % 2]) for row in TWELVE]
    )
    rows = [(f"ISIC_{90 + row:07}", *[0.25] * 4) for row in range(2)]
    put_table(root, "sample_submission.csv", ",".join(["image", *classes]), rows)


UNDERSTOOD: dict[str, tuple[Callable[[Path], None], str, str, str, int, str]] = {
    # folder -> task, what is submitted, classes, number of training images, the first test image
    "cassava-disease": (cassava_2019, "multiclass", "label", "cbb cgm healthy", 12, "test/test/0/test-img-0.jpg"),
    "intel": (intel_image, "multiclass", "label", "buildings forest sea", 15, "seg_pred/seg_pred/1003.jpg"),
    "stanford-cars": (cars, "multiclass", "label", "1 2 3", 12, "cars_test/00001.jpg"),
    "eurosat": (eurosat, "multiclass", "label", "0 1 2", 12, "EuroSAT/AnnualCrop/AnnualCrop_4.jpg"),
    "row-numbers": (row_numbers, "binary", "label", "a b", 12, "test/0.png"),
    "nih-chest-x-rays": (
        *(chest_x_rays, "multilabel", "probabilities", "Mass Effusion Cardiomegaly", 12),
        "images_000/images/00000006_000.png",
    ),
    "movie-posters": (movie_genres, "multilabel", "probabilities", "Drama Horror", 12, "Images/tt0012.jpg"),
    "chexpert": (
        *(mixed_up_machine, "multilabel", "probabilities", "Edema Fracture", 12),
        "valid/patient00000/study1/view1.jpg",
    ),
    "rsna-bone-age": (
        *(bone_age, "regression", "values", "boneage", 24),
        "boneage-test-dataset/boneage-test-dataset/4360.png",
    ),
    "avito": (classifieds, "regression", "values", "deal_probability", 12, "data/test_jpg/b0f.jpg"),
    "sorghum": (sorghum, "binary", "label", "PI_154 PI_257", 12, "test/0.jpg"),
    "isic-2019": (
        *(skin_lesions, "multiclass", "probabilities", "MEL NV BCC UNK", 12),
        "ISIC_2019_Test_Input/ISIC_0000090.jpg",
    ),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_data_set_is_understood_that_nobody_has_named(name: str, tmp_path: Path) -> None:
    build, task, kind, classes, n_images, first_test = UNDERSTOOD[name]
    root = tmp_path / "some-folder"
    build(root)
    competition = read_competition(root)
    assert (competition.task.value, competition.submission.submission_kind.value) == (task, kind)
    assert competition.classes == tuple(classes.split())
    assert len(competition.image_ids) == n_images
    assert competition.test_paths[0] == root / first_test
    assert not set(competition.test_paths) & set(competition.image_paths)


def test_row_numbers_that_name_images_are_no_ids(tmp_path: Path) -> None:
    row_numbers(tmp_path)
    competition = read_competition(tmp_path)
    assert competition.image_ids[0] == "11"
    assert competition.image_paths[0] == tmp_path / "train/11.png"


def test_lists_of_findings_become_a_column_for_each_and_one_name_for_none(tmp_path: Path) -> None:
    chest_x_rays(tmp_path)
    competition = read_competition(tmp_path)
    assert competition.targets[:4].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 0]]
    lists = "labels: lists in column Finding Labels (Cardiomegaly|Effusion) taken apart"
    assert f"{lists}, none of them where it is No Finding" in competition.evidence
    assert competition.grouped_by == "Patient ID"


def test_a_row_with_neither_label_nor_image_is_left_out_and_told(tmp_path: Path) -> None:
    sorghum(tmp_path)
    line = "warning: labels: 1 row of train_cultivar_mapping.csv with neither label nor image left out: .DS_Store"
    assert line in read_competition(tmp_path).evidence


def pairs_of_eyes(root: Path) -> None:
    put_empty(
        root, (f"{part}/{row}_{side}.jpg" for part in ("train", "test") for row in TWELVE for side in ("left", "right"))
    )
    rows = [(row, f"{row}_left.jpg", f"{row}_right.jpg", row % 2, (row + 1) % 2) for row in TWELVE]
    put_table(root, "train.csv", "ID,Left-Fundus,Right-Fundus,N,D", rows)
    put_table(root, "sample_submission.csv", "ID,N,D", [(row, 0.5, 0.5) for row in TWELVE])


def kidneys(root: Path) -> None:
    put_empty(root, (f"{part}/{row}.tiff" for part in ("train", "test") for row in TWELVE))
    rows = [(row, " ".join(f"{100 * run + row} {3 + run % 2}" for run in range(9))) for row in TWELVE]
    put_table(root, "train.csv", "id,encoding", rows)
    put_table(root, "sample_submission.csv", "id,predicted", [(row, "") for row in TWELVE])


def old_japanese(root: Path) -> None:
    put_empty(root, (f"{part}_images/{part}_{row}.jpg" for part in ("train", "test") for row in TWELVE))
    put_table(root, "train.csv", "image_id,labels", [(f"train_{row}", f"U+306F {row} 3465 133 53") for row in TWELVE])
    sample = [(f"test_{row}", "U+003F 1 1 U+FF2F 2 2") for row in TWELVE]
    put_table(root, "sample_submission.csv", "image_id,labels", sample)


def landmarks(root: Path) -> None:
    put_empty(root, (f"{part}/a/b/{row}/ab{row}.jpg" for part in ("train", "test") for row in TWELVE))
    put_table(root, "train.csv", "id,landmark_id", [(f"ab{row}", (7, 137790)[row % 2]) for row in TWELVE])
    put_table(root, "sample_submission.csv", "id,landmarks", [(f"ab{row}", "137790 0.1") for row in TWELVE])


def adoption(root: Path) -> None:
    put_empty(root, (f"{part}_images/{row}-1.jpg" for part in ("train", "test") for row in TWELVE))
    put_table(root, "train/train.csv", "PetID,AdoptionSpeed", [(row, row % 5) for row in TWELVE])
    put_table(root, "test/sample_submission.csv", "PetID,AdoptionSpeed", [(row, 0) for row in TWELVE])


def flowers(root: Path) -> None:
    put_empty(root, (f"flowers/{label}/{row}.jpg" for label in ("daisy", "rose") for row in TWELVE))


def leaf_counts(root: Path) -> None:
    put_empty(root, (f"{part}/plant{row:03}_rgb.png" for part in ("train", "test") for row in TWELVE))
    put_table(root, "train.csv", "filename,leaves", [(f"plant{row:03}_rgb.png", 5 + row % 9) for row in TWELVE])
    put_table(root, "sample_submission.csv", "filename,leaves", [(f"plant{row:03}_rgb.png", 0) for row in TWELVE])


def test_images_missing(root: Path) -> None:
    put_empty(root, (f"train/{row}.png" for row in TWELVE))
    put_table(root, "train.csv", "id,label", [(row, "ab"[row % 2]) for row in TWELVE])
    put_table(root, "sample_submission.csv", "id,label", [(99, "a")])


test_images_missing.__test__ = False  # type: ignore[attr-defined]

REFUSED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "masks of a blank sample": (kidneys, "column encoding holds lists that name something twice", "segmentation"),
    "boxes among the labels": (old_japanese, "asks for masks or boxes: U+003F 1 1 U+FF2F", "segmentation"),
    "labels and confidences": (landmarks, "a confidence behind each: 137790 0.1", "add the confidences"),
    "counts or classes": (leaf_counts, "whether the 9 whole numbers in column leaves are classes", "--task regression"),
    "no test images": (test_images_missing, "names an image in the folder: 99", "test images are unpacked"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    build, problem, hint = REFUSED[name]
    build(tmp_path)
    with pytest.raises(DataError) as refusal:
        read_competition(tmp_path)
    assert problem in refusal.value.problem
    assert hint in refusal.value.hint
    assert len(refusal.value.problem) < 400


def test_a_row_for_both_eyes_is_the_mean_of_their_predictions(tmp_path: Path) -> None:
    pairs_of_eyes(tmp_path)
    competition = read_competition(tmp_path)
    assert len(competition.image_ids) == len(competition.test_ids) == 24
    assert competition.submission.images_of_row == tuple((2 * row, 2 * row + 1) for row in TWELVE)
    assert competition.targets.tolist() == [(row + 1) % 2 for row in TWELVE for _ in range(2)]
    assert competition.groups is not None and len(np.unique(competition.groups)) == 12


def test_tables_in_folders_are_read(tmp_path: Path) -> None:
    adoption(tmp_path)
    competition = read_competition(tmp_path, CompetitionSettings(task=Task.ORDINAL))
    assert [path.name for path in competition.test_paths] == [f"{row}-1.jpg" for row in TWELVE]
    assert competition.targets.tolist() == [row % 5 for row in TWELVE]
    assert "sample: test/sample_submission.csv" in competition.evidence


def test_folders_of_classes_alone_are_read_without_a_test(tmp_path: Path) -> None:
    flowers(tmp_path)
    competition = read_competition(tmp_path)
    assert competition.classes == ("daisy", "rose")
    assert not competition.has_test_images
    assert competition.submission.header == ("id", "label")


def test_counts_are_values_where_that_is_said(tmp_path: Path) -> None:
    leaf_counts(tmp_path)
    assert read_competition(tmp_path, CompetitionSettings(task=Task.REGRESSION)).metric.name == "rmse"
    assert read_competition(tmp_path, CompetitionSettings(task=Task.MULTICLASS)).metric.name == "accuracy"


@pytest.mark.parametrize("columns", [("id", "cat", "dog", "bat"), ("label", "id")])
def test_a_class_without_images_and_ids_in_another_column_reach_the_submission(
    folder: Folder, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    names = [f"t{number}" for number in range(3)]
    for number in TWELVE:
        folder.paint(f"train/a{number}.png", folder.classes[number % 2])
    for number, name in enumerate(names):
        folder.paint(f"test/{name}.png", folder.classes[number % 2])
    folder.csv("train.csv", ["id", "label"], [[f"a{number}", folder.classes[number % 2]] for number in TWELVE])
    fields = {"label": "cat", "cat": 0.5, "dog": 0.25, "bat": 0.25}
    rows = [[name if column == "id" else fields[column] for column in columns] for name in names]
    folder.csv("sample_submission.csv", columns, rows)

    competition = read_competition(folder.path)
    folds = make_folds(competition, n_folds=3, seed=0)
    probs = fit_and_predict(competition, folds, tmp_path / "cache")
    path = tmp_path / "submission.csv"
    write_submission(competition, probs.test, path)

    assert validate.find_problems(competition, path.read_bytes()) == []
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(columns)
    assert [line.split(",")[columns.index("id")] for line in lines[1:]] == names
    assert np.isfinite(competition.scorer(competition.targets[probs.rows], probs.oof))


def test_a_folder_of_validation_images_beside_training_and_test_is_left_out_and_told(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        put_empty(
            tmp_path, (f"{part}/{label}/{part}{row}.jpg" for label in ("NORMAL", "PNEUMONIA") for row in range(3))
        )
    put_table(tmp_path, "sample_submission.csv", "id,label", [("test/NORMAL/test0.jpg", "NORMAL")])
    competition = read_competition(tmp_path)
    assert len(competition.image_ids) == 6
    line = "warning: images: 6 images outside the training and test folders left out: val/NORMAL/val0.jpg"
    assert any(told.startswith(line) for told in competition.evidence)
