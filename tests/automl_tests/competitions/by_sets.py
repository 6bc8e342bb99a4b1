"""Competitions whose images have any number of labels."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature

LAYOUT = "labels with blanks between in a CSV"


def some(folder: Folder, n: int, always: int = 1) -> list[list[str]]:
    """n sets of one to three of the folder's classes, of which all classes have about equal numbers."""
    shuffled = [folder.deal(n) for _ in range(3)]
    counts = folder.rng.integers(always, 4, n)
    drawn = [
        list(dict.fromkeys(labels))[:count] for labels, count in zip(zip(*shuffled, strict=True), counts, strict=True)
    ]
    return [[name for name in folder.classes if name in labels] for labels in drawn]


@miniature(17, "plant-pathology-2021-fgvc8", layout=LAYOUT, task="multilabel", submission="labels")
def plant_pathology_2021(folder: Folder) -> Made:
    folder.classes = ["complex", "frog_eye_leaf_spot", "healthy", "powdery_mildew", "rust", "scab"]
    combinations = ["healthy", "scab", "frog_eye_leaf_spot", "rust", "complex", "powdery_mildew"]
    combinations += ["scab frog_eye_leaf_spot", "scab frog_eye_leaf_spot complex", "frog_eye_leaf_spot complex"]
    combinations += ["rust frog_eye_leaf_spot", "rust complex", "powdery_mildew complex"]
    labels, wanted = folder.deal(60, combinations), ["healthy", "scab", "rust complex"]
    names = [f"{name}.jpg" for name in folder.hex_ids(63, 16)]
    train, test = names[:60], names[60:]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, text in zip(ids, marks, strict=True):
            folder.paint(f"{place}_images/{name}", *text.split(), width=48)
    header = ["image", "labels"]
    folder.csv("train.csv", header, zip(train, labels, strict=True))
    folder.csv("sample_submission.csv", header, [[name, "healthy"] for name in test])
    form = Form(header=header, ids=test, holds="labels", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=60)


@miniature(
    40,
    "human-protein-atlas-image-classification",
    layout=f"{LAYOUT}, 4 files for each id",
    task="multilabel",
    submission="labels",
    needs=("--metric f1_macro",),
)
def protein_atlas(folder: Folder) -> Made:
    folder.classes = ["0", "2", "7", "16", "25"]
    labels, wanted = some(folder, 48), some(folder, 6)
    names = folder.uuids(54)
    train, test = names[:48], names[48:]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, found in zip(ids, marks, strict=True):
            red, green, blue = folder.image(found).split()
            colours = {"red": red, "green": green, "blue": blue, "yellow": folder.image([]).convert("L")}
            for colour, channel in colours.items():
                folder.save(f"{place}/{name}_{colour}.png", channel)
    folder.csv("train.csv", ["Id", "Target"], [[name, " ".join(row)] for name, row in zip(train, labels, strict=True)])
    header = ["Id", "Predicted"]
    folder.csv("sample_submission.csv", header, [[name, 0] for name in test])
    form = Form(header=header, ids=test, holds="labels", vocabulary=folder.classes)
    truth = column(" ".join(row) for row in wanted)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=48)


@miniature(
    41,
    "planet-understanding-the-amazon-from-space",
    layout=f"{LAYOUT}, JPEG and 16-bit TIFF, two test folders",
    task="multilabel",
    submission="labels",
    needs=("--metric f2_samples",),
)
def planet(folder: Folder) -> Made:
    folder.classes = ["agriculture", "clear", "cloudy", "haze", "primary", "road", "water"]
    weather = ["clear", "haze", "cloudy"]
    others = ["primary", "agriculture", "road", "water"]

    def tags(n: int) -> list[str]:
        ground = [[name for name in others if folder.rng.random() < 0.5] for _ in range(n)]
        return [" ".join([sky, *names]) for sky, names in zip(folder.deal(n, weather), ground, strict=True)]

    labels, wanted = tags(48), tags(6)
    test = [f"test_{index}" for index in range(3)] + [f"file_{index}" for index in (0, 1, 9999)]
    for index, text in enumerate(labels):
        image = folder.image(text.split())
        folder.save(f"train-jpg/train_{index}.jpg", image)
        folder.write(f"train-tif-v2/train_{index}.tif", _four_bands(image))
    for name, text in zip(test, wanted, strict=True):
        place = "test-jpg-v2" if name.startswith("test") else "test-jpg-additional"
        folder.save(f"{place}/{name}.jpg", folder.image(text.split()))
    header = ["image_name", "tags"]
    folder.csv("train_v2.csv", header, [[f"train_{index}", text] for index, text in enumerate(labels)])
    folder.csv("sample_submission_v2.csv", header, [[name, "primary clear agriculture road water"] for name in test])
    form = Form(header=header, ids=test, holds="labels", vocabulary=folder.classes, may_be_empty=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=48)


