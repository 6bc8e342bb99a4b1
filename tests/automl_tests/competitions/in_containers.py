"""Competitions whose images are DICOM, arrays, or members of files of many images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.container_files import (
    Int64,
    bson,
    dicom,
    jpeg,
    npy,
    parquet,
    put_hdf5,
    tfrecord,
)
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature


def gray(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L"))


def scan(image: Image.Image, **elements: object) -> bytes:
    """A gray image as a scanner's values of 12 bits, with the window that shows them."""
    values = gray(image).astype(np.uint16) * 16
    if elements.get("PhotometricInterpretation") == "MONOCHROME1":
        values = 4080 - values  # where the least value is white, the same picture has these
    return dicom(values, **{"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096, **elements})


@miniature(
    7,
    "isic-2024-challenge",
    layout="HDF5, id in a CSV",
    task="binary",
    submission="probability",
    needs=("--metric partial_auc",),
)
def isic_2024(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    names = [f"ISIC_{15670 + index:07d}" for index in range(40)]
    labels = ["1" if index % 4 == 0 else "0" for index in range(36)]
    wanted = folder.deal(6)
    test = [f"ISIC_{name:07d}" for name in range(15651, 15657)]
    put_hdf5(
        folder.path / "train-image.hdf5",
        {name: jpeg(folder.image([label])) for name, label in zip(names, labels, strict=False)},
    )
    put_hdf5(
        folder.path / "test-image.hdf5",
        {name: jpeg(folder.image([label])) for name, label in zip(test, wanted, strict=True)},
    )
    rows = [
        [name, label, f"IP_{index // 3:07d}", 60]
        for index, (name, label) in enumerate(zip(names, labels, strict=False))
    ]
    folder.csv("train-metadata.csv", ["isic_id", "target", "patient_id", "age_approx"], rows)
    folder.csv(
        "test-metadata.csv", ["isic_id", "patient_id", "age_approx"], [[name, "IP_6074337", 45] for name in test]
    )
    folder.csv("sample_submission.csv", ["isic_id", "target"], [[name, 0.3] for name in test])
    form = Form(header=["isic_id", "target"], ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=36, n_groups=12)


@miniature(
    8,
    "rsna-breast-cancer-detection",
    layout="DICOM, several views to a row",
    task="binary",
    submission="probability",
    needs=("--label cancer", "--metric pf1"),
)
def breast_cancer(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    header = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive"]
    header += ["BIRADS", "implant", "density", "machine_id", "difficult_negative_case"]
    rows = []
    for index in range(48):
        patient, image, label = 10006 + index // 4, 462822612 + 7919 * index, str((index // 2) % 2)
        folder.write(
            f"train_images/{patient}/{image}.dcm",
            scan(folder.image([label]), PhotometricInterpretation="MONOCHROME1" if index // 4 % 2 else "MONOCHROME2"),
        )
        view = ["L" if index % 4 < 2 else "R", ("CC", "MLO")[index % 2]]
        rows.append([2, patient, image, *view, 61, label, 0, 0, "", 0, "", 29, False])
    folder.csv("train.csv", header, rows)
    rows, ids, wanted = [], [], folder.deal(6)
    for index, label in enumerate(wanted):
        patient, side = 20000 + index // 2, "LR"[index % 2]
        ids.append(f"{patient}_{side}")
        for view in ("CC", "MLO"):
            image = 736471439 + 31 * len(rows)
            mode = "MONOCHROME1" if index // 2 % 2 else "MONOCHROME2"
            folder.write(
                f"test_images/{patient}/{image}.dcm", scan(folder.image([label]), PhotometricInterpretation=mode)
            )
            rows.append([2, patient, image, side, view, 81, 0, 21, ids[-1]])
    test = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id", "prediction_id"]
    folder.csv("test.csv", test, rows)
    folder.csv("sample_submission.csv", ["prediction_id", "cancer"], [[name, 0.02] for name in ids])
    form = Form(header=["prediction_id", "cancer"], ids=ids, holds="number")
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=48, n_groups=12)


@miniature(
    9,
    "rsna-miccai-brain-tumor-radiogenomic-classification",
    layout="DICOM, a folder of several sequences to a row",
    task="binary",
    submission="probability",
)
def brain_tumor(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    labels, wanted = folder.deal(12), folder.deal(4)
    train, test = [f"{index:05d}" for index in range(12)], ["00013", "00015", "00027", "00037"]
    for place, names, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(names, marks, strict=True):
            for sequence in ("FLAIR", "T1w", "T1wCE", "T2w"):
                folder.write(f"{place}/{name}/{sequence}/Image-1.dcm", scan(folder.image([label])))
    folder.csv("train_labels.csv", ["BraTS21ID", "MGMT_value"], zip(train, labels, strict=True))
    folder.csv("sample_submission.csv", ["BraTS21ID", "MGMT_value"], [[name, 0.5] for name in test])
    form = Form(header=["BraTS21ID", "MGMT_value"], ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=48, n_groups=12)


@miniature(
    10,
    "statoil-iceberg-classifier-challenge",
    layout="pixels and labels in JSON",
    task="binary",
    submission="probability",
    needs=("--metric log_loss",),
)
def statoil(folder: Folder) -> Made:
    folder.classes = ["0", "1"]

    def bands(label: str) -> dict[str, list[float]]:
        pixels = np.asarray(folder.image([label], width=25, height=25).convert("RGB")).astype(float)
        return {f"band_{k + 1}": (pixels[..., k].ravel() / 8 - 40).round(4).tolist() for k in range(2)}

    names, labels, wanted = folder.hex_ids(42, 8), folder.deal(36), folder.deal(6)
    train = [
        {"id": name, **bands(label), "inc_angle": "na" if label == "0" else 43.9, "is_iceberg": int(label)}
        for name, label in zip(names, labels, strict=False)
    ]
    test = names[36:]
    folder.json("train.json", train)
    folder.json("test.json", [{"id": n, **bands(w), "inc_angle": 34.9} for n, w in zip(test, wanted, strict=True)])
    folder.csv("sample_submission.csv", ["id", "is_iceberg"], [[name, 0.5] for name in test])
    form = Form(header=["id", "is_iceberg"], ids=test, holds="number")
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=36)


@miniature(
    11,
    "seti-breakthrough-listen",
    layout="NumPy arrays, id in a CSV",
    task="binary",
    submission="probability",
)
def seti(folder: Folder) -> Made:
    folder.classes = ["0", "1"]

    def cadence(label: str) -> bytes:
        """Six gray planes, of which three show the signal."""
        shown, empty = folder.image([label]), folder.image([])
        return npy(np.stack([gray(shown if plane % 2 == 0 else empty) for plane in range(6)]).astype(np.float16) / 99)

    names, labels, wanted = folder.hex_ids(54, 12), folder.deal(36), folder.deal(6)
    train, test = names[:36], names[36:42]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.write(f"{place}/{name[0]}/{name}.npy", cadence(label))
    for name in names[42:]:
        folder.write(f"old_leaky_data/train_old/{name[0]}/{name}.npy", cadence("0"))
    folder.csv("old_leaky_data/train_labels_old.csv", ["id", "target"], [[name, 0] for name in names[42:]])
    folder.csv("train_labels.csv", ["id", "target"], zip(train, labels, strict=True))
    folder.csv("sample_submission.csv", ["id", "target"], [[name, 0.5] for name in test])
    form = Form(header=["id", "target"], ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=36)


@miniature(
    36,
    "tpu-getting-started",
    layout="images and labels in TFRecord, in several sizes",
    task="multiclass",
    submission="label",
    needs=("--metric f1_macro",),
)
def petals(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "3"]
    names, labels, wanted = folder.hex_ids(56, 9), folder.deal(40), folder.deal(8)
    train, val, test = names[:40], names[40:48], names[48:]
    for side in (16, 24):
        size = f"{side}x{side}"
        for shard in range(2):
            chosen = list(zip(train, labels, strict=True))[shard::2]
            records = [
                {"id": name, "image": jpeg(folder.image([label], width=side, height=side)), "class": int(label)}
                for name, label in chosen
            ]
            folder.write(f"tfrecords-jpeg-{size}/train/{shard:02d}-{size}-20.tfrec", tfrecord(records))
        for place, ids, marks in (("val", val, folder.deal(8)), ("test", test, wanted)):
            records = [
                {"id": name, "image": jpeg(folder.image([label], width=side, height=side))}
                | ({"class": int(label)} if place == "val" else {})
                for name, label in zip(ids, marks, strict=True)
            ]
            folder.write(f"tfrecords-jpeg-{size}/{place}/00-{size}-8.tfrec", tfrecord(records))
    folder.csv("sample_submission.csv", ["id", "label"], [[name, 0] for name in test])
    form = Form(header=["id", "label"], ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


@miniature(
    44,
    "rsna-intracranial-hemorrhage-detection",
    layout="DICOM, a row for each label in a CSV",
    task="multilabel",
    submission="probability, a row for each label",
    needs=("--metric weighted_log_loss", "metric_weights"),
)
def hemorrhage(folder: Folder) -> Made:
    folder.classes = ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]
    names = [f"ID_{name}" for name in folder.hex_ids(46, 9)]
    marks = [[kind for place, kind in enumerate(folder.classes) if (index + place) % 4 == 0] for index in range(46)]
    for index, name in enumerate(names):
        values = gray(folder.image(marks[index])).astype(np.int16) * 2 - 100
        content = dicom(
            values + 1024, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[155, 30], WindowWidth=[510, 80]
        )
        folder.write(f"stage_2_{'train' if index < 40 else 'test'}/{name}.dcm", content)
    rows = [[f"{names[i]}_{kind}", int(kind in marks[i])] for i in range(40) for kind in folder.classes]
    folder.csv("stage_2_train.csv", ["ID", "Label"], rows)
    ids = [f"{name}_{kind}" for name in names[40:] for kind in folder.classes]
    folder.csv("stage_2_sample_submission.csv", ["ID", "Label"], [[row_id, 0.5] for row_id in ids])
    form = Form(header=["ID", "Label"], ids=ids, holds="number")
    truth = [[str(int(kind in marks[i]))] for i in range(40, 46) for kind in folder.classes]
    return Made(form=form, truth=truth, classes=folder.classes, n_images=40)


@miniature(
    45,
    "rsna-2022-cervical-spine-fracture-detection",
    layout="DICOM, a folder of slices to several rows",
    task="multilabel",
    submission="probability, a row for each label",
    needs=("--metric weighted_log_loss", "metric_weights"),
)
def cervical_spine(folder: Folder) -> Made:
    folder.classes = [f"C{number}" for number in range(1, 8)] + ["patient_overall"]
    train = [f"1.2.826.0.1.3680043.{number}" for number in range(6200, 6220)]
    test = [f"1.2.826.0.1.3680043.{number}" for number in (22327, 25399, 5876)]
    marks: dict[str, list[str]] = {}
    for index, study in enumerate([*train, *test]):
        marks[study] = [bone for place, bone in enumerate(folder.classes[:-1]) if (index + place) % 5 == 0]
        marks[study] += ["patient_overall"] if marks[study] and index % 2 else []
        for number in (1, 2):
            place = "train_images" if study in train else "test_images"
            folder.write(f"{place}/{study}/{number}.dcm", scan(folder.image(marks[study])))
    header = ["StudyInstanceUID", "patient_overall", *folder.classes[:-1]]
    rows = [[study, *(int(name in marks[study]) for name in header[1:])] for study in train]
    folder.csv("train.csv", header, rows)
    cells = [(study, name) for study in test for name in folder.classes]
    folder.csv(
        "test.csv",
        ["row_id", "StudyInstanceUID", "prediction_type"],
        [[f"{study}_{name}", study, name] for study, name in cells],
    )
    ids = [f"{study}_{name}" for study, name in cells]
    folder.csv("sample_submission.csv", ["row_id", "fractured"], [[row_id, 0.5] for row_id in ids])
    form = Form(header=["row_id", "fractured"], ids=ids, holds="number")
    truth = [[str(int(name in marks[study]))] for study, name in cells]
    return Made(form=form, truth=truth, classes=folder.classes, n_images=40, n_groups=20)


@miniature(
    46,
    "bengaliai-cv19",
    layout="a column for each pixel in parquet, three labels in a CSV",
    task="multioutput",
    submission="label, a row for each head",
    needs=("--metric balanced_accuracy", "metric_weights", "--no-flips"),
)
def bengali(folder: Folder) -> Made:
    heads = {"consonant_diacritic": 3, "grapheme_root": 4, "vowel_diacritic": 2}
    folder.classes = [f"{head}={value}" for head, n in heads.items() for value in range(n)]
    rng, train, test = folder.rng, [f"Train_{index}" for index in range(40)], [f"Test_{index}" for index in range(4)]
    values = {name: {head: int(rng.integers(n)) for head, n in heads.items()} for name in (*train, *test)}
    for place, names in (("train", train), ("test", test)):
        for shard in range(4):
            own = names[shard * len(names) // 4 : (shard + 1) * len(names) // 4]
            marks = [[f"{head}={values[name][head]}" for head in heads] for name in own]
            pixels = np.stack([gray(folder.image(each, width=24, height=24)).ravel() for each in marks])
            columns = {"image_id": own, **{str(n): pixels[:, n] for n in range(pixels.shape[1])}}
            folder.write(f"{place}_image_data_{shard}.parquet", parquet(columns))
    header = ["image_id", "grapheme_root", "vowel_diacritic", "consonant_diacritic", "grapheme"]
    folder.csv("train.csv", header, [[n, *(values[n][head] for head in header[1:4]), "\u0995\u09cd"] for n in train])
    rows = [[f"{name}_{head}", name, head] for name in test for head in heads]
    folder.csv("test.csv", ["row_id", "image_id", "component"], rows)
    folder.csv("sample_submission.csv", ["row_id", "target"], [[row_id, 0] for row_id, *_ in rows])
    ids = [str(row[0]) for row in rows]
    vocabulary = [str(value) for value in range(max(heads.values()))]
    form = Form(header=["row_id", "target"], ids=ids, holds="label", vocabulary=vocabulary)
    truth = [[str(values[name][head])] for name in test for head in heads]
    return Made(form=form, truth=truth, classes=folder.classes, n_images=40)


@miniature(
    50,
    "cdiscount-image-classification-challenge",
    layout="images and labels in BSON, one to four to a product",
    task="multiclass",
    submission="label",
)
def cdiscount(folder: Folder) -> Made:
    folder.classes = ["1000010653", "1000018296", "1000021794"]
    labels, wanted = folder.deal(24), folder.deal(6)

    def product(number: int, label: str, **fields: object) -> dict[str, object]:
        images = [{"picture": jpeg(folder.image([label]))} for _ in range(1 + number % 3)]
        return {"_id": number, **fields, "imgs": images}

    train = [product(n, label, category_id=Int64(label)) for n, label in enumerate(labels)]
    folder.write("train.bson", bson(train))
    folder.write("train_example.bson", bson(train[:5]))
    ids = [10 + 4 * n for n in range(6)]
    folder.write("test.bson", bson([product(number, label) for number, label in zip(ids, wanted, strict=True)]))
    names = ["category_id", "category_level1"]
    folder.csv("category_names.csv", names, [[name, "ABONNEMENT / SERVICES"] for name in folder.classes])
    folder.csv("sample_submission.csv", ["_id", "category_id"], [[number, 1000010653] for number in ids])
    form = Form(
        header=["_id", "category_id"], ids=[str(number) for number in ids], holds="label", vocabulary=folder.classes
    )
    n_images = sum(1 + n % 3 for n in range(24))
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=n_images, n_groups=24)
