"""Competitions whose labels are in a table, by an id without extension."""

from __future__ import annotations

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature, one_hot

LAYOUT = "id in a CSV"


@miniature(
    4,
    "histopathologic-cancer-detection",
    layout=f"{LAYOUT}, TIFF",
    task="binary",
    submission="probability",
    needs=("--metric roc_auc",),
)
def histopathologic(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    names = folder.hex_ids(46, 40)
    labels, wanted = folder.deal(40), folder.deal(6)
    train, test = names[:40], names[40:]
    for name, label in zip(train, labels, strict=True):
        folder.paint(f"train/{name}.tif", label, width=48, height=48)
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}.tif", label, width=48, height=48)
    folder.csv("train_labels.csv", ["id", "label"], zip(train, labels, strict=True))
    folder.csv("sample_submission.csv", ["id", "label"], [[name, 0] for name in test])
    form = Form(header=["id", "label"], ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


@miniature(
    5,
    "invasive-species-monitoring",
    layout=f"{LAYOUT}.zip, a number",
    task="binary",
    submission="probability",
)
def invasive_species(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    labels, wanted = folder.deal(40), folder.deal(6)
    for number, label in enumerate(labels, start=1):
        folder.paint(f"train/{number}.jpg", label)
    for number, label in enumerate(wanted, start=1):
        folder.paint(f"test/{number}.jpg", label)
    folder.csv("train_labels.csv.zip", ["name", "invasive"], enumerate(labels, start=1))
    ids = [str(number) for number in range(1, 7)]
    folder.csv("sample_submission.csv.zip", ["name", "invasive"], [[name, 0.5] for name in ids])
    folder.junk("train.7z", "test.7z")
    form = Form(header=["name", "invasive"], ids=ids, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


@miniature(
    16,
    "plant-pathology-2020-fgvc7",
    layout="one-hot columns in a CSV, train and test in one folder",
    task="multiclass",
    submission="probabilities",
    needs=("--metric roc_auc",),
)
def plant_pathology_2020(folder: Folder) -> Made:
    folder.classes = ["healthy", "multiple_diseases", "rust", "scab"]
    labels, wanted = folder.deal(36), folder.deal(8)
    for place, marks in (("Train", labels), ("Test", wanted)):
        for index, label in enumerate(marks):
            folder.paint(f"images/{place}_{index}.jpg", label, width=48)
    header = ["image_id", *folder.classes]
    test = [f"Test_{index}" for index in range(8)]
    rows = [[f"Train_{index}", *row] for index, row in enumerate(one_hot(labels, folder.classes))]
    folder.csv("train.csv", header, rows)
    folder.csv("test.csv", ["image_id"], [[name] for name in test])
    folder.csv("sample_submission.csv", header, [[name, *[0.25] * 4] for name in test])
    form = Form(header=header, ids=test, holds="number", order_alone=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=36)


@miniature(
    18,
    "aptos2019-blindness-detection",
    layout=LAYOUT,
    task="ordinal",
    submission="label",
    needs=("--task ordinal",),
)
def aptos(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "3", "4"]
    names = folder.hex_ids(48, 12)
    labels, wanted = folder.deal(40), folder.deal(8)
    for place, ids, marks in (("train", names[:40], labels), ("test", names[40:], wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.paint(f"{place}_images/{name}.png", label, width=40)
    test = names[40:]
    header = ["id_code", "diagnosis"]
    folder.csv("train.csv", header, zip(names, labels, strict=False))
    folder.csv("test.csv", ["id_code"], [[name] for name in test])
    folder.csv("sample_submission.csv", header, [[name, 0] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


@miniature(
    19,
    "diabetic-retinopathy-detection",
    layout=f"{LAYOUT}.zip, left and right eye",
    task="ordinal",
    submission="label",
    needs=("--task ordinal",),
)
def diabetic_retinopathy(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "3", "4"]
    patients = [10, 13, 15, 16, 17, 19, 20, 21, 22, 23, 25, 30, 31, 33, 36, 40, 41, 42, 46, 47, 49, 51, 52, 53, 54]
    labels = folder.deal(25)
    train = [(f"{patient}_{eye}", label) for patient, label in zip(patients, labels, strict=True) for eye in EYES]
    wanted = folder.deal(6)
    test = [f"{patient}_{eye}" for patient in (1, 2, 3) for eye in EYES]
    for name, label in train:
        folder.paint(f"train/{name}.jpeg", label, width=48)
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}.jpeg", label, width=48)
    folder.csv("trainLabels.csv.zip", ["image", "level"], train)
    folder.csv("sampleSubmission.csv", ["image", "level"], [[name, 0] for name in test])
    folder.junk("train.zip.001", "train.zip.002", "test.zip.001")
    form = Form(header=["image", "level"], ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=50, n_groups=25)


EYES = ("left", "right")


@miniature(21, "dog-breed-identification", layout=LAYOUT, task="multiclass", submission="probabilities")
def dog_breed(folder: Folder) -> Made:
    folder.classes = ["affenpinscher", "afghan_hound", "basenji", "boxer", "pug", "yorkshire_terrier"]
    names = folder.hex_ids(44, 32)
    labels, wanted = folder.deal(36), folder.deal(8)
    train, test = names[:36], sorted(names[36:])
    for name, label in zip(train, labels, strict=True):
        folder.paint(f"train/{name}.jpg", label)
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test/{name}.jpg", label)
    folder.csv("labels.csv", ["id", "breed"], zip(train, labels, strict=True))
    header = ["id", *folder.classes]
    folder.csv("sample_submission.csv", header, [[name, *[0.008333333333333333] * 6] for name in test])
    form = Form(header=header, ids=test, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=36)


@miniature(
    25,
    "leaf-classification",
    layout=f"{LAYOUT} of 194 columns, train and test in one folder",
    task="multiclass",
    submission="probabilities",
)
def leaf(folder: Folder) -> Made:
    folder.classes = ["Acer_Capillipes", "Acer_Circinatum", "Acer_Mono", "Quercus_Alnifolia", "Tilia_Tomentosa"]
    numbers = [str(number) for number in folder.rng.permutation(range(1, 49))]
    labels, wanted = folder.deal(40), folder.deal(8)
    for name, label in zip(numbers, [*labels, *wanted], strict=True):
        folder.paint(f"images/{name}.jpg", label, mode="L", height=24 + int(name) % 7)
    train, test = numbers[:40], numbers[40:]
    features = [f"{kind}{number}" for kind in ("margin", "shape", "texture") for number in range(1, 65)]
    values = folder.rng.random((48, len(features))).round(6).tolist()
    rows = [[name, label, *row] for name, label, row in zip(train, labels, values, strict=False)]
    folder.csv("train.csv", ["id", "species", *features], rows)
    folder.csv("test.csv", ["id", *features], [[name, *row] for name, row in zip(test, values[40:], strict=True)])
    header = ["id", *folder.classes]
    folder.csv("sample_submission.csv", header, [[name, *[0.010101010101010102] * 5] for name in test])
    form = Form(header=header, ids=test, holds="number", sums_to_one=True)
    truth = one_hot(wanted, folder.classes)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=40)


@miniature(
    39,
    "cifar-10",
    layout=f"{LAYOUT}, a number",
    task="multiclass",
    submission="label",
)
def cifar(folder: Folder) -> Made:
    folder.classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    labels, wanted = folder.deal(60), folder.deal(8)
    for number, label in enumerate(labels, start=1):
        folder.paint(f"train/{number}.png", label)
    for number, label in enumerate(wanted, start=1):
        folder.paint(f"test/{number}.png", label)
    folder.csv("trainLabels.csv", ["id", "label"], enumerate(labels, start=1))
    ids = [str(number) for number in range(1, 9)]
    folder.csv("sampleSubmission.csv", ["id", "label"], [[name, "cat"] for name in ids])
    folder.junk("train.7z", "test.7z")
    form = Form(header=["id", "label"], ids=ids, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=60)


@miniature(48, "petfinder-pawpularity-score", layout=LAYOUT, task="regression", submission="value")
def petfinder(folder: Folder) -> Made:
    folder.classes = ["Pawpularity"]
    names = folder.hex_ids(52, 32)
    train, test = names[:44], names[44:]
    scores = [str(score) for score in folder.rng.permutation(range(2, 101))[:44]]
    wanted = [str(score) for score in range(10, 90, 10)]
    for place, ids, marks in (("train", train, scores), ("test", test, wanted)):
        for name, score in zip(ids, marks, strict=True):
            folder.save(f"{place}/{name}.jpg", folder.image({"Pawpularity": int(score) / 100}))
    about = ["Subject Focus", "Eyes", "Face", "Near", "Action", "Accessory", "Group", "Collage", "Human", "Occlusion"]
    about += ["Info", "Blur"]
    facts = folder.rng.integers(0, 2, (52, len(about))).tolist()
    rows = [[name, *row, score] for name, row, score in zip(train, facts, scores, strict=False)]
    folder.csv("train.csv", ["Id", *about, "Pawpularity"], rows)
    folder.csv("test.csv", ["Id", *about], [[name, *row] for name, row in zip(test, facts, strict=False)])
    header = ["Id", "Pawpularity"]
    folder.csv("sample_submission.csv", header, [[name, 99.24] for name in test])
    form = Form(header=header, ids=test, holds="number", low=1.0, high=100.0)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=44)
