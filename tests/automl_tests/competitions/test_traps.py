"""The traps of the reference, section 1C, each by its name: what real folders do to a reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.folds import TRAINING_ONLY, make_folds
from automl.errors import DataError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.submission import validate
from automl.submission.write import write_submission
from automl.tasks import Task
from tests.automl_tests.competitions.checker import complaints
from tests.automl_tests.competitions.miniatures import MINIATURES, Folder
from tests.automl_tests.competitions.plain_folder import TEST, TRAIN, fill, pixels_of


def test_id_dtype_leading_zeros_and_numbers_like_1e5_stay_text(folder: Folder) -> None:
    train = ["00013", "13", "1e5", "100000", "0x10", "007", "7", "1_0", "10", "1.0", "0", "00"]
    fill(folder, train=train, test=["00014", "14", "1e6"])
    competition = read_competition(folder.path)
    assert list(competition.image_ids) == train
    assert [path.stem for path in competition.image_paths] == [*train[:9], "1.0", *train[10:]]
    assert list(competition.test_ids) == ["00014", "14", "1e6"]
    assert [path.name for path in competition.test_paths] == ["00014.png", "14.png", "1e6.png"]


def test_id_dtype_a_uid_with_dots_is_no_number_and_has_no_extension(folder: Folder) -> None:
    train = [f"1.2.826.0.1.3680043.8.498.{10**30 + 7 * number}" for number in range(12)]
    fill(folder, train=train, test=["1.2.826.0.1.3680043.8.498.99", "1.2.826.0.1.3680043.8.498.9"])
    competition = read_competition(folder.path)
    assert [path.name for path in competition.image_paths] == [f"{name}.png" for name in train]


@pytest.mark.parametrize("extension", ["", ".png"])
def test_id_dtype_ids_come_with_and_without_extension(folder: Folder, extension: str) -> None:
    fill(folder, in_table=[f"{name}{extension}" for name in TRAIN])
    competition = read_competition(folder.path)
    assert [path.name for path in competition.image_paths] == [f"{name}.png" for name in TRAIN]


def test_label_values_that_pandas_takes_for_missing_are_classes(folder: Folder) -> None:
    classes = ["NaN", "None", "null", "NA"]
    fill(folder, labels=classes * 3)
    competition = read_competition(folder.path)
    assert sorted(competition.classes) == sorted(classes)
    assert [competition.classes[target] for target in competition.targets] == classes * 3


def test_label_values_may_be_empty_where_images_have_several(folder: Folder) -> None:
    labels = ["cat dog", "", "cat", "dog"] * 3
    fill(folder, labels=labels, header=("id", "tags"))
    folder.csv("sample_submission.csv", ["id", "tags"], [[name, "cat dog"] for name in TEST])
    competition = read_competition(folder.path)
    assert competition.task is Task.MULTILABEL
    assert competition.classes == ("cat", "dog")
    assert competition.targets.tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]] * 3


def test_train_only_columns_are_never_the_label(folder: Folder) -> None:
    labels = fill(folder)
    rows = [
        [name, "malignant", index % 3, label, 0.5 + index]
        for index, (name, label) in enumerate(zip(TRAIN, labels, strict=True))
    ]
    folder.csv("train.csv", ["id", "diagnosis", "BIRADS", "label", "age"], rows)
    competition = read_competition(folder.path)
    assert set(competition.classes) == {"cat", "dog"}
    assert [competition.classes[target] for target in competition.targets] == labels


def test_same_stem_several_formats_the_common_one_is_taken_and_it_is_said(folder: Folder) -> None:
    fill(folder)
    for name in TRAIN:
        folder.paint(f"train-tif/{name}.tif", "cat")
        folder.junk(f"train-dcm/{name}.dcm")
    competition = read_competition(folder.path)
    assert {path.suffix for path in competition.image_paths} == {".png"}
    assert any(".tif" in line for line in competition.evidence)


def test_same_name_in_several_folders_stays_apart(folder: Folder) -> None:
    for index in range(12):
        folder.paint(f"train/cat/{index:05d}.png", "cat")
        folder.paint(f"train/dog/{index:05d}.png", "dog")
    for name in TEST:
        folder.paint(f"test/{name}.png", "cat")
    folder.csv("sample_submission.csv", ["id", "label"], [[name, "cat"] for name in TEST])
    competition = read_competition(folder.path)
    assert len(set(competition.image_paths)) == 24
    truth = [path.parent.name for path in competition.image_paths]
    assert [competition.classes[target] for target in competition.targets] == truth


def test_archives_tables_and_images_are_read_from_zip_files(folder: Folder) -> None:
    labels = fill(folder)
    loose = read_competition(folder.path)
    packed = Folder(folder.path.parent / "packed", seed=7)
    for place in ("train", "test"):
        names = sorted((folder.path / place).iterdir())
        packed.zip(f"{place}.zip", {f"{place}/{path.name}": path.read_bytes() for path in names})
    packed.csv("train.csv.zip", ["id", "label"], zip(TRAIN, labels, strict=True))
    packed.csv("sample_submission.csv.zip", ["id", "label"], [[name, labels[0]] for name in TEST])
    competition = read_competition(packed.path)
    assert competition.image_ids == loose.image_ids
    assert competition.targets.tolist() == loose.targets.tolist()
    assert np.array_equal(pixels_of(competition), pixels_of(loose))


def test_archives_one_zip_of_the_whole_competition_is_read(folder: Folder) -> None:
    fill(folder)
    loose = read_competition(folder.path)
    files = {
        path.relative_to(folder.path).as_posix(): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()
    }
    packed = Folder(folder.path.parent / "packed", seed=7)
    packed.zip("some-competition.zip", files)
    competition = read_competition(packed.path)
    assert competition.image_ids == loose.image_ids
    assert np.array_equal(pixels_of(competition), pixels_of(loose))


@pytest.mark.parametrize("archive", ["train.7z", "train.zip.001", "train.tar.gz"])
def test_archives_that_are_not_read_are_named_with_what_to_do(folder: Folder, archive: str) -> None:
    fill(folder)
    for place in ("train", "test"):
        for path in (folder.path / place).iterdir():
            path.unlink()
    folder.junk(archive)
    with pytest.raises(DataError) as refusal:
        read_competition(folder.path)
    assert archive.partition(".")[2] in refusal.value.problem
    assert "unpack" in refusal.value.hint


def test_mac_os_junk_is_no_image(folder: Folder) -> None:
    fill(folder)
    plain = read_competition(folder.path)
    folder.junk(".DS_Store", "train/.DS_Store", "train/Thumbs.db", "test/desktop.ini", "train/._a00.png")
    folder.junk("__MACOSX/train/._a00.png", "__MACOSX/._train.csv", "._sample_submission.csv")
    littered = read_competition(folder.path)
    assert littered.image_paths == plain.image_paths
    assert littered.test_paths == plain.test_paths


def test_doubled_folders_are_looked_through(folder: Folder) -> None:
    for index in range(12):
        label = folder.classes[index % 2]
        folder.paint(f"seg_train/seg_train/{label}/{index}.jpg", label)
    for name in TEST:
        folder.paint(f"seg_test/seg_test/{name}.jpg", "cat")
    folder.csv("sample_submission.csv", ["id", "label"], [[f"{name}.jpg", "cat"] for name in TEST])
    competition = read_competition(folder.path)
    assert competition.classes == ("cat", "dog")
    assert len(competition.image_ids) == 12


def test_singletons_are_trained_on_and_never_validated_on(folder: Folder) -> None:
    train = [f"a{number:02d}" for number in range(14)]
    labels = [*["cat", "dog"] * 6, "lynx", "wolf"]
    fill(folder, train=train, labels=labels)
    competition = read_competition(folder.path)
    folds = make_folds(competition, n_folds=5, seed=0)
    assert folds[12:].tolist() == [TRAINING_ONLY, TRAINING_ONLY]
    assert TRAINING_ONLY not in folds[:12]


def test_test_images_absent_are_named_and_get_the_prior_when_asked(folder: Folder) -> None:
    fill(folder)
    folder.csv("sample_submission.csv", ["id", "label"], [[name, "cat"] for name in [*TEST, "h1", "h2"]])
    with pytest.raises(DataError, match="h1"):
        read_competition(folder.path)
    competition = read_competition(folder.path, CompetitionSettings(skip_missing=True))
    assert competition.test_ids == (*TEST, "h1", "h2")
    assert competition.unreadable_test == (3, 4)


def test_test_images_a_single_placeholder_of_noise_will_do(folder: Folder) -> None:
    fill(folder, test=["t1"])
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    folder.save("test/t1.png", Image.fromarray(noise))
    competition = read_competition(folder.path)
    path = folder.path.parent / "submission.csv"
    write_submission(competition, np.array([[0.3, 0.7]]), path)
    assert path.read_bytes() == b"id,label\nt1,dog\n"


def test_column_names_are_written_byte_for_byte(folder: Folder) -> None:
    columns = ["ETT - Abnormal", "2nd-rate", "café crème", "c,omma"]
    header = ["Study ID", *columns]
    fill(folder)
    rows = [[name, *[int(index % 4 == column) for column in range(4)]] for index, name in enumerate(TRAIN)]
    folder.csv("train.csv", header, rows)
    folder.csv("sample_submission.csv", header, [[name, *[0.25] * 4] for name in TEST])
    competition = read_competition(folder.path)
    path = folder.path.parent / "submission.csv"
    write_submission(competition, np.full((3, 4), 0.25), path)
    first = (folder.path / "sample_submission.csv").read_bytes().partition(b"\n")[0]
    assert path.read_bytes().partition(b"\n")[0] == first


def test_two_stages_the_later_sample_is_taken_and_the_earlier_one_can_be_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    MINIATURES[23].build(folder)
    later = read_competition(folder)
    earlier = read_competition(folder, CompetitionSettings(sample="sample_submission_stg1.csv"))
    assert len(later.test_ids) == 8
    assert len(earlier.test_ids) == 4
    assert later.test_ids[:4] == earlier.test_ids


def test_a_column_that_only_looks_like_a_group_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    MINIATURES[48].build(folder)
    assert read_competition(folder).groups is None, "Subject Focus and Group are flags of 0 and 1"


def test_masks_are_refused_by_name(folder: Folder) -> None:
    fill(folder)
    folder.csv("train.csv", ["id", "EncodedPixels"], [[name, "1 3 10 5"] for name in TRAIN])
    folder.csv("sample_submission.csv", ["id", "EncodedPixels"], [[name, "1 1"] for name in TEST])
    with pytest.raises(DataError, match="EncodedPixels"):
        read_competition(folder.path)


def test_predictions_may_be_empty_in_multi_label_files(tmp_path: Path) -> None:
    folder = tmp_path / "imet-2020-fgvc7"
    made = MINIATURES[42].build(folder)
    assert made is not None
    first, *others = made.form.ids
    content = "\n".join(["id,attribute_ids", f"{first},0 147", *[f"{name}," for name in others], ""]).encode()
    assert complaints(made.form, content) == []
    assert validate.find_problems(read_competition(folder), content) == []
