"""Competitions whose labels are in a table, by the name of the file."""

from __future__ import annotations

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.miniatures import Folder, Made, column, miniature
from tests.automl_tests.competitions.painting import encoded

LAYOUT = "file name in a CSV"
RANKING = "best 5 labels"


@miniature(
    3,
    "aerial-cactus-identification",
    layout=f"{LAYOUT}, images in train.zip",
    task="binary",
    submission="probability",
)
def cactus(folder: Folder) -> Made:
    folder.classes = ["0", "1"]
    names = [f"{name}.jpg" for name in folder.hex_ids(46, 32)]
    train, test = names[:40], names[40:]
    labels, wanted = folder.deal(40), folder.deal(6)
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        members = {
            f"{place}/{name}": encoded(folder.image([label]), ".jpg") for name, label in zip(ids, marks, strict=True)
        }
        folder.zip(f"{place}.zip", members)
    header = ["id", "has_cactus"]
    folder.csv("train.csv", header, zip(train, labels, strict=True))
    folder.csv("sample_submission.csv", header, [[name, 0.5] for name in test])
    form = Form(header=header, ids=test, holds="number", order_alone=True)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=40)


@miniature(13, "cassava-leaf-disease-classification", layout=LAYOUT, task="multiclass", submission="label")
def cassava(folder: Folder) -> Made:
    folder.classes = ["0", "1", "2", "3", "4"]
    names = [f"{1000015157 + 186_555 * index}.jpg" for index in range(40)]
    labels = folder.deal(40)
    for name, label in zip(names, labels, strict=True):
        folder.paint(f"train_images/{name}", label, width=48)
    folder.paint("test_images/2216849948.jpg", "4", width=48)
    folder.junk("train_tfrecords/ld_train00-1338.tfrec", "test_tfrecords/ld_test00-1.tfrec")
    diseases = ["Cassava Bacterial Blight (CBB)", "Cassava Brown Streak Disease (CBSD)", "Cassava Green Mottle (CGM)"]
    diseases += ["Cassava Mosaic Disease (CMD)", "Healthy"]
    folder.json("label_num_to_disease_map.json", dict(zip(folder.classes, diseases, strict=True)))
    header = ["image_id", "label"]
    folder.csv("train.csv", header, zip(names, labels, strict=True))
    folder.csv("sample_submission.csv", header, [["2216849948.jpg", 4]])
    form = Form(header=header, ids=["2216849948.jpg"], holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=[["4"]], classes=folder.classes, n_images=40)