def _four_bands(image: Image.Image) -> bytes:
    bands = np.dstack([np.asarray(image), np.full((image.height, image.width), 90)]).astype(np.uint16) * 64
    return bytes(cv2.imencode(".tif", bands)[1])


@miniature(
    42,
    "imet-2020-fgvc7",
    layout=f"{LAYOUT}, their names in another",
    task="multilabel",
    submission="labels",
    needs=("--metric f1_micro",),
)
def imet(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "147", "616"]
    labels, wanted = some(folder, 48), some(folder, 3)
    names = folder.hex_ids(51, 16)
    train, test = names[:48], names[48:]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, found in zip(ids, marks, strict=True):
            folder.paint(f"{place}/{name}.png", *found, width=40)
    header = ["id", "attribute_ids"]
    folder.csv("train.csv", header, [[name, " ".join(row)] for name, row in zip(train, labels, strict=True)])
    folder.csv("labels.csv", ["attribute_id", "attribute_name"], [[name, f"tags::{name}"] for name in folder.classes])
    folder.csv("sample_submission.csv", header, [[name, "0 1 2"] for name in test])
    form = Form(header=header, ids=test, holds="labels", vocabulary=folder.classes, may_be_empty=True)
    truth = column(" ".join(row) for row in wanted)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=48)


CATHETERS = ["ETT - Abnormal", "ETT - Borderline", "ETT - Normal", "NGT - Abnormal", "NGT - Borderline"]
CATHETERS += ["NGT - Incompletely Imaged", "NGT - Normal", "CVC - Abnormal", "CVC - Borderline", "CVC - Normal"]
CATHETERS += ["Swan Ganz Catheter Present"]


@miniature(
    43,
    "ranzcr-clip-catheter-line-classification",
    layout="a column for each label in a CSV, id a UID",
    task="multilabel",
    submission="probabilities",
)
def ranzcr(folder: Folder) -> Made:
    folder.classes = CATHETERS
    found, wanted = some(folder, 60, always=0), some(folder, 6)
    prefix = "1.2.826.0.1.3680043.8.498."
    names = [f"{prefix}{folder.rng.integers(10**17, 10**18)}{folder.rng.integers(10**17, 10**18)}" for _ in range(66)]
    train, test = names[:60], names[60:]
    for place, ids, marks in (("train", train, found), ("test", test, wanted)):
        for name, labels in zip(ids, marks, strict=True):
            folder.paint(f"{place}/{name}.jpg", *labels, mode="L", width=48, height=48)
    patients = [f"{patient:08x}a" for patient in range(0xEC89415, 0xEC89415 + 20)]
    header = ["StudyInstanceUID", *CATHETERS]
    rows = [
        [name, *_flags(labels), patients[index % 20]]
        for index, (name, labels) in enumerate(zip(train, found, strict=True))
    ]
    folder.csv("train.csv", [*header, "PatientID"], rows)
    lines = [[name, labels[0], "[[100, 200], [110, 210]]"] for name, labels in zip(train, found, strict=True) if labels]
    folder.csv("train_annotations.csv", ["StudyInstanceUID", "label", "data"], lines)
    folder.csv("sample_submission.csv", header, [[name, *[0] * 11] for name in test])
    form = Form(header=header, ids=test, holds="number", order_alone=True)
    truth = [_flags(labels) for labels in wanted]
    return Made(form=form, truth=truth, classes=CATHETERS, n_images=60, n_groups=20)


def _flags(labels: list[str]) -> list[str]:
    return [str(int(name in labels)) for name in CATHETERS]
