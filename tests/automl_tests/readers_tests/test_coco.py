"""Labels in JSON files of every form that competitions use are read, and damage is named by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from automl.errors import AutomlError, DataError, UsageError
from automl.readers.labels.coco import read_json_labels
from automl.readers.labels.source import Labels, LabelSource, LayoutMismatchError
from tests.automl_tests.readers_tests.annotations import CATS, coco, put_cats, put_sample, with_annotations
from tests.automl_tests.readers_tests.sources import put_json, source_of
from tests.automl_tests.small_competitions import put_images


def test_the_files_of_inaturalist_are_joined(tmp_path: Path) -> None:
    names = [f"train_val2019/{place}" for place in ("Plants/400/aa.jpg", "Plants/401/bb.jpg", "Birds/7/cc.jpg")]
    put_images(tmp_path, names)
    put_sample(tmp_path, "71 108 339 341 560", header="id,predicted")
    more = {"info": {"year": 2019}, "categories": [{"id": 400, "name": "fern"}, {"id": 7, "name": "wren"}]}
    put_json(tmp_path / "train2019.json", coco({1: names[0], 2: names[1]}, {1: 400, 2: 401}, **more))  # type: ignore[dict-item]
    put_json(tmp_path / "val2019.json", coco({3: names[2]}, {3: 7}, **more))  # type: ignore[dict-item]
    put_json(tmp_path / "test2019.json", {"images": [{"id": 9, "file_name": "test2019/x.jpg"}], "annotations": []})
    labels = read_json_labels(source_of(tmp_path))
    assert (labels.ids, labels.texts, labels.images) == (("1", "2", "3"), ("400", "401", "7"), tuple(names))
    assert labels.columns == ("label",)
    assert labels.evidence == (
        "labels: 3 images, from the annotations of train2019.json and val2019.json",
        "labels: the folders of the images say the same",
    )


def test_the_files_of_iwildcam_give_locations_and_sequences(tmp_path: Path) -> None:
    document = coco({}, {"x-1": 0, "x-2": 96})
    document["images"] = [
        {"id": "x-1", "file_name": "x-1.jpg", "location": 31, "seq_id": "s", "height": 747},
        {"id": "x-2", "file_name": "x-2.jpg", "seq_id": "t", "width": 1.5},
    ]
    document["annotations"][0]["bbox"] = [1, 2, 3, 4]
    put_images(tmp_path, ["train/x-1.jpg", "train/x-2.jpg"])
    put_sample(tmp_path, "0")
    put_json(tmp_path / "iwildcam2020_train_annotations.json", document)
    put_json(tmp_path / "iwildcam2020_megadetector_results.json", {"images": [{"id": "x-1", "detections": []}]})
    labels = read_json_labels(source_of(tmp_path))
    assert labels.texts == ("0", "96")
    assert labels.others["location"] == ("31", "")
    assert labels.others["seq_id"] == ("s", "t")
    assert labels.others["width"] == ("", "1.5")


def test_the_file_of_herbarium_has_image_id_and_categories_without_names(tmp_path: Path) -> None:
    put_images(tmp_path, ["train_images/000/00/00000__001.jpg", "train_images/000/00/00000__002.jpg"])
    put_sample(tmp_path, "1", header="Id,Predicted")
    document = {
        "annotations": [{"genus_id": 1, "category_id": 5, "image_id": f"00000__00{n}"} for n in (1, 2)],
        "images": [{"image_id": f"00000__00{n}", "file_name": f"000/00/00000__00{n}.jpg"} for n in (1, 2)],
        "categories": [{"category_id": 5, "scientificName": "Abies amabilis"}],
    }
    put_json(tmp_path / "train_metadata.json", document)
    labels = read_json_labels(source_of(tmp_path))
    assert labels.ids == ("00000__001", "00000__002")
    assert labels.images[1] == "train_images/000/00/00000__002.jpg"
    assert labels.texts == ("5", "5")


def test_images_known_by_address_alone_are_found_by_id_or_asked_for(tmp_path: Path) -> None:
    document = {
        "images": [{"image_id": n, "url": [f"http://x.org/{n}/pic.jpg"]} for n in (1, 2)],
        "annotations": [{"image_id": n, "label_id": n + 4} for n in (1, 2)],
    }
    put_sample(tmp_path, "20", header="id,predicted")
    put_json(tmp_path / "train.json", document)
    with pytest.raises(
        DataError, match=r"train.json names 2 images by addresses on the web, and none of them"
    ) as error:
        read_json_labels(source_of(tmp_path))
    assert error.value.hint == "download them under their ids, this one as train/1.jpg"
    put_images(tmp_path, ["train/1.jpg"])
    with pytest.raises(DataError, match=r"train.json names 1 image that is not in train/: 2"):
        read_json_labels(source_of(tmp_path))
    labels = read_json_labels(source_of(tmp_path, skip_missing=True))
    assert (labels.ids, labels.texts) == (("1",), ("5",))


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("Id,Category", ["1", "2"], ("1", "2")),
        ("Id,Category", ["red fox", "lynx"], ("red fox", "lynx")),
        ("Id,Category", ["lynx", ""], ("red fox", "lynx")),
        ("Id,red fox,lynx", ["0,1", "1,0"], ("red fox", "lynx")),
        ("Id,1,2", ["0,1", "1,0"], ("1", "2")),
        ("Id,Category", ["", ""], ("1", "2")),
    ],
)
def test_categories_are_called_as_the_sample_calls_them(
    tmp_path: Path, header: str, values: list[str], expected: tuple[str, ...]
) -> None:
    put_cats(tmp_path, CATS | {"categories": [{"id": 1, "name": "red fox"}, {"id": 2, "name": "lynx"}]})
    put_sample(tmp_path, *values, header=header)
    assert read_json_labels(source_of(tmp_path)).texts[:2] == expected


def test_categories_whose_names_are_numbers_too_are_called_by_their_ids(tmp_path: Path) -> None:
    put_cats(tmp_path, CATS | {"categories": [{"id": 1, "name": "2"}, {"id": 2, "name": "1"}]})
    assert read_json_labels(source_of(tmp_path)).texts == ("1", "2", "1")


def test_several_categories_of_many_images_are_a_list_and_repeated_ones_count_once(tmp_path: Path) -> None:
    put_cats(tmp_path, with_annotations(("7", 1), ("7", 2), ("7", 1), ("8", 2), ("9", 1)))
    assert read_json_labels(source_of(tmp_path)).texts == ("1 2", "2", "1")


def test_several_categories_fill_the_columns_of_the_sample(tmp_path: Path) -> None:
    put_cats(tmp_path, with_annotations(("7", 1), ("7", 2), ("8", 2), ("9", 1)))
    put_sample(tmp_path, "0,0,0", header="Id,2,1,5")
    labels = read_json_labels(source_of(tmp_path))
    assert labels.columns == ("2", "1", "5")
    assert labels.cells == (("1", "1", "0"), ("1", "0", "0"), ("0", "1", "0"))


@pytest.mark.parametrize(("sample", "n_left"), [(["1", "2"], 39), (["1", "1 2"], 40)])
def test_few_images_with_several_categories_are_left_out_unless_the_sample_has_lists(
    tmp_path: Path, sample: list[str], n_left: int
) -> None:
    names = {f"i{n}": f"i{n}.png" for n in range(40)}
    document = coco(names, {image: n % 2 for n, image in enumerate(names)})
    document["annotations"].append({"image_id": "i3", "category_id": 0})
    put_images(tmp_path, [f"train/{name}" for name in names.values()])
    put_sample(tmp_path, *sample)
    put_json(tmp_path / "train.json", document)
    labels = read_json_labels(source_of(tmp_path))
    assert len(labels.ids) == n_left
    line = "warning: labels: 1 image of train.json with several categories left out: i3.png"
    assert (line in labels.evidence) == (n_left == 39)


def test_names_with_blanks_cannot_be_a_list(tmp_path: Path) -> None:
    names = {"categories": [{"id": 1, "name": "red fox"}, {"id": 2, "name": "lynx"}]}
    put_cats(tmp_path, with_annotations(("7", 1), ("7", 2), ("8", 2)) | names, sample="lynx")
    with pytest.raises(DataError, match=r"several categories, but the name of one holds a blank: red fox"):
        read_json_labels(source_of(tmp_path))


def test_images_without_annotation_and_annotations_without_image_are_no_labels(tmp_path: Path) -> None:
    put_cats(tmp_path, with_annotations(("7", 1), ("9", 2), ("404", 1)))
    labels = read_json_labels(source_of(tmp_path))
    assert labels.ids == ("7", "9")
    assert "warning: labels: 1 image of train.json without an annotation left out: b.png" in labels.evidence
    assert "warning: labels: 1 annotated image that train.json does not list left out: 404" in labels.evidence


def test_annotations_alone_find_images_by_their_ids(tmp_path: Path) -> None:
    put_cats(tmp_path, {"annotations": [{"image_id": "a", "category_id": 3}, {"image_id": "b.png", "category_id": 4}]})
    labels = read_json_labels(source_of(tmp_path))
    assert (labels.images, labels.texts) == (("train/a.png", "train/b.png"), ("3", "4"))


def test_ids_of_two_files_that_are_the_same_number_stay_apart(tmp_path: Path) -> None:
    put_cats(tmp_path, coco({"1": "a.png"}, {"1": 5}))
    put_json(tmp_path / "val.json", coco({"1": "b.png"}, {"1": 6}))
    labels = read_json_labels(source_of(tmp_path))
    assert (labels.ids, labels.texts) == (("a.png", "b.png"), ("5", "6"))


def test_ids_without_file_names_are_looked_for_in_the_folder_called_as_their_file(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/1.jpg", "train/2.jpg"])
    put_sample(tmp_path, "5")
    for name, label_of in (("train", {1: 5, 2: 6}), ("validation", {1: 7})):
        images = [{"image_id": n, "url": [f"http://x.org/{name}{n}.jpg"]} for n in label_of]
        annotations = [{"image_id": n, "label_id": label} for n, label in label_of.items()]
        put_json(tmp_path / f"{name}.json", {"images": images, "annotations": annotations})
    labels = read_json_labels(source_of(tmp_path))
    assert (labels.ids, labels.texts) == (("1", "2"), ("5", "6"))
    assert "warning: labels: validation.json left out: none of its 1 image is there" in labels.evidence
    put_images(tmp_path, ["validation/1.jpg"])
    labels = read_json_labels(source_of(tmp_path))
    assert labels.images == ("train/1.jpg", "train/2.jpg", "validation/1.jpg")
    assert (len(set(labels.ids)), labels.texts) == (3, ("5", "6", "7"))


@pytest.mark.parametrize(
    "document",
    [
        {"a.png": 1, "b": "2", "train/c.png": 1, "d": [2]},
        [{"id": "a", "label": 1}, {"id": "b", "label": 2}, {"id": "c", "label": 1}, {"id": "d", "label": "2"}],
        [{"file_name": f"{name}.png", "category": 1 + place % 2} for place, name in enumerate("abcd")],
    ],
)
def test_plain_mappings_and_records_are_read(tmp_path: Path, document: Any) -> None:
    put_cats(tmp_path, document)
    labels: Labels = read_json_labels(source_of(tmp_path))
    assert labels.images == tuple(f"train/{name}.png" for name in "abcd")
    assert labels.texts == ("1", "2", "1", "2")


@pytest.mark.parametrize(
    "document",
    [
        {"0": "Cassava Bacterial Blight", "1": "Healthy"},
        {"a.png": 1, "b.png": None},
        {"x": {"y": 1}},
        [1, 2],
        [{"id": "a"}],
        "text",
        7,
        {"images": [{"id": "a", "file_name": "a.png"}]},
        {},
        [],
    ],
)
def test_documents_without_labels_are_of_another_kind(tmp_path: Path, document: Any) -> None:
    put_cats(tmp_path, document)
    with pytest.raises(LayoutMismatchError, match=r"train.json holds no labels"):
        read_json_labels(source_of(tmp_path))


def test_annotations_of_other_images_are_refused_where_their_file_is_called_as_one_of_labels(tmp_path: Path) -> None:
    put_cats(tmp_path, coco({"1": "x.png", "2": "y.png"}, {"1": 1, "2": 2}))
    with pytest.raises(DataError, match=r"train.json names no image in train/, but x.png, y.png") as caught:
        read_json_labels(source_of(tmp_path))
    assert "id x.png of train.json; a file is called train/" in caught.value.seen[0]
    (tmp_path / "train.json").rename(tmp_path / "other.json")
    with pytest.raises(LayoutMismatchError, match=r"other.json names no image in train/"):
        read_json_labels(source_of(tmp_path))


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"a.png": 1}, "train.json has labels of 1 of 4 training images, and of 0 that are not in train/"),
        (dict.fromkeys(["w", "x", "y", "z"], 1), "train.json has labels of 0 of 4 training images, and of 4 that are"),
    ],
)
def test_labels_of_few_of_the_images_are_refused_and_taken_where_they_are_asked_for(
    document: Any, problem: str, tmp_path: Path
) -> None:
    put_cats(tmp_path, document)
    with pytest.raises(DataError, match=problem):
        read_json_labels(source_of(tmp_path))
    if "a.png" in document:
        assert read_json_labels(source_of(tmp_path, labels="train.json")).images == ("train/a.png",)


def test_a_column_cannot_be_asked_of_a_document(tmp_path: Path) -> None:
    put_cats(tmp_path, {"a.png": 1})
    with pytest.raises(UsageError, match=r"--label breed: train\.json is a document"):
        read_json_labels(source_of(tmp_path, labels="train.json", label="breed"))
    with pytest.raises(LayoutMismatchError, match="asks for a column of a table"):
        read_json_labels(source_of(tmp_path, label="breed"))


def test_a_folder_without_json_is_of_another_kind(tmp_path: Path) -> None:
    put_sample(tmp_path, "1")
    with pytest.raises(LayoutMismatchError, match=r"there is no JSON file"):
        read_json_labels(source_of(tmp_path))


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from("7abc")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
keys = st.sampled_from(["id", "image_id", "file_name", "url", "category_id", "label", "name", "location", "x"])
entries = st.one_of(values, st.lists(st.dictionaries(keys, values, max_size=4), max_size=4))
top_keys = st.sampled_from(["images", "annotations", "categories", "a.png", "b"])
documents = st.one_of(values, entries, st.dictionaries(top_keys, entries, max_size=4))
small_changes = st.tuples(
    st.sampled_from(["images", "annotations"]), st.sampled_from(["id", "file_name", "image_id", "category_id"]), values
)


def read_or_refused(source: LabelSource, content: bytes) -> None:
    (source.root / "train.json").write_bytes(content)
    try:
        labels = read_json_labels(source)
    except LayoutMismatchError:
        return
    except AutomlError as error:
        assert "\n" not in error.problem
        return
    assert len(labels.ids) == len(set(labels.ids)) == len(set(labels.images)) == len(labels.cells)
    assert all(cell for row in labels.cells for cell in row)


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> LabelSource:
    root = tmp_path_factory.mktemp("cats")
    put_cats(root, CATS)
    return source_of(root, skip_missing=True)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, database=None)
@given(document=documents, changes=st.lists(small_changes, max_size=2), keep=st.booleans(), cut=st.integers(0, 400))
def test_whatever_the_file_holds_is_read_or_refused(
    document: Any, changes: list[Any], keep: bool, cut: int, cats: LabelSource
) -> None:
    if keep:
        document = json.loads(json.dumps(CATS))
        for part, key, value in changes:
            document[part][0][key] = value
    content = json.dumps(document).encode()
    read_or_refused(cats, content)
    read_or_refused(cats, content[:cut])
