"""Competitions whose labels are in JSON documents, COCO's or alike, and those whose pixels are in tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature

LAYOUT = "JSON"


@miniature(
    31,
    "inaturalist-2019-fgvc6",
    layout=f"{LAYOUT}, another one for validation",
    task="multiclass",
    submission="best 5 labels",
    needs=("--metric top1_error",),
)
def inaturalist(folder: Folder) -> Made:
    folder.classes = ["71", "108", "339", "341", "560", "991"]
    kingdoms = dict(zip(folder.classes, ["Birds", "Birds", "Insects", "Fungi", "Plants", "Reptiles"], strict=True))
    names = folder.hex_ids(54, 32)
    labels, wanted = folder.deal(48), folder.deal(6)
    images, annotations = [], []
    for number, (name, label) in enumerate(zip(names, labels, strict=False)):
        address = f"train_val2019/{kingdoms[label]}/{label}/{name}.jpg"
        folder.paint(address, label, width=48)
        about = {"license": 3, "rights_holder": "cullen hanks", "width": 48, "height": 32}
        images.append({"id": number, "file_name": address, **about})
        annotations.append({"id": number, "image_id": number, "category_id": int(label)})
    categories = [{"id": int(label), "name": label, "supercategory": kingdoms[label]} for label in folder.classes]
    for document, part in (("train2019.json", slice(0, 36)), ("val2019.json", slice(36, 48))):
        split = {"images": images[part], "annotations": annotations[part], "categories": categories}
        folder.json(document, {"info": {"year": 2019}, **split, "licenses": [{"id": 3}]})
    test = [str(268243 + index) for index in range(6)]
    test_images = []
    for number, name, label in zip(test, names[48:], wanted, strict=True):
        folder.paint(f"test2019/{name}.jpg", label, width=48)
        test_images.append({"id": int(number), "file_name": f"test2019/{name}.jpg", "width": 48, "height": 32})
    folder.json("test2019.json", {"info": {}, "images": test_images, "licenses": []})
    header = ["id", "predicted"]
    folder.csv("kaggle_sample_submission.csv", header, [[name, "71 108 339 341 560"] for name in test])
    form = Form(header=header, ids=test, holds="ranking", vocabulary=folder.classes, k=5)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=48)


@miniature(33, "iwildcam-2020-fgvc7", layout=f"{LAYOUT}, groups in it", task="multiclass", submission="label")
def iwildcam_2020(folder: Folder) -> Made:
    folder.classes = ["0", "2", "24", "71", "372"]
    names = folder.uuids(58)
    labels, wanted = [label for label in folder.classes for _ in range(10)], folder.deal(8)
    train, test = names[:50], names[50:]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.paint(f"{place}/{name}.jpg", label, width=48)
    categories = [{"id": int(label), "name": f"animal {label}", "count": 10} for label in folder.classes]
    annotations = [
        {"count": 1, "image_id": name, "id": f"a{name[1:]}", "category_id": int(label)}
        for name, label in zip(train, labels, strict=True)
    ]
    documents = (("train_annotations", train, 267), ("test_information", test, 500))
    for document, ids, location in documents:
        images = [
            {"seq_num_frames": 6, "location": location + index % 10, "datetime": "2013-06-05 05:44:19.000", "id": name}
            | {"frame_num": 0, "seq_id": f"30048d{index // 3}", "width": 48, "height": 32, "file_name": f"{name}.jpg"}
            for index, name in enumerate(ids)
        ]
        extra = {"annotations": annotations} if ids is train else {}
        folder.json(f"iwildcam2020_{document}.json", {**extra, "images": images, "categories": categories, "info": {}})
    boxes = [{"id": name, "detections": [], "max_detection_conf": 0.0} for name in names]
    folder.json("iwildcam2020_megadetector_results.json", {"images": boxes, "detection_categories": {"1": "animal"}})
    header = ["Id", "Category"]
    folder.csv("sample_submission.csv", header, [[name, 0] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=50, n_groups=10)


@miniature(
    34,
    "herbarium-2022-fgvc9",
    layout=f"{LAYOUT}, sharded folders",
    task="multiclass",
    submission="label",
    needs=("--metric f1_macro",),
)
def herbarium(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "15503"]
    wanted = folder.deal(6)
    images, annotations = [], []
    for index, label in enumerate(folder.deal(36)):
        shard = f"{int(label) // 100:03d}/{int(label) % 100:02d}"
        name = f"{shard}/{int(label):05d}__{index + 1:03d}.jpg"
        folder.paint(f"train_images/{name}", label, height=48)
        images.append({"image_id": f"{int(label):05d}__{index + 1:03d}", "file_name": name, "license": 0})
        about = {"genus_id": 1, "institution_id": 37, "image_id": images[-1]["image_id"]}
        annotations.append({**about, "category_id": int(label)})
    species = [{"category_id": int(label), "scientificName": f"Abies {label}"} for label in folder.classes]
    document = {"annotations": annotations, "images": images, "categories": species, "genera": [{"genus_id": 1}]}
    folder.json("train_metadata.json", document | {"institutions": [], "distances": [], "license": []})
    test_images = []
    for index, label in enumerate(wanted):
        folder.paint(f"test_images/000/test-{index:06d}.jpg", label, height=48)
        test_images.append({"image_id": str(index), "file_name": f"000/test-{index:06d}.jpg", "license": 0})
    folder.json("test_metadata.json", test_images)
    header, ids = ["Id", "Predicted"], [str(index) for index in range(6)]
    folder.csv("sample_submission.csv", header, [[name, 1] for name in ids])
    form = Form(header=header, ids=ids, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=36)


@miniature(
    35,
    "imaterialist-challenge-furniture-2018",
    layout=f"{LAYOUT} of URLs, images as <image_id>.jpg",
    task="multiclass",
    submission="label",
    needs=("--metric top1_error",),
)
def furniture(folder: Folder) -> Made:
    return furniture_of(folder, downloaded=True)


def furniture_of(folder: Folder, *, downloaded: bool) -> Made:
    """The documents, with the images that their URLs named or without any."""
    folder.classes = ["5", "18", "62", "106", "128"]
    wanted = folder.deal(6)
    ids = [str(number) for number in range(1, 7)]
    for place, labels in (("train", folder.deal(40)), ("validation", folder.deal(10)), ("test", wanted)):
        images = [
            {"url": [f"https://example.com/{place}/{number}.jpg"], "image_id": number}
            for number in range(1, len(labels) + 1)
        ]
        truth = [{"image_id": number, "label_id": int(label)} for number, label in enumerate(labels, start=1)]
        annotations = {} if place == "test" else {"annotations": truth}
        folder.json(f"{place}.json", {"images": images, **annotations})
        if downloaded and place != "validation":
            for number, label in enumerate(labels, start=1):
                folder.paint(f"{place}/{number}.jpg", label, width=48)
    header = ["id", "predicted"]
    rows = [[name, label] for name, label in zip(ids, folder.deal(6), strict=True)]
    folder.csv("sample_submission_randomlabel.csv", header, rows)
    form = Form(header=header, ids=ids, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


DIGITS = [str(digit) for digit in range(10)]
PIXELS = [f"pixel{number}" for number in range(28 * 28)]


@miniature(
    37,
    "digit-recognizer",
    layout="pixels in a CSV, no id",
    task="multiclass",
    submission="label",
    needs=("--no-flips",),
)
def digit_recognizer(folder: Folder) -> Made:
    folder.classes = DIGITS
    labels, wanted = folder.deal(60), folder.deal(8)
    folder.csv("train.csv", ["label", *PIXELS], _pixel_rows(folder, labels, labels))
    folder.csv("test.csv", PIXELS, _pixel_rows(folder, wanted))
    ids = [str(number) for number in range(1, 9)]
    folder.csv("sample_submission.csv", ["ImageId", "Label"], [[name, 0] for name in ids])
    form = Form(header=["ImageId", "Label"], ids=ids, holds="label", vocabulary=DIGITS)
    return Made(form=form, truth=column(wanted), classes=DIGITS, n_images=60)


@miniature(
    38,
    "Kannada-MNIST",
    layout="pixels in a CSV, another set beside",
    task="multiclass",
    submission="label",
    needs=("--no-flips",),
)
def kannada(folder: Folder) -> Made:
    folder.classes = DIGITS
    labels, wanted = folder.deal(60), folder.deal(8)
    ids = [str(number) for number in range(8)]
    folder.csv("train.csv", ["label", *PIXELS], _pixel_rows(folder, labels, labels))
    others = folder.deal(20)
    folder.csv("Dig-MNIST.csv", ["label", *PIXELS], _pixel_rows(folder, others, others))
    folder.csv("test.csv", ["id", *PIXELS], _pixel_rows(folder, wanted, ids))
    folder.csv("sample_submission.csv", ["id", "label"], [[name, 0] for name in ids])
    form = Form(header=["id", "label"], ids=ids, holds="label", vocabulary=DIGITS)
    return Made(form=form, truth=column(wanted), classes=DIGITS, n_images=60)


def _pixel_rows(folder: Folder, labels: Sequence[str], first: Sequence[str] | None = None) -> list[list[object]]:
    rows: list[list[object]] = []
    for index, label in enumerate(labels):
        pixels = np.asarray(folder.image([label], width=28, height=28).convert("L")).ravel().tolist()
        rows.append([*([first[index]] if first else []), *pixels])
    return rows