@miniature(
    14,
    "paddy-disease-classification",
    layout=f"{LAYOUT}, and a folder for each class",
    task="multiclass",
    submission="label",
)
def paddy(folder: Folder) -> Made:
    folder.classes = ["bacterial_leaf_blight", "blast", "brown_spot", "dead_heart", "hispa", "normal", "tungro"]
    labels, wanted = folder.deal(42), folder.deal(6)
    names = [f"{100330 + 7 * index}.jpg" for index in range(42)]
    test = [f"{200001 + index}.jpg" for index in range(6)]
    for name, label in zip(names, labels, strict=True):
        folder.paint(f"train_images/{label}/{name}", label, width=30, height=40)
    for name, label in zip(test, wanted, strict=True):
        folder.paint(f"test_images/{name}", label, width=30, height=40)
    rows = [[name, label, "ADT45", 45 + len(label)] for name, label in zip(names, labels, strict=True)]
    folder.csv("train.csv", ["image_id", "label", "variety", "age"], rows)
    header = ["image_id", "label"]
    folder.csv("sample_submission.csv", header, [[name, ""] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=42)


@miniature(
    27,
    "humpback-whale-identification",
    layout=f"{LAYOUT}, many classes of one image",
    task="multiclass",
    submission=RANKING,
)
def humpback(folder: Folder) -> Made:
    return _whales(folder, ["w_23a388d", "w_9b5109b", "w_9c506f6", "w_0369a5c", "w_f48451c", "w_c3d896a"], digits=9)


@miniature(
    28,
    "whale-categorization-playground",
    layout=f"{LAYOUT}, many classes of one image",
    task="multiclass",
    submission=RANKING,
)
def whale_categorization(folder: Folder) -> Made:
    return _whales(folder, ["w_1287fbc", "w_98baff9", "w_7554f44", "w_1eafe46", "w_693c9ee"], digits=8)


def _whales(folder: Folder, whales: list[str], *, digits: int) -> Made:
    frequent = ["new_whale", *whales[:3]]
    folder.classes = ["new_whale", *whales]
    labels, wanted = [*folder.deal(36, frequent), *whales[3:]], folder.deal(6, frequent)
    names = [f"{name}.jpg" for name in folder.hex_ids(len(labels) + 6, digits)]
    train, test = names[: len(labels)], names[len(labels) :]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.paint(f"{place}/{name}", label, width=48)
    folder.csv("train.csv", ["Image", "Id"], zip(train, labels, strict=True))
    best = " ".join(folder.classes[:5])
    folder.csv("sample_submission.csv", ["Image", "Id"], [[name, best] for name in test])
    form = Form(header=["Image", "Id"], ids=test, holds="ranking", vocabulary=folder.classes, k=5)
    return Made(form=form, truth=column(wanted), classes=sorted(folder.classes), n_images=len(labels))


@miniature(
    29,
    "happy-whale-and-dolphin",
    layout=f"{LAYOUT}, the label's column named otherwise in the sample",
    task="multiclass",
    submission=RANKING,
)
def happy_whale(folder: Folder) -> Made:
    whales = ["37c7aba965a5", "114207cab555", "a6e325d8e924", "19fbb960f07d", "c995c043c353", "8ee5d9b2b0f1"]
    species = ["melon_headed_whale", "humpback_whale", "bottlenose_dolpin", "bottlenose_dolphin", "beluga", "beluga"]
    folder.classes = whales
    labels, wanted = [*folder.deal(35, whales[:5]), whales[5]], folder.deal(6, whales[:5])
    names = [f"{name}.jpg" for name in folder.hex_ids(42, 14)]
    train, test = names[:36], sorted(names[36:])
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.paint(f"{place}_images/{name}", label, width=48)
    species_of = dict(zip(whales, species, strict=True))
    rows = [[name, species_of[label], label] for name, label in zip(train, labels, strict=True)]
    folder.csv("train.csv", ["image", "species", "individual_id"], rows)
    header = ["image", "predictions"]
    folder.csv("sample_submission.csv", header, [[name, " ".join(whales[:5])] for name in test])
    form = Form(header=header, ids=test, holds="ranking", vocabulary=[*whales, "new_individual"], k=5)
    return Made(form=form, truth=column(wanted), classes=sorted(whales), n_images=36)


@miniature(
    30,
    "hotel-id-2021-fgvc8",
    layout=f"{LAYOUT}, in folders that are not the label, one name twice",
    task="multiclass",
    submission=RANKING,
)
def hotel(folder: Folder) -> Made:
    hotels = ["36363", "53586", "18807", "64314", "60181", "7091"]
    chain_of = dict(zip(hotels, ["4", "4", "87", "87", "0", "0"], strict=True))
    folder.classes = hotels
    labels, wanted = folder.deal(42), ["64314"]
    names = [f"{name}.jpg" for name in folder.hex_ids(42, 16)]
    first, second = labels.index("36363"), labels.index("18807")
    names[first] = names[second] = "ce27d36c9147cc19.jpg"
    for name, label in zip(names, labels, strict=True):
        folder.paint(f"train_images/{chain_of[label]}/{name}", label)
    folder.paint("test_images/99e91ad5f2870678.jpg", *wanted)
    rows = [[name, chain_of[label], label, "2018-07-13 06:32:21"] for name, label in zip(names, labels, strict=True)]
    folder.csv("train.csv", ["image", "chain", "hotel_id", "timestamp"], rows)
    header, test = ["image", "hotel_id"], ["99e91ad5f2870678.jpg"]
    folder.csv("sample_submission.csv", header, [[test[0], "36363 53586 18807 64314 60181"]])
    form = Form(header=header, ids=test, holds="ranking", vocabulary=hotels, k=5)
    return Made(form=form, truth=column(wanted), classes=sorted(hotels, key=int), n_images=42)


@miniature(
    32,
    "iwildcam-2019-fgvc6",
    layout=f"{LAYOUT} that has an id besides",
    task="multiclass",
    submission="label",
    needs=("--metric f1_macro",),
)
def iwildcam_2019(folder: Folder) -> Made:
    folder.classes = ["0", "1", "3", "11", "19"]
    names = folder.uuids(58)
    labels, wanted = [label for label in folder.classes for _ in range(10)], folder.deal(8)
    train, test = names[:50], names[50:]
    for place, ids, marks in (("train", train, labels), ("test", test, wanted)):
        for name, label in zip(ids, marks, strict=True):
            folder.paint(f"{place}_images/{name}.jpg", label, width=48)
    columns = ["date_captured", "file_name", "frame_num", "id", "location", "rights_holder", "seq_id"]
    columns += ["seq_num_frames", "width", "height"]

    def about(index: int, name: str, first_location: int) -> list[object]:
        seen = ["2011-05-13 23:43:18", f"{name}.jpg", 1 + index % 3, name, first_location + index % 10]
        return [*seen, "Erin Boydston", f"seq-{index // 3}", 3, 48, 32]

    rows = [[label, *about(index, name, 33)] for index, (name, label) in enumerate(zip(train, labels, strict=True))]
    folder.csv("train.csv", ["category_id", *columns], rows)
    folder.csv("test.csv", columns, [about(index, name, 100) for index, name in enumerate(test)])
    header = ["Id", "Category"]
    folder.csv("sample_submission.csv", header, [[name, 1] for name in test])
    form = Form(header=header, ids=test, holds="label", vocabulary=folder.classes)
    return Made(form=form, truth=column(wanted), classes=folder.classes, n_images=50, n_groups=10)


@miniature(
    49,
    "csiro-biomass",
    layout="path in a CSV, a row for each of 5 targets",
    task="regression",
    submission="value, a row for each target",
    needs=("--metric weighted_r2", "metric_weights", "--group Sampling_Date"),
)
def csiro(folder: Folder) -> Made:
    folder.classes = ["Dry_Clover_g", "Dry_Dead_g", "Dry_Green_g", "Dry_Total_g", "GDM_g"]
    names = [f"ID{number}656" for number in folder.rng.permutation(range(1_001_187, 1_001_233))]
    levels = folder.rng.random((46, 5)).round(4)
    train_rows, test_rows, ids, truth = [], [], [], []
    for index, (name, row) in enumerate(zip(names, levels.tolist(), strict=True)):
        place = "train" if index < 40 else "test"
        folder.save(f"{place}/{name}.jpg", folder.image(dict(zip(folder.classes, row, strict=True)), width=64))
        for target, level in zip(folder.classes, row, strict=True):
            sample_id, value = f"{name}__{target}", round(100 * level, 2)
            if place == "test":
                test_rows.append([sample_id, f"test/{name}.jpg", target])
                ids.append(sample_id)
                truth.append([str(value)])
                continue
            about = [f"2015/9/{1 + index % 10}", ("Tas", "NSW", "WA")[index % 3], "Ryegrass_Clover", 0.62, 4.6667]
            train_rows.append([sample_id, f"train/{name}.jpg", *about, target, value])
    columns = ["Sampling_Date", "State", "Species", "Pre_GSHH_NDVI", "Height_Ave_cm"]
    folder.csv("train.csv", ["sample_id", "image_path", *columns, "target_name", "target"], train_rows)
    folder.csv("test.csv", ["sample_id", "image_path", "target_name"], test_rows)
    folder.csv("sample_submission.csv", ["sample_id", "target"], [[name, 0.0] for name in ids])
    form = Form(header=["sample_id", "target"], ids=ids, holds="number", high=None, low=None)
    return Made(form=form, truth=truth, classes=folder.classes, n_images=40, n_groups=10)
