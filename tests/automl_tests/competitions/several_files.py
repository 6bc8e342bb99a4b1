"""Competitions with several files for an id: in several formats, with masks, or with thumbnails."""

from __future__ import annotations

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature

LAYOUT = "id in a CSV"


@miniature(
    6,
    "siim-isic-melanoma-classification",
    layout=f"{LAYOUT}, three formats side by side",
    task="binary",
    submission="probability",
)
def melanoma(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    labels, wanted = (["0", "0", "1"] * 12), ["1", "0", "0", "1", "0", "0"]
    train = [f"ISIC_{2637011 + 17 * index:07d}" for index in range(36)]
    test = [f"ISIC_{52060 + 289 * index:07d}" for index in range(6)]
    for names, marks, place in ((train, labels, "train"), (test, wanted, "test")):
        for name, label in zip(names, marks, strict=True):
            folder.paint(f"jpeg/{place}/{name}.jpg", label, width=48)
            folder.junk(f"{place}/{name}.dcm")
        folder.junk(f"tfrecords/{place}00-2071.tfrec")
    about = [[name, f"IP_{index // 3:07d}", "male", "45.0", "torso"] for index, name in enumerate(train)]
    diagnosis = {"0": ["unknown", "benign", "0"], "1": ["melanoma", "malignant", "1"]}
    columns = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
    rows = [[*row, *diagnosis[label]] for row, label in zip(about, labels, strict=True)]
    folder.csv("train.csv", [*columns, "diagnosis", "benign_malignant", "target"], rows)
    folder.csv("test.csv", columns, [[name, f"IP_{99 - index:07d}", "", "", ""] for index, name in enumerate(test)])
    folder.csv("sample_submission.csv", ["image_name", "target"], [[name, 0.7] for name in test])
    form = Form(header=["image_name", "target"], ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=36, n_groups=12)


@miniature(
    20,
    "prostate-cancer-grade-assessment",
    layout=f"{LAYOUT}, TIFF in several resolutions, masks beside",
    task="ordinal",
    submission="label",
    needs=("--task ordinal",),
)
def panda(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "3", "4", "5"]
    names = folder.hex_ids(45, 32)
    labels, wanted = folder.deal(42), folder.deal(3)
    train, test = names[:42], names[42:]
    scores = {"0": "negative", "1": "3+3", "2": "3+4", "3": "4+3", "4": "4+4", "5": "4+5"}
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.pyramid(f"{place}_images/{name}.tiff", label)
    for name in train[:20]:
        folder.paint(f"train_label_masks/{name}_mask.tiff")
    rows = [
        [name, ("karolinska", "radboud")[index % 2], label, scores[label]]
        for index, (name, label) in enumerate(zip(train, labels, strict=True))
    ]
    folder.csv("train.csv", ["image_id", "data_provider", "isup_grade", "gleason_score"], rows)
    folder.csv("test.csv", ["image_id", "data_provider"], [[name, "radboud"] for name in test])
    header = ["image_id", "isup_grade"]
    folder.csv("sample_submission.csv", header, [[name, 0] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=42)


@miniature(
    47,
    "UBC-OCEAN",
    layout=f"{LAYOUT}, thumbnails beside",
    task="multiclass",
    submission="label",
    needs=("--metric balanced_accuracy",),
)
def ubc_ocean(folder: Folder) -> Made:
    folder.classes = ["CC", "EC", "HGSC", "LGSC", "MC"]
    labels, wanted = folder.deal(40), ["HGSC"]
    names = [str(4 + 62 * index) for index in range(40)]
    rows = []
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        is_tma = index % 10 == 9
        image = folder.image([label], width=64, height=48)
        folder.save(f"train_images/{name}.png", image)
        if not is_tma:
            folder.save(f"train_thumbnails/{name}_thumbnail.png", image.resize((32, 24)))
        rows.append([name, label, 64, 48, is_tma])
    image = folder.image(wanted, width=64, height=48)
    folder.save("test_images/41.png", image)
    folder.save("test_thumbnails/41_thumbnail.png", image.resize((32, 24)))
    folder.csv("train.csv", ["image_id", "label", "image_width", "image_height", "is_tma"], rows)
    folder.csv("test.csv", ["image_id", "image_width", "image_height"], [[41, 64, 48]])
    folder.csv("sample_submission.csv", ["image_id", "label"], [[41, "HGSC"]])
    form = Form(header=["image_id", "label"], ids=["41"], holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)
