"""Competitions whose label is the folder, or part of the file's name."""

from __future__ import annotations

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature, one_hot
from tests.automl_tests.competitions.painting import encoded

LAYOUT = "folder for each class"


@miniature(1, "dogs-vs-cats", layout="label in the file name", task="binary", submission="label, 0 or 1")
def dogs_vs_cats(folder: Folder) -> Made:
    folder.classes = ["cat", "dog"]
    wanted = folder.deal(8)
    for label in folder.classes:
        for number in range(18):
            folder.paint(f"train/{label}.{number}.jpg", label, width=40)
    for number, label in enumerate(wanted, start=1):
        folder.paint(f"test1/{number}.jpg", label, width=40)
    ids = [str(number) for number in range(1, 9)]
    folder.csv("sampleSubmission.csv", ["id", "label"], [[name, 0] for name in ids])
    form = Form(header=["id", "label"], ids=ids, holds="label", vocabulary=["0", "1"])
    truth = column(folder.classes.index(label) for label in wanted)
    return Made(form=form, truth=truth, classes=["0", "1"], n_images=36)


@miniature(
    2,
    "dogs-vs-cats-redux-kernels-edition",
    layout="label in the file name, the archives left beside",
    task="binary",
    submission="probability",
    needs=("--metric log_loss",),
)
def dogs_vs_cats_redux(folder: Folder) -> Made:
    folder.classes = ["cat", "dog"]
    wanted = folder.deal(6)
    archives: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    for label in folder.classes:
        for number in range(18):
            archives["train"][f"train/{label}.{number}.jpg"] = encoded(folder.image([label]), ".jpg")
    for number, label in enumerate(wanted, start=1):
        archives["test"][f"test/{number}.jpg"] = encoded(folder.image([label]), ".jpg")
    for name, members in archives.items():
        folder.zip(f"{name}.zip", members)
        for address, content in members.items():
            folder.write(address, content)
    ids = [str(number) for number in range(1, 7)]
    folder.csv("sample_submission.csv", ["id", "label"], [[name, 0.5] for name in ids])
    form = Form(header=["id", "label"], ids=ids, holds="number")
    truth = column(folder.classes.index(label) for label in wanted)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=36)


@miniature(
    12,
    "alaska2-image-steganalysis",
    layout=f"{LAYOUT}, the same names in each",
    task="binary",
    submission="probability of any class but one",
    needs=("--metric weighted_auc", "--negative Cover"),
)
def alaska(folder: Folder) -> Made:
    folder.classes = ["Cover", "JMiPOD", "JUNIWARD", "UERD"]
    for label in folder.classes:
        for number in range(1, 13):
            folder.paint(f"{label}/{number:05d}.jpg", label)
    wanted = ["Cover", "UERD", "Cover", "JMiPOD", "JUNIWARD", "Cover"]
    ids = [f"{number:04d}.jpg" for number in range(1, 7)]
    for name, label in zip(ids, wanted, strict=True):
        folder.paint(f"Test/{name}", label)
    folder.csv("sample_submission.csv", ["Id", "Label"], [[name, 0.1] for name in ids])
    form = Form(header=["Id", "Label"], ids=ids, holds="number", order_alone=True, low=None, high=None)
    truth = column(int(label != "Cover") for label in wanted)
    return Made(form=form, truth=truth, classes=["Cover", "not Cover"], n_images=48, n_groups=12)


SEEDLINGS = ["Black-grass", "Charlock", "Cleavers", "Common Chickweed", "Common wheat", "Fat Hen"]
SEEDLINGS += ["Loose Silky-bent", "Maize", "Scentless Mayweed", "Shepherds Purse", "Small-flowered Cranesbill"]
SEEDLINGS += ["Sugar beet"]


