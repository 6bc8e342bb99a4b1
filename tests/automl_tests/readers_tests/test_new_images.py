"""Test images that nobody saw when the competition was read: hidden test sets, and folders of new images."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest
from PIL import Image

from automl.data.competition import Competition, load_competition, save_competition
from automl.errors import DataError, UsageError
from automl.files.addresses import read_bytes
from automl.files.tables import find_tables
from automl.readers.new_images import find_broken_test_images, read_image_folder, read_test_images
from automl.readers.read import read_competition
from tests.automl_tests.competitions.container_files import jpeg, tfrecord
from tests.automl_tests.competitions.everything import ALL
from tests.automl_tests.competitions.miniatures import Folder, Miniature
from tests.automl_tests.readers_tests.sources import put_json
from tests.automl_tests.small_competitions import put_empty, put_table

SLUGS = attrgetter("slug")
WITHOUT_IDS = ("digit-recognizer", "facial-keypoints-detection")  # rows of pixels in the order of the sample's rows


def without_training(root: Path, competition: Competition) -> None:
    """Delete training images that are files of their own, and the tables and documents of labels."""
    tests = {str(path) for path in competition.test_paths}
    for path in competition.image_paths:
        if str(path) not in tests and path.is_file():
            path.unlink()
    kept = ("sample", "test")
    for path in root.iterdir():
        if path.is_file() and path.suffix in (".csv", ".json") and not any(word in path.name.lower() for word in kept):
            path.unlink()
    for path in root.glob("train*.zip"):
        path.unlink()


def same_test(found: Competition, known: Competition) -> None:
    assert found.test_ids == known.test_ids
    assert [path.relative_to(found.root) for path in found.test_paths] == [
        path.relative_to(known.root) for path in known.test_paths
    ]
    assert found.submission == known.submission
    assert found.unreadable_test == known.unreadable_test


@pytest.mark.parametrize("one", ALL, ids=SLUGS)
def test_a_known_folder_gives_the_known_test_also_without_its_training_images(one: Miniature, tmp_path: Path) -> None:
    folder = tmp_path / one.slug
    one.build(folder)
    known = read_competition(folder)
    save_competition(with_one_test_image(known), tmp_path / "competition.json")
    begun = load_competition(tmp_path / "competition.json")
    moved = folder.rename(tmp_path / "elsewhere")

    found = read_test_images(moved, begun)
    same_test(found, known)
    assert (found.task, found.classes, found.metric) == (known.task, known.classes, known.metric)
    assert found.prior.tolist() == known.prior.tolist()
    assert found.fingerprint == known.fingerprint

    without_training(moved, found)
    same_test(read_test_images(moved, begun), known)


def with_one_test_image(known: Competition) -> Competition:
    """As if all but the first test image had been hidden when the competition was read."""
    return with_units(known, 1)


def with_units(known: Competition, n_units: int) -> Competition:
    """Leave so many rows of the submission, or so many images in the long form, and the images that belong to them."""
    template = known.submission
    rows = template.images_of_row or tuple((image,) for image in range(len(known.test_ids)))
    n_rows = n_units * (len(template.ids) // len(rows))
    n_images = sum(map(len, rows[:n_units]))
    return replace(
        known,
        test_ids=known.test_ids[:n_images],
        test_paths=known.test_paths[:n_images],
        submission=replace(
            template,
            ids=template.ids[:n_rows],
            cells=None if template.cells is None else template.cells[:n_rows],
            images_of_row=None if template.images_of_row is None else rows[:n_units],
        ),
    )


@pytest.mark.parametrize("one", [one for one in ALL if one.slug not in WITHOUT_IDS], ids=SLUGS)
def test_a_hidden_test_may_have_fewer_images(one: Miniature, tmp_path: Path) -> None:
    folder = tmp_path / one.slug
    one.build(folder)
    known = read_competition(folder)
    n_units = len(known.submission.images_of_row or known.test_ids)
    kept = with_units(known, max(1, n_units // 2))
    name = cut_sample(folder, known, len(kept.submission.ids))

    found = read_test_images(folder, known, sample=name)
    assert found.test_ids == kept.test_ids
    assert found.test_paths == kept.test_paths
    assert found.submission == kept.submission


def cut_sample(folder: Path, known: Competition, n_rows: int) -> str:
    """Leave so many rows of the sample; its name."""
    name, path = next((name, path) for name, path in find_tables(folder).items() if _ids(path, known))
    content = _written(_rows_of(path)[: 1 + n_rows])
    if path.is_file():
        path.write_bytes(content)
    else:
        path.parent.unlink()  # an archive of that one table
        (folder / name).write_bytes(content)
    return name


def _ids(path: Path, known: Competition) -> bool:
    header, *rows = _rows_of(path)
    template = known.submission
    return tuple(header) == template.header and tuple(row[template.id_column] for row in rows) == template.ids


def _rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline="")))


def _written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def cats_and_dogs(root: Path, *, test: tuple[str, ...] = ("t1", "t2")) -> Competition:
    put_empty(root, (f"train/a{number}.png" for number in range(12)))
    put_empty(root, (f"test/{name}.png" for name in test))
    put_table(root, "train.csv", "id,label", [(f"a{number}", "cat" if number % 2 else "dog") for number in range(12)])
    put_table(root, "sample_submission.csv", "id,label", [(name, "cat") for name in test])
    return read_competition(root)


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    folder = tmp_path / "hidden"
    folder.mkdir()
    return folder


def test_a_hidden_test_may_have_more_images_with_or_without_extensions(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    names = [f"n{number:04d}" for number in range(1200)]
    put_empty(hidden, (f"test/{name}.png" for name in names))
    put_table(hidden, "sample_submission.csv", "id,label", [(name, "cat") for name in names])
    found = read_test_images(hidden, known)
    assert found.test_ids == found.submission.ids == tuple(names)
    assert found.test_paths == tuple(hidden / f"test/{name}.png" for name in names)

    put_table(hidden, "sample_submission.csv", "id,label", [(f"{name}.png", "cat") for name in names[::-1]])
    found = read_test_images(hidden, known)
    assert found.test_paths == tuple(hidden / f"test/{name}.png" for name in names[::-1])
    assert found.evidence == (
        "sample: 1200 rows, from sample_submission.csv",
        "test: 1200 images in test/, from the ids of sample_submission.csv",
    )


def test_missing_test_images_get_the_prior(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.png", "test/n3.png"])
    put_table(hidden, "sample_submission.csv", "id,label", [(f"n{number}", "cat") for number in (1, 2, 3)])
    found = read_test_images(hidden, known)
    assert found.unreadable_test == (1,)
    assert "n2" in found.evidence[-1]


@pytest.mark.parametrize("others", [[], ["train/a1.png", "masks/b.png"]])
def test_where_the_test_is_not_there_at_all_every_row_gets_the_prior(
    tmp_path: Path, hidden: Path, others: list[str]
) -> None:
    known = cats_and_dogs(tmp_path / "data")
    (hidden / "test").mkdir()
    put_empty(hidden, others)
    put_table(hidden, "sample_submission.csv", "id,label", [("n1", "cat"), ("n2", "cat"), ("n3", "cat")])
    found = read_test_images(hidden, known)
    assert found.unreadable_test == (0, 1, 2)
    assert found.submission.ids == ("n1", "n2", "n3")
    assert "none of 3 images is there" in found.evidence[-1]


def test_where_other_test_images_are_there_the_ids_are_at_fault(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/m1.png"])
    put_table(hidden, "sample_submission.csv", "id,label", [("n1", "cat")])
    with pytest.raises(DataError, match="names an image in test/: n1"):
        read_test_images(hidden, known)


def test_test_images_of_a_kind_that_is_not_read_are_not_taken_for_missing_ones(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.psd"])
    put_table(hidden, "sample_submission.csv", "id,label", [("n1", "cat")])
    with pytest.raises(DataError) as refusal:
        read_test_images(hidden, known)
    assert ".psd (image of another format)" in refusal.value.problem


def test_a_sample_of_another_competition_is_refused_with_the_difference(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.png"])
    put_table(hidden, "sample_submission.csv", "image_id,target", [("n1", "0.5")])
    with pytest.raises(DataError) as refusal:
        read_test_images(hidden, known)
    assert "columns image_id, target" in refusal.value.problem
    assert "has id, label" in refusal.value.problem


def test_without_a_sample_nobody_knows_the_rows(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.png"])
    with pytest.raises(DataError, match="holds no sample submission"):
        read_test_images(hidden, known)
    with pytest.raises(DataError, match="no folder"):
        read_test_images(hidden / "gone", known)


def test_of_two_samples_the_one_with_the_competitions_columns_is_taken(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.png"])
    put_table(hidden, "sample_submission_boxes.csv", "id,PredictionString", [("n1", "1 2 3 4")])
    put_table(hidden, "sample_submission_labels.csv", "id,label", [("n1", "cat")])
    assert read_test_images(hidden, known).submission.ids == ("n1",)


def test_the_user_may_name_the_sample(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(hidden, ["test/n1.png", "test/n2.png"])
    put_table(hidden, "sample_submission_1.csv", "id,label", [("n1", "cat")])
    put_table(hidden, "sample_submission_2.csv", "id,label", [("n2", "cat")])
    assert read_test_images(hidden, known, sample="sample_submission_1").test_ids == ("n1",)
    with pytest.raises(UsageError, match="no such table"):
        read_test_images(hidden, known, sample="sample.csv")


def test_a_sample_of_another_name_is_known_by_its_columns_where_its_images_are_hidden(
    tmp_path: Path, hidden: Path
) -> None:
    put_empty(tmp_path / "data", ["test/t1.png"])
    put_table(tmp_path / "data", "submit_format.csv", "id,label", [("t1", "cat")])
    put_empty(tmp_path / "data", (f"train/{label}/{number}.png" for label in ("cat", "dog") for number in range(6)))
    known = read_competition(tmp_path / "data")
    put_table(hidden, "submit_format.csv", "id,label", [("n1", "cat"), ("n2", "cat")])
    put_table(hidden, "train.csv", "id,label", [("a1", "cat")])
    assert read_test_images(hidden, known).unreadable_test == (0, 1)


def test_ids_stay_in_the_column_that_had_them(tmp_path: Path, hidden: Path) -> None:
    """A sample of one row does not tell which of its columns is the id."""
    data = tmp_path / "data"
    put_empty(data, (f"train/{label}/{label}-{number}.jpg" for label in ("cbb", "cgm") for number in range(6)))
    put_empty(data, ["test/0/x-1.jpg", "test/0/x-2.jpg"])
    put_table(data, "sample_submission.csv", "Category,Id", [("cgm", "x-1.jpg"), ("cgm", "x-2.jpg")])
    known = read_competition(data)
    assert known.submission.id_column == 1
    put_empty(hidden, ["test/0/y-1.jpg"])
    put_table(hidden, "sample_submission.csv", "Category,Id", [("cgm", "y-1.jpg")])
    assert read_test_images(hidden, known).test_ids == ("y-1.jpg",)


def long_form(root: Path, names: list[str], targets: list[str]) -> None:
    put_empty(root, (f"test/{name}.png" for name in names))
    rows = [(f"{name}_{target}", 0.5) for name in names for target in targets]
    put_table(root, "sample_submission.csv", "ID,Label", rows)


def test_the_long_form_is_told_by_the_classes_however_few_images_there_are(tmp_path: Path, hidden: Path) -> None:
    data, targets = tmp_path / "data", ["epidural", "any", "sub_dural"]
    long_form(data, ["ID_t1", "ID_t2"], targets)
    put_empty(data, (f"train/ID_a{number}.png" for number in range(8)))
    rows = [
        (f"ID_a{number}_{name}", (number >> place) & 1) for number in range(8) for place, name in enumerate(targets)
    ]
    put_table(data, "train.csv", "ID,Label", rows)
    known = read_competition(data)
    assert known.submission.cells is not None

    long_form(hidden, ["ID_n1"], ["any", "sub_dural", "epidural"])  # one image, its rows in another order
    found = read_test_images(hidden, known)
    assert found.test_ids == ("ID_n1",)
    columns = [known.classes[column] for _, column in found.submission.cells or ()]
    assert columns == ["any", "sub_dural", "epidural"]

    long_form(hidden, ["ID_n1", "ID_n2"], ["any", "sub_dural"])
    with pytest.raises(DataError, match="one row for each image and each of"):
        read_test_images(hidden, known)


def test_a_json_list_of_the_test_names_the_files(tmp_path: Path, hidden: Path) -> None:
    def filled(root: Path, ids: list[int]) -> None:
        put_empty(root, (f"test/img-{number:03d}.jpg" for number in ids))
        put_json(root / "test.json", {"images": [{"id": n, "file_name": f"test/img-{n:03d}.jpg"} for n in ids]})
        put_table(root, "sample_submission.csv", "id,category", [(number, 0) for number in ids])

    data = tmp_path / "data"
    filled(data, [1, 2])
    put_empty(data, (f"train/a{number}.jpg" for number in range(12)))
    images = [{"id": number, "file_name": f"train/a{number}.jpg"} for number in range(12)]
    labels = [{"id": number, "image_id": number, "category_id": number % 3} for number in range(12)]
    put_json(data / "train.json", {"images": images, "annotations": labels})
    known = read_competition(data)
    filled(hidden, [7, 8, 9])
    assert read_test_images(hidden, known).test_paths == tuple(hidden / f"test/img-{n:03d}.jpg" for n in (7, 8, 9))


def test_test_images_in_an_archive_are_found_in_it(tmp_path: Path, hidden: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    with zipfile.ZipFile(hidden / "test.zip", "w") as archive:
        archive.writestr("test/n1.png", b"")
    put_table(hidden, "sample_submission.csv", "id,label", [("n1", "cat")])
    assert read_test_images(hidden, known).test_paths == (hidden / "test.zip/test/n1.png",)


def pixel_rows(root: Path, n: int) -> None:
    names = ",".join(f"pixel{number}" for number in range(16))
    rows = [[(row + column) % 256 for column in range(16)] for row in range(n)]
    put_table(root, "test.csv", names, rows)
    put_table(root, "sample_submission.csv", "ImageId,Label", [(row + 1, 0) for row in range(n)])


def test_rows_of_pixels_are_test_images_in_their_order(tmp_path: Path, hidden: Path) -> None:
    data = tmp_path / "data"
    pixel_rows(data, 2)
    names = ",".join(["label", *(f"pixel{number}" for number in range(16))])
    put_table(data, "train.csv", names, [[row % 3, *range(row, row + 16)] for row in range(12)])
    known = read_competition(data)
    pixel_rows(hidden, 5)
    found = read_test_images(hidden, known)
    assert found.test_paths == tuple(hidden / f"test.csv/{row}" for row in range(5))
    assert [path.name for path in read_image_folder(hidden, known).test_paths] == ["0", "1", "2", "3", "4"]

    put_table(hidden, "sample_submission.csv", "ImageId,Label", [(1, 0), (2, 0)])
    with pytest.raises(DataError, match="no column of ids"):
        read_test_images(hidden, known)


def test_a_folder_of_new_images_is_read_in_sorted_order(tmp_path: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    folder = tmp_path / "new"
    put_empty(folder, ["b.PNG", "a/x.jpg", "train/y.jpg", "notes.txt", ".hidden.png", "automl_runs/z.png"])
    found = read_image_folder(folder, known)
    assert found.test_ids == ("a/x.jpg", "b.PNG", "train/y.jpg")
    assert found.test_paths == tuple(folder / name for name in found.test_ids)
    assert found.unreadable_test == ()
    assert (found.classes, found.root) == (known.classes, folder)


def test_a_single_image_is_a_folder_of_one(tmp_path: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    found = read_image_folder(tmp_path / "data/test/t1.png", known)
    assert (found.test_ids, found.test_paths) == (("t1.png",), (tmp_path / "data/test/t1.png",))


def test_files_that_may_hold_images_and_are_not_read_are_said(tmp_path: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(tmp_path / "new", ["a.png", "b.psd", "c.psd"])
    found = read_image_folder(tmp_path / "new", known)
    assert found.test_ids == ("a.png",)
    assert found.evidence[1].startswith("warning: images: not read: 2 .psd (image of another format): ")


def test_images_of_a_file_for_each_colour_are_put_together(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ids = [f"{number:04d}" for number in range(12)]
    put_empty(data, (f"train/{name}_{colour}.png" for name in ids for colour in ("red", "green", "blue")))
    put_empty(data, (f"test/t_{colour}.png" for colour in ("red", "green", "blue")))
    put_table(data, "train.csv", "Id,Target", [(name, int(name) % 3) for name in ids])
    put_table(data, "sample_submission.csv", "Id,Target", [("t", 0)])
    known = read_competition(data)
    new = tmp_path / "new"
    put_empty(new, (f"{place}/n_{colour}.png" for place in "ab" for colour in ("red", "green", "blue")))
    put_empty(new, ["alone.png"])
    found = read_image_folder(new, known)
    assert found.test_ids == ("a/n", "alone.png", "b/n")
    assert found.test_paths[0] == new / "a/n_{red,green,blue}.png"


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    put_empty(tmp_path, ["new/notes.txt"])
    for path in (tmp_path / "new", tmp_path / "gone", tmp_path / "new/notes.txt", Path("a\0b")):
        with pytest.raises(DataError):
            read_image_folder(path, known)


def test_broken_test_images_are_named_and_training_images_are_not_opened(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data", seed=1)
    folder.classes = ["cat", "dog"]
    known = cats_and_dogs(tmp_path / "data", test=("t1", "t2", "t3"))
    for name in ("t1", "t3"):
        folder.paint(f"test/{name}.png", "cat")
    shutil.rmtree(tmp_path / "data/train")
    seen: list[tuple[int, int]] = []
    problems = find_broken_test_images(known, tmp_path / "scratch", on_progress=lambda *done: seen.append(done))
    assert seen[-1] == (3, 3)
    assert list(problems) == [1]
    assert "test/t2.png" in problems[1]


def test_the_images_in_a_file_of_many_are_new_images(tmp_path: Path) -> None:
    known = cats_and_dogs(tmp_path / "data")
    record = jpeg(Image.new("RGB", (8, 8), "red"))
    (tmp_path / "new.tfrec").write_bytes(tfrecord([{"id": "a", "image": record}, {"id": "b", "image": record}]))
    found = read_image_folder(tmp_path / "new.tfrec", known)
    assert found.test_ids == ("new.tfrec/a", "new.tfrec/b")
    assert find_broken_test_images(found, tmp_path / "survey") == {}
    (tmp_path / "new.tfrec").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"new\.tfrec is damaged"):
        read_image_folder(tmp_path / "new.tfrec", known)