@miniature(
    15,
    "plant-seedlings-classification",
    layout=f"{LAYOUT}, names with blanks",
    task="multiclass",
    submission="label",
    needs=("--metric f1_micro",),
)
def plant_seedlings(folder: Folder) -> Made:
    folder.classes = SEEDLINGS
    names = folder.hex_ids(68, 9)
    wanted = folder.deal(8)
    for name, label in zip(names[:60], folder.deal(60), strict=True):
        folder.paint(f"train/{label}/{name}.png", label)
    test = [f"{name}.png" for name in names[60:]]
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}", label)
    header = ["file", "species"]
    folder.csv("sample_submission.csv", header, [[name, "Sugar beet"] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=SEEDLINGS)
    return Made(form=form, truth=column(wanted), classes=SEEDLINGS, n_images=60)


@miniature(
    22,
    "state-farm-distracted-driver-detection",
    layout=f"{LAYOUT}, groups in a CSV",
    task="multiclass",
    submission="probabilities",
    needs=("--no-flips",),
)
def state_farm(folder: Folder) -> Made:
    folder.classes = [f"c{number}" for number in range(10)]
    subjects = ["p002", "p012", "p014", "p015", "p016", "p021"]
    rows = []
    for index, (subject, label) in enumerate((subject, label) for subject in subjects for label in folder.classes):
        name = f"img_{44733 + 91 * index}.jpg"
        folder.paint(f"imgs/train/{label}/{name}", label, width=40, height=30)
        rows.append([subject, label, name])
    wanted = folder.deal(8)
    test = [f"img_{number}.jpg" for number in range(1, 9)]
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"imgs/test/{name}", label, width=40, height=30)
    folder.csv("driver_imgs_list.csv", ["subject", "classname", "img"], rows)
    header = ["img", *folder.classes]
    folder.csv("sample_submission.csv", header, [[name, *[0.1] * 10] for name in test])
    form = Form(header=header, ids=test, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=60, n_groups=6)


@miniature(
    23,
    "the-nature-conservancy-fisheries-monitoring",
    layout=f"{LAYOUT}, test images of two stages",
    task="multiclass",
    submission="probabilities",
)
def fisheries(folder: Folder) -> Made:
    folder.classes = ["ALB", "BET", "DOL", "LAG", "NoF", "OTHER", "SHARK", "YFT"]
    for index, label in enumerate(folder.deal(48)):
        folder.paint(f"train/{label}/img_{3 + 7 * index:05d}.jpg", label, width=48)
    wanted = folder.deal(8)
    first = [f"img_{5 + 4 * index:05d}.jpg" for index in range(4)]
    second = [f"test_stg2/image_{1 + index:05d}.jpg" for index in range(4)]
    addresses = [*[f"test_stg1/{name}" for name in first], *second]
    for address, label in zip(addresses, wanted, strict=True):
        folder.paint(address, label, width=48)
    header, ids = ["image", *folder.classes], [*first, *second]
    folder.csv("sample_submission_stg1.csv", header, [[name, *[0.125] * 8] for name in first])
    folder.csv("sample_submission_stg2.csv", header, [[name, *[0.125] * 8] for name in ids])
    form = Form(header=header, ids=ids, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=48)


@miniature(24, "datasciencebowl", layout=f"{LAYOUT}, gray", task="multiclass", submission="probabilities")
def plankton(folder: Folder) -> Made:
    folder.classes = ["acantharia_protist_big_center", "appendicularian_s_shape", "artifacts_edge", "copepod_cyclopoid"]
    folder.classes += ["detritus_blob", "unknown_unclassified"]
    for index, label in enumerate(folder.deal(42)):
        folder.paint(f"train/{label}/{100224 + 31 * index}.jpg", label, mode="L", width=32 + index % 17)
    wanted = folder.deal(8)
    test = [f"{number}.jpg" for number in (1, 10, 100, 1000, 10000, 100000, 100001, 100002)]
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}", label, mode="L", height=36)
    header = ["image", *folder.classes]
    folder.csv("sampleSubmission.csv", header, [[name, *[0.00826446] * 6] for name in test])
    form = Form(header=header, ids=test, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=42)


@miniature(
    26,
    "intel-mobileodt-cervical-cancer-screening",
    layout=f"{LAYOUT}, the same names in train and test",
    task="multiclass",
    submission="probabilities",
)
def cervical(folder: Folder) -> Made:
    folder.classes = ["Type_1", "Type_2", "Type_3"]
    for number, label in enumerate(folder.deal(36)):
        folder.paint(f"train/{label}/{number}.jpg", label, width=30, height=40)
        if number < 6:
            folder.paint(f"additional/{label}/{number}.jpg", label, width=30, height=40)
    wanted = folder.deal(6)
    test = [f"{number}.jpg" for number in range(6)]
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}", label, width=30, height=40)
    header = ["image_name", *folder.classes]
    folder.csv("sample_submission.csv", header, [[name, 0.3, 0.3, 0.4] for name in test])
    form = Form(header=header, ids=test, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=36)
