"""Tables of labels: which one it is, which of its columns name the images and hold the labels, and which rows count."""

from __future__ import annotations

from collections.abc import Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

CLASSES = ("cat", "dog", "owl")
TESTS = [f"t{i}" for i in range(4)]
N = 24


def paint(folder: Folder, place: str = "train", *, n: int = N, shards: int = 0) -> list[str]:
    """Pictures a000.png and on, in folders part0 and on where there are shards; their paths."""
    names = [f"{place}/part{i % shards}/a{i:03d}.png" if shards else f"{place}/a{i:03d}.png" for i in range(n)]
    folder.image(*names)
    return names


def number_of(path: str) -> int:
    return int(path.rpartition("/a")[2][:3])


def stem_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".png")


def class_of(number: int) -> str:
    return CLASSES[number % 3]


def classes_of(paths: Sequence[str]) -> dict[str, str]:
    return {path: class_of(number_of(path)) for path in paths}


# 01: which column is the label


@kind("two columns may be the label, folders are shards")
def two_columns(folder: Folder) -> Truth:
    rows = [[stem_of(path), f"s{i % 2}", f"d{i % 4}"] for i, path in enumerate(paint(folder, shards=3))]
    folder.csv("train.csv", ["id", "species", "disease"], rows)
    folder.sample(TESTS, header=("id", "prediction"))
    return Refused(says=("train.csv", "species", "disease", "--label"))


@kind(
    "two columns may be the label in a table of another name and form",
    variants=["labels.csv", "info.tsv", "deep/x.csv"],
)
def two_columns_elsewhere(folder: Folder, name: str) -> Truth:
    rows = [[f"{stem_of(path)}.png", f"s{i % 2}", f"d{i % 4}"] for i, path in enumerate(paint(folder, shards=3))]
    folder.csv(name, ["file", "species", "disease"], rows, delimiter="\t" if name.endswith("tsv") else ",")
    folder.sample(TESTS, header=("id", "prediction"), value=0)
    return Refused(says=(name, "species", "disease", "--label"))


@kind("two columns may be the label, and the user names one", flags=["--label", "disease"])
def two_columns_settled(folder: Folder) -> Truth:
    paths = paint(folder, shards=3)
    rows = [[stem_of(path), f"s{i % 2}", class_of(i)] for i, path in enumerate(paths)]
    folder.csv("train.csv", ["id", "species", "disease"], rows)
    folder.sample(TESTS, header=("id", "prediction"))
    return Read(train=classes_of(paths), task="multiclass")


@kind("the user names a column that no table has", flags=["--label", "breed"])
def no_such_column(folder: Folder) -> Truth:
    rows = [[stem_of(path), class_of(i)] for i, path in enumerate(paint(folder, shards=3))]
    folder.csv("train.csv", ["id", "label"], rows)
    folder.sample(TESTS)
    return Refused(says=("--label breed", "train.csv has id, label"), exit_code=2)


@kind("the user names two columns of values", flags=["--label", "height,width"])
def two_named_columns(folder: Folder) -> Truth:
    paths = paint(folder)
    rows = [[stem_of(path), i % 2, i / 4 + 0.1, i / 8 + 0.2] for i, path in enumerate(paths)]
    folder.csv("train.csv", ["id", "sex", "height", "width"], rows)
    folder.sample(TESTS, header=("id", "h", "w"), value=0.5)
    train = {path: f"{number_of(path) / 4 + 0.1:g}|{number_of(path) / 8 + 0.2:g}" for path in paths}
    return Read(train=train, task="regression")


@kind("two columns say the same, one in words and one in numbers", variants=["words", "numbers"])
def same_columns(folder: Folder, written: str) -> Truth:
    paths = paint(folder)
    folder.csv(
        "train.csv", ["id", "label", "label_name"], [[stem_of(p), i % 3, class_of(i)] for i, p in enumerate(paths)]
    )
    folder.sample(TESTS, value="owl" if written == "words" else 2)
    in_words = classes_of(paths)
    return Read(train=in_words if written == "words" else {path: str(number_of(path) % 3) for path in paths})


@kind("two columns say the same and the sample names neither")
def same_columns_unclear(folder: Folder) -> Truth:
    paths = paint(folder)
    rows = [[stem_of(p), i % 3, class_of(i)] for i, p in enumerate(paths)]
    folder.csv("train.csv", ["id", "species_id", "species"], rows)
    folder.sample(TESTS, header=("id", "prediction"))
    return Refused(says=("species_id", "species", "--label"))


@kind("one column is called label, another may be meant")
def called_label(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv(
        "train.csv", ["id", "site", "label"], [[stem_of(p), f"s{i % 4}", class_of(i)] for i, p in enumerate(paths)]
    )
    folder.sample(TESTS, header=("id", "prediction"))
    return Read(train=classes_of(paths), says=("--label COLUMN", "site"))


@kind("labels made wrong beside the right ones, which are the folders")
def noisy_labels(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    rows = [[path, class_of(i), class_of(i if i % 5 else i + 1), class_of(i * i)] for i, path in enumerate(paths)]
    folder.csv("noisy.csv", ["path", "noisy_labels_0", "noisy_labels_5", "noisy_labels_50"], rows)
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths))


@kind("a column for each class without a column of the sample", variants=["1", "True"])
def one_hot(folder: Folder, one: str) -> Truth:
    paths = paint(folder)
    zero = "0" if one == "1" else "False"
    rows = [[stem_of(p), *(one if class_of(i) == name else zero for name in CLASSES)] for i, p in enumerate(paths)]
    folder.csv("train.csv", ["id", *CLASSES], rows)
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths), task="multiclass")


# 02: ids that match nothing


@kind("ids that match nothing, folders are shards", variants=["train.csv", "labels.tsv", "data/train_labels.csv"])
def unmatched(folder: Folder, name: str) -> Truth:
    paint(folder, shards=2)
    folder.csv(
        name,
        ["id", "label"],
        [[f"x-{i * 37 + 1000}-q", class_of(i)] for i in range(N)],
        delimiter="\t" if name.endswith("tsv") else ",",
    )
    folder.sample(TESTS)
    return Refused(says=(name, "x-1000-q", "a file is called train/part", "--labels"))


@kind("ids are written as floats, folders are shards")
def floats(folder: Folder) -> Truth:
    paths = [f"train/b{i % 2 + 1}/{i:04d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("train.csv", ["id", "label"], [[f"{i}.0", class_of(i)] for i in range(N)])
    folder.sample(TESTS)
    return Read(train={path: class_of(i) for i, path in enumerate(paths)})


@kind("half of the ids match nothing")
def half_unmatched(folder: Folder) -> Truth:
    paint(folder, shards=2)
    folder.csv("train.csv", ["id", "label"], [[f"a{i:03d}" if i % 2 else f"q-{i}", class_of(i)] for i in range(N)])
    folder.sample(TESTS)
    return Refused(says=("train.csv names 12 images that are not in train/", "q-0", "--skip-missing"))


@kind("a document of labels whose images are not there, folders are shards")
def unmatched_document(folder: Folder) -> Truth:
    paint(folder, shards=2)
    folder.json("train_labels.json", {f"x-{i * 37 + 1000}.jpg": class_of(i) for i in range(N)})
    folder.sample(TESTS)
    return Refused(says=("train_labels.json", "x-1000.jpg", "--labels"))


@kind("a table of labels that cannot be read, folders are shards", variants=["train.xls", "labels.csv"])
def unreadable(folder: Folder, name: str) -> Truth:
    paint(folder, shards=2)
    folder.file(name, b"id,label\na000,cat\na001,dog,owl,7\n" if name.endswith("csv") else b"\xd0\xcf\x11\xe0 x")
    folder.sample(TESTS)
    return Refused(says=(name,))


# Tables that are no labels


@kind("class folders beside tables of something else")
def other_tables(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("prices.csv", ["shop", "price"], [[f"shop {i}", i * 1.5] for i in range(9)])
    folder.sample(TESTS, value="cat")
    return Read(
        train=classes_of(paths), says=("tables not read as labels: prices.csv (none of its columns names an image)",)
    )


@kind("class folders whose names are numbers that a table spells out", variants=["labels.csv", "class_names.csv"])
def class_map(folder: Folder, name: str) -> Truth:
    paths = [f"train/{i % 3}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv(name, ["ClassId", "Name"], enumerate(CLASSES))
    folder.sample(TESTS, value="2")
    return Read(train={path: str(number_of(path) % 3) for path in paths}, says=(name,))


@kind("class folders beside a table of sizes")
def sizes(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv(
        "info.csv", ["file", "width", "height"], [[f"{stem_of(p)}.png", i % 5, i % 7] for i, p in enumerate(paths)]
    )
    folder.sample(TESTS, value="cat")
    return Refused(says=("info.csv", "width", "height", "--labels folders"))


@kind("class folders beside a table of one number for each image")
def one_number(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("info.csv", ["file", "size"], [[f"{stem_of(p)}.png", i % 5] for i, p in enumerate(paths)])
    folder.sample(TESTS, value="cat")
    return Refused(says=("column size of info.csv", "--labels info.csv", "--labels folders"))


@kind("class folders beside a document of one number for each image")
def one_number_of_document(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.json("sizes.json", {f"{stem_of(path)}.png": i % 5 for i, path in enumerate(paths)})
    folder.sample(TESTS, value="cat")
    return Refused(says=("sizes.json", "--labels folders"))


@kind("class folders beside a table of checksums")
def checksums(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("md5.csv", ["file", "md5"], [[f"{stem_of(p)}.png", f"ab{i:030d}f"] for i, p in enumerate(paths)])
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths), says=("tables not read as labels: md5.csv",))


@kind("class folders in parts beside a table of all their files")
def table_of_files(folder: Folder) -> Truth:
    paths = {f"{part}/{class_of(i)}/{part}{i:03d}.png": i for part in ("train", "test") for i in range(N)}
    folder.image(*paths)
    rows = [[i % 3, path, class_of(i), path.partition("/")[0], f"{class_of(i)}us"] for path, i in paths.items()]
    folder.csv("birds.csv", ["class id", "filepaths", "labels", "data set", "scientific name"], rows)
    train = {path: class_of(i) for path, i in paths.items() if path.startswith("train")}
    return Read(train=train, says=("24 rows of train, 24 rows of test by column data set of birds.csv",))


@kind("class folders beside a table of labels that tells other images apart")
def other_classes(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("train.csv", ["id", "breed"], [[stem_of(path), f"b{number_of(path) // 8}"] for path in paths])
    folder.sample(TESTS, header=("id", "prediction"))
    return Read(train={path: f"b{number_of(path) // 8}" for path in paths}, says=("--labels folders",))


@kind("the user asks for the folders", flags=["--labels", "folders"])
def asked_folders(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv(
        "train.csv", ["file", "width", "height"], [[f"{stem_of(p)}.png", i % 5, i % 7] for i, p in enumerate(paths)]
    )
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths))


@kind("the user asks for the file names", flags=["--labels", "names"])
def asked_names(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}_{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("train.csv", ["file", "width", "height"], [[path[6:], i % 5, i % 7] for i, path in enumerate(paths)])
    folder.sample(TESTS, value="cat")
    return Read(train={path: class_of(i) for i, path in enumerate(paths)})


@kind("the user asks for a column of the folders", flags=["--labels", "folders", "--label", "x"])
def asked_column_of_folders(folder: Folder) -> Truth:
    folder.image(*(f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)))
    folder.sample(TESTS, value="cat")
    return Refused(says=("--label x", "folders"), exit_code=2)


@kind("the table and the folders contradict each other in one image")
def contradicting_folders(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    labels = {path: "owl" if number_of(path) == 0 else class_of(number_of(path)) for path in paths}
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), label] for path, label in labels.items()])
    folder.sample(TESTS, value="cat")
    return Read(train=labels, says=("1 image in the folder of another label, the table is believed",))


# Two tables


@kind("two tables of labels that differ")
def two_tables(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path))] for path in paths])
    folder.csv("labels.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path) // 2)] for path in paths])
    folder.sample(TESTS)
    return Refused(says=("train.csv", "labels.csv", "--labels"))


@kind("two tables of labels that say the same")
def same_tables(folder: Folder) -> Truth:
    paths = paint(folder)
    for name in ("train.csv", "labels.csv"):
        folder.csv(name, ["id", "label"], [[stem_of(path), class_of(number_of(path))] for path in paths])
    folder.sample(TESTS)
    return Read(train=classes_of(paths), says=("labels.csv says the same of 24 images",))


@kind("a document of labels beside the table, which differs")
def table_and_document(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path))] for path in paths])
    folder.json("old_labels.json", {stem_of(path): class_of(number_of(path) // 2) for path in paths})
    folder.sample(TESTS)
    return Read(train=classes_of(paths), says=("old_labels.json left out, it gives 16 images another label",))


@kind("two tables of labels that differ, and the user names one", flags=["--labels", "labels.csv"])
def named_table(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path) // 2)] for path in paths])
    folder.csv("labels.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path))] for path in paths])
    folder.sample(TESTS)
    return Read(train=classes_of(paths))


@kind("a table of columns beside the one of the sample's target", variants=["train.csv", "train_info.csv"])
def metadata_beside(folder: Folder, name: str) -> Truth:
    paths = paint(folder)
    folder.csv(name, ["id", "age", "site"], [[stem_of(path), i % 5, i % 2] for i, path in enumerate(paths)])
    folder.csv("train_labels.csv", ["id", "label"], [[stem_of(path), class_of(number_of(path))] for path in paths])
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths))


# 03: pixels in a table beside images


def put_pixels(folder: Folder, name: str, n: int) -> None:
    header = [*(f"pixel{k:04d}" for k in range(64)), "label"]
    folder.csv(name, header, [[*((i * k) % 256 for k in range(64)), i % 4] for i in range(n)])


@kind("pixels of the images beside their table", variants=["metadata.csv", "train.csv", "HAM10000_metadata.tsv"])
def pixels_beside(folder: Folder, name: str) -> Truth:
    paths = [f"images_part_{i % 2 + 1}/ISIC_{i:07d}.jpg" for i in range(28)]
    folder.image(*paths)
    delimiter = "\t" if name.endswith("tsv") else ","
    rows = [[path[14:-4], class_of(i)] for i, path in enumerate(paths)]
    folder.csv(name, ["image_id", "dx"], rows, delimiter=delimiter)
    put_pixels(folder, "hmnist_8_8_L.csv", 28)
    ids = [f"ISIC_{900 + i:07d}" for i in range(4)]
    test = folder.sample(ids, header=("image_id", "dx"), folder="Test_Images", suffix=".jpg")
    train = {path: class_of(i) for i, path in enumerate(paths)}
    return Read(train=train, test=test, says=("hmnist_8_8_L.csv",))


@kind("pixels of the images beside a table whose column is unclear")
def pixels_beside_unclear(folder: Folder) -> Truth:
    paths = [f"images_part_{i % 2 + 1}/ISIC_{i:07d}.jpg" for i in range(28)]
    folder.image(*paths)
    rows = [[f"H{i // 2}", path[14:-4], class_of(i), "histo"] for i, path in enumerate(paths)]
    folder.csv("metadata.csv", ["lesion_id", "image_id", "dx", "dx_type"], rows)
    put_pixels(folder, "hmnist_8_8_L.csv", 28)
    folder.sample([f"ISIC_{900 + i:07d}" for i in range(4)], header=("image_id", "label"), folder="test", suffix=".jpg")
    return Refused(says=("metadata.csv", "dx", "--label"))


@kind("pixels beside images in class folders, test images are files")
def pixels_beside_folders(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    put_pixels(folder, "train_pixels.csv", N)
    test = folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths), test=test, says=("train_pixels.csv",))


# 11: True and False


@kind("a column for each class in words", variants=["True False", "yes no", "T F", "y n", "TRUE FALSE"])
def booleans(folder: Folder, words: str) -> Truth:
    paths = paint(folder)
    yes, no = words.split()
    rows = [[stem_of(p), *(yes if class_of(i) == name else no for name in CLASSES)] for i, p in enumerate(paths)]
    folder.csv("train.csv", ["id", *CLASSES], rows)
    folder.sample(TESTS, header=("id", *CLASSES), value=0.3)
    return Read(train=classes_of(paths), task="multiclass", submission_kind="probabilities")


@kind("columns of several labels in words")
def boolean_sets(folder: Folder) -> Truth:
    paths = paint(folder)
    sets = {path: [name for k, name in enumerate(CLASSES) if number_of(path) >> k & 1] for path in paths}
    rows = [[stem_of(path), *(name in sets[path] for name in CLASSES)] for path in paths]
    folder.csv("train.csv", ["id", *CLASSES], rows)
    folder.sample(TESTS, header=("id", *CLASSES), value=0.5)
    return Read(train={path: "|".join(names) for path, names in sets.items()}, task="multilabel")


# 12: numbers of classes as floats


@kind("numbers of classes are written as floats", variants=["0", "", "2"])
def float_labels(folder: Folder, value: str) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), f"{number_of(path) % 3}.0"] for path in paths])
    folder.sample(TESTS, value=value)
    train = {path: str(number_of(path) % 3) for path in paths}
    return Read(train=train, classes=("0", "1", "2"), task="multiclass")


@kind("some numbers of classes are written as floats")
def mixed_labels(folder: Folder) -> Truth:
    paths = paint(folder)
    rows = [[stem_of(path), f"{number_of(path) % 3}{'.0' * (i % 2)}"] for i, path in enumerate(paths)]
    folder.csv("train.csv", ["id", "label"], rows)
    folder.sample(TESTS, value=0)
    return Read(train={path: str(number_of(path) % 3) for path in paths}, classes=("0", "1", "2"))


@kind("numbers of classes are floats, the sample has a column for each")
def float_labels_wide(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), f"{number_of(path) % 3}.0"] for path in paths])
    folder.sample(TESTS, header=("id", "0", "1", "2"), value=0.3)
    return Read(train={path: str(number_of(path) % 3) for path in paths}, classes=("0", "1", "2"))


# 15: targets that the table calls otherwise


@kind("targets with an ending in the table", variants=["_mean", ".mean", " avg"])
def longer_targets(folder: Folder, end: str) -> Truth:
    paths = paint(folder, n=40)
    rows = [[stem_of(p), i % 7, i / 4 + 0.1, i % 9 / 2, "" if i % 2 else 0.1, ""] for i, p in enumerate(paths)]
    header = ["id", "soil", f"X4{end}", f"X11{end}", "X4_sd", "X11_sd"]
    folder.csv("train.csv", header, rows)
    folder.csv("test.csv", ["id", "soil"], [[name, 3] for name in TESTS])
    folder.sample(TESTS, header=("id", "X4", "X11"), value=0.3)
    train = {path: f"{number_of(path) / 4 + 0.1:g}|{number_of(path) % 9 / 2:g}" for path in paths}
    return Read(train=train, task="regression", columns=("id", "X4", "X11"))


@kind("targets with two endings in the table, both without blanks")
def two_endings(folder: Folder) -> Truth:
    rows = [[stem_of(p), i / 4 + 0.1, i % 9 / 2, 0.1 * i, 0.2 * i] for i, p in enumerate(paint(folder, n=40))]
    folder.csv("train.csv", ["id", "X4_mean", "X11_mean", "X4_sd", "X11_sd"], rows)
    folder.sample(TESTS, header=("id", "X4", "X11"), value=0.3)
    return Refused(says=("X4_mean", "--label"))


@kind("targets with two endings in the table, of which the user names one", flags=["--label", "X4_mean,X11_mean"])
def named_ending(folder: Folder) -> Truth:
    paths = paint(folder, n=40)
    rows = [[stem_of(p), i / 4 + 0.1, i % 9 / 2, 0.1 * i, 0.2 * i] for i, p in enumerate(paths)]
    folder.csv("train.csv", ["id", "X4_mean", "X11_mean", "X4_sd", "X11_sd"], rows)
    folder.sample(TESTS, header=("id", "X4", "X11"), value=0.3)
    train = {path: f"{number_of(path) / 4 + 0.1:g}|{number_of(path) % 9 / 2:g}" for path in paths}
    return Read(train=train, task="regression")


@kind("columns of classes in other case than the sample's")
def other_case(folder: Folder) -> Truth:
    paths = paint(folder)
    rows = [[stem_of(p), i % 5, *(int(class_of(i) == name) for name in CLASSES)] for i, p in enumerate(paths)]
    folder.csv("train.csv", ["id", "age", *CLASSES], rows)
    folder.sample(TESTS, header=("id", *(name.title() for name in CLASSES)), value=0.3)
    return Read(train={path: label.title() for path, label in classes_of(paths).items()}, task="multiclass")


# 18: one table for all


@kind("one table for training and test, the label of test rows is blank")
def one_table(folder: Folder) -> Truth:
    paths = paint(folder, "images", n=28)
    rows = [[stem_of(path), class_of(i) if i < N else ""] for i, path in enumerate(paths)]
    folder.csv("labels.csv", ["id", "label"], rows)
    folder.csv("sample_submission.csv", ["id", "label"], [[stem_of(path), "cat"] for path in paths[N:]])
    return Read(train=classes_of(paths[:N]), test=paths[N:])


@kind("one table for training and test, one label stands for the unknown ones", variants=["?", "unknown", "cat"])
def one_table_of_placeholders(folder: Folder, label: str) -> Truth:
    paths = paint(folder, "images", n=28)
    rows = [[stem_of(path), class_of(i) if i < N else label] for i, path in enumerate(paths)]
    folder.csv("labels.csv", ["id", "label"], rows)
    folder.csv("sample_submission.csv", ["id", "label"], [[stem_of(path), "cat"] for path in paths[N:]])
    return Read(train=classes_of(paths[:N]), test=paths[N:], says=("4 rows of labels.csv left out, of images that",))


@kind("one table for training and test, images in two folders and labels blank")
def one_table_two_folders(folder: Folder) -> Truth:
    paths = paint(folder)
    test = folder.sample(TESTS, value="cat")
    rows = [[stem_of(path), class_of(i)] for i, path in enumerate(paths)] + [[name, ""] for name in TESTS]
    folder.csv("train.csv", ["id", "label"], rows)
    return Read(train=classes_of(paths), test=test)


@kind("one table with a column of the split", variants=["split", "Data Set", "is_train", "is_test", "Usage"])
def split_column(folder: Folder, name: str) -> Truth:
    words = {
        "is_train": ("True", "False", "True"),
        "is_test": ("0", "1", "0"),
        "Usage": ("Training", "PublicTest", "training"),
    }
    train_word, test_word, val_word = words.get(name, ("train", "test", "valid"))
    paths = paint(folder, "images", n=28)
    folder.csv("sample_submission.csv", ["id", "label"], [[stem_of(path), "cat"] for path in paths[N:]])
    of_rows = [test_word if i >= N else (val_word if i % 6 == 5 else train_word) for i in range(28)]
    rows = [[stem_of(path), class_of(i), part] for i, (path, part) in enumerate(zip(paths, of_rows, strict=True))]
    folder.csv("labels.csv", ["id", "label", name], rows)
    return Read(train=classes_of(paths[:N]), test=paths[N:], says=(name,))


@kind("one table with a column of the split beside an unclear label", flags=["--label", "species"])
def split_column_named(folder: Folder) -> Truth:
    paths = paint(folder, "images", n=28)
    folder.csv("sample_submission.csv", ["id", "prediction"], [[stem_of(path), ""] for path in paths[N:]])
    rows = [[stem_of(path), class_of(i), i % 2, "test" if i >= N else "train"] for i, path in enumerate(paths)]
    folder.csv("labels.csv", ["id", "species", "sex", "split"], rows)
    return Read(train=classes_of(paths[:N]), test=paths[N:])


@kind("a training row without a label")
def blank_label(folder: Folder) -> Truth:
    rows = [[stem_of(path), "" if i == 5 else class_of(i)] for i, path in enumerate(paint(folder))]
    folder.csv("train.csv", ["id", "label"], rows)
    folder.sample(TESTS, value="cat")
    return Refused(says=("train.csv has no label in 1 row: line 7",))


# 20: tables beside the images


@kind("metadata.csv beside the images of each part", variants=["data/train", "train", "images/train"])
def metadata_inside(folder: Folder, place: str) -> Truth:
    paths = [f"{place}/{i:04d}.png" for i in range(N)]
    folder.image(*paths)
    test_place = place.replace("train", "test")
    rows = [[f"{i:04d}.png", class_of(i)] for i in range(N)]
    folder.csv(f"{place}/metadata.csv", ["file_name", "label"], rows)
    test = folder.sample([f"{i:04d}" for i in range(4)], value="cat", folder=test_place)
    folder.csv(f"{test_place}/metadata.csv", ["file_name", "label"], [[f"{i:04d}.png", "owl"] for i in range(4)])
    return Read(train={path: class_of(i) for i, path in enumerate(paths)}, test=test)


@kind("tables beside the images of each part, whose names are the same")
def same_names_in_parts(folder: Folder) -> Truth:
    for part in ("train", "valid", "test"):
        folder.image(*(f"{part}/{i:04d}.png" for i in range(12)))
        rows = [[f"{i:04d}.png", *(int(class_of(i) == name) for name in CLASSES)] for i in range(12)]
        folder.csv(f"{part}/_classes.csv", ["filename", *(f" {name}" for name in CLASSES)], rows)
    return Read(train={f"train/{i:04d}.png": class_of(i) for i in range(12)}, task="multiclass")


@kind("metadata.jsonl beside the images")
def metadata_lines(folder: Folder) -> Truth:
    paths = paint(folder, "data/train")
    lines = [f'{{"file_name": "{stem_of(path)}.png", "label": "{class_of(i)}"}}\n' for i, path in enumerate(paths)]
    folder.file("data/train/metadata.jsonl", "".join(lines))
    test = folder.sample(TESTS, value="cat", folder="data/test")
    return Read(train=classes_of(paths), test=test)


@kind("the user names a table in a folder", flags=["--labels", "data/train/metadata.csv"])
def named_metadata(folder: Folder) -> Truth:
    paths = paint(folder, "data/train")
    rows = [[f"{stem_of(path)}.png", class_of(i)] for i, path in enumerate(paths)]
    folder.csv("data/train/metadata.csv", ["file_name", "label"], rows)
    folder.sample(TESTS, value="cat", folder="data/test")
    return Read(train=classes_of(paths))


@kind("images that are added have a table of their own", flags=["--add", "data/validation"])
def added_table(folder: Folder) -> Truth:
    labels = {}
    for part, n in (("train", N), ("validation", 6)):
        rows = [[f"{i:04d}.png", class_of(i + n)] for i in range(n)]
        folder.csv(f"data/{part}/metadata.csv", ["file_name", "label"], rows)
        labels |= {f"data/{part}/{name}": label for name, label in rows}
    folder.image(*labels)
    folder.sample(TESTS, value="cat", folder="data/test")
    return Read(train=labels)


@kind("images that are added have no label", flags=["--add", "valid"])
def added_without_labels(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.image(*(f"valid/v{i}.png" for i in range(4)))
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), class_of(i)] for i, path in enumerate(paths)])
    folder.sample(TESTS, value="cat")
    return Refused(says=("4 images", "valid/v0.png", "--add"))


@kind("class folders beside a list of their files and parts")
def list_of_parts(folder: Folder) -> Truth:
    paths = [f"train/{class_of(i)}/a{i:03d}.png" for i in range(N)]
    folder.image(*paths)
    folder.csv("train.csv", ["path", "split"], [[path, "train"] for path in paths])
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths), says=("train.csv (it has no column beside the images)",))


@kind("numbers of classes that a document spells out")
def names_of_numbers(folder: Folder) -> Truth:
    paths = paint(folder)
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), number_of(path) % 3] for path in paths])
    folder.json("label_num_to_disease_map.json", {str(number): name for number, name in enumerate(CLASSES)})
    folder.sample(TESTS, value=2)
    train = {path: str(number_of(path) % 3) for path in paths}
    return Read(train=train, says=("label_num_to_disease_map.json has names for them, such as cat for 0",))


@kind("attributes of 1 and -1", flags=["--label", "bald,young"])
def minus_ones(folder: Folder) -> Truth:
    paths = paint(folder)
    sets = {path: [name for k, name in enumerate(["bald", "young"]) if number_of(path) >> k & 1] for path in paths}
    rows = [[stem_of(p), *(1 if name in sets[p] else -1 for name in ("bald", "smiling", "young"))] for p in paths]
    folder.csv("list_attr.csv", ["image_id", "bald", "smiling", "young"], rows)
    return Read(train={path: "|".join(names) for path, names in sets.items()}, task="multilabel")


# 24: no header


@kind("a table without a header", variants=["a000,cat", "a000.png,cat", "train/a000.png,cat"])
def headless(folder: Folder, first: str) -> Truth:
    paths = paint(folder, n=25)
    before, after = first.partition(",")[0].split("a000")
    folder.csv("train.csv", None, [[f"{before}{stem_of(path)}{after}", class_of(number_of(path))] for path in paths])
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths))


@kind("a table of folders without a header")
def headless_folders(folder: Folder) -> Truth:
    train = {f"train/p{i:03d}/{view}.png": class_of(i) for i in range(N) for view in range(1 + i % 3)}
    folder.image(*train)
    folder.csv("train.csv", None, [[f"train/p{i:03d}/", class_of(i)] for i in range(N)])
    folder.sample(TESTS, value="cat")
    return Read(train=train, says=("no header",))


@kind("a table without a header whose first label is the only one of its kind")
def headless_rare(folder: Folder) -> Truth:
    paths = paint(folder, n=25)
    train = {path: "owl" if number_of(path) == 0 else ("cat", "dog")[number_of(path) % 2] for path in paths}
    folder.csv("train.csv", None, [[stem_of(path), label] for path, label in train.items()])
    folder.sample(TESTS, value="cat")
    return Read(train=train)


# 30: which column names the image


@kind("a row number and the name of the image", variants=["filename", "image", "path"])
def row_numbers(folder: Folder, name: str) -> Truth:
    folder.image(*(f"train/{i}.png" for i in range(40)), *(f"test/{i}.png" for i in range(6)))
    before, after = {"filename": ("", ".png"), "image": ("", ""), "path": ("train/", ".png")}[name]
    rows = [[i, f"{before}{i * 7 % 40}{after}", ("cat", "dog")[i * 7 % 40 // 20]] for i in range(40)]
    folder.csv("train.csv", ["id", name, "label"], rows)
    ends = before.replace("train", "test")
    folder.csv("test.csv", ["id", name], [[i, f"{ends}{5 - i}{after}"] for i in range(6)])
    folder.csv("sample_submission.csv", ["id", "label"], [[i, "cat"] for i in range(6)])
    return Read(
        train={f"train/{i}.png": ("cat", "dog")[i // 20] for i in range(40)},
        test=[f"test/{5 - i}.png" for i in range(6)] if name != "image" else None,
        says=("column id of train.csv names other images",),
    )


@kind("two columns name the same images in other rows")
def two_names(folder: Folder) -> Truth:
    folder.image(*(f"train/{i}.png" for i in range(40)))
    rows = [[f"{i}.png", f"{i * 7 % 40}.png", class_of(i)] for i in range(40)]
    folder.csv("train.csv", ["old_name", "new_name", "label"], rows)
    folder.sample(TESTS)
    return Refused(says=("train.csv", "old_name", "new_name"))


@kind("a column of masks beside that of the images")
def masks(folder: Folder) -> Truth:
    paths = paint(folder, "train/images")
    folder.image(*(path.replace("images/", "masks/").replace(".png", "_mask.png") for path in paths))
    rows = [
        [path, path.replace("images/", "masks/").replace(".png", "_mask.png"), class_of(i)]
        for i, path in enumerate(paths)
    ]
    folder.csv("train.csv", ["image_path", "mask_path", "label"], rows)
    folder.sample(TESTS, value="cat")
    return Read(train=classes_of(paths), says=("mask_path",))


# 57: a row for several images


@kind("an id is a folder with one image", variants=["image.png", "0.png"])
def folder_ids(folder: Folder, name: str) -> Truth:
    paths = [f"train/p{i:03d}/{name}" for i in range(N)]
    folder.image(*paths, *(f"test/q{i:03d}/{name}" for i in range(4)))
    folder.csv("train.csv", ["id", "label"], [[f"p{i:03d}", class_of(i)] for i in range(N)])
    folder.csv("sample_submission.csv", ["id", "label"], [[f"q{i:03d}", "cat"] for i in range(4)])
    train = {path: class_of(i) for i, path in enumerate(paths)}
    return Read(train=train, test=[f"test/q{i:03d}/{name}" for i in range(4)])


@kind("an id is a folder with several images")
def folders_of_several(folder: Folder) -> Truth:
    train = {f"train/p{i:03d}/{view}.png": class_of(i) for i in range(N) for view in range(1 + i % 3)}
    folder.image(*train, *(f"test/q{i:03d}/{view}.png" for i in range(4) for view in range(2)))
    folder.csv("train.csv", ["id", "label"], [[f"p{i:03d}", class_of(i)] for i in range(N)])
    folder.csv("sample_submission.csv", ["id", "label"], [[f"q{i:03d}", "cat"] for i in range(4)])
    return Read(train=train, says=("24 rows with 48 images",))


@kind("an id begins the names of several images")
def prefixes(folder: Folder) -> Truth:
    train = {f"train/p{i:03d}_{view}.png": class_of(i) for i in range(N) for view in ("left", "right")}
    folder.image(*train, *(f"test/q{i:03d}_{view}.png" for i in range(4) for view in ("left", "right")))
    folder.csv("train.csv", ["id", "label"], [[f"p{i:03d}", class_of(i)] for i in range(N)])
    folder.csv("sample_submission.csv", ["id", "label"], [[f"q{i:03d}", "cat"] for i in range(4)])
    return Read(train=train, says=("24 rows with 48 images",))


@kind("a cell lists several files", variants=[";", "|", "json"])
def lists_of_files(folder: Folder, sign: str) -> Truth:
    views = {i: [f"train/p{i:03d}_{view}.png" for view in "ab"] for i in range(N)}
    folder.image(*(path for paths in views.values() for path in paths))
    cells = {i: str(paths) if sign == "json" else sign.join(paths) for i, paths in views.items()}
    folder.csv("train.csv", ["images", "label"], [[cell, class_of(i)] for i, cell in cells.items()])
    folder.sample(TESTS, value="cat")
    return Read(train={path: class_of(i) for i, paths in views.items() for path in paths}, says=("24 rows with 48",))


@kind("a column for the image of each eye")
def two_eyes(folder: Folder) -> Truth:
    train = {f"train/{i}_{view}.png": class_of(i) for i in range(N) for view in ("left", "right")}
    folder.image(*train)
    rows = [[i, f"{i}_left.png", f"{i}_right.png", class_of(i)] for i in range(N)]
    folder.csv("train.csv", ["ID", "Left-Fundus", "Right-Fundus", "label"], rows)
    folder.sample(TESTS, value="cat")
    return Read(train=train, says=("24 rows with 48 images",))


# 58: what the user names is done or refused


def put_old_labels(folder: Folder) -> None:
    rows = [[stem_of(path), f"s{i % 2}", f"d{i % 4}"] for i, path in enumerate(paint(folder))]
    folder.csv("train.csv", ["id", "species", "disease"], rows)
    folder.json("old_labels.json", {f"a{i:03d}.png": f"x{i % 3}" for i in range(N)})
    put_pixels(folder, "train_pixels.csv", N)
    folder.file("notes.md", "nothing")
    folder.sample(TESTS, header=("id", "prediction"))


@kind("the user names a table whose column is unclear", flags=["--labels", "train.csv"])
def named_unclear(folder: Folder) -> Truth:
    put_old_labels(folder)
    return Refused(says=("train.csv", "species", "disease", "--label"))


@kind("nobody names a table whose column is unclear, a document lies beside")
def unnamed_unclear(folder: Folder) -> Truth:
    put_old_labels(folder)
    return Refused(says=("train.csv", "species", "disease", "--label"))


@kind("the user names the document", flags=["--labels", "old_labels.json"])
def named_document(folder: Folder) -> Truth:
    put_old_labels(folder)
    return Read(train={f"train/a{i:03d}.png": f"x{i % 3}" for i in range(N)})


@kind("the user names a file of something else", flags=["--labels", "notes.md"])
def named_notes(folder: Folder) -> Truth:
    put_old_labels(folder)
    return Refused(says=("--labels notes.md",))


@kind("the user names a file that is not there", flags=["--labels", "labels.csv"])
def named_nothing(folder: Folder) -> Truth:
    put_old_labels(folder)
    return Refused(says=("--labels labels.csv", "there is no such table"), exit_code=2)


# Rows of one image


@kind("a row for each label of an image", flags=["--task", "multilabel"])
def rows_of_labels(folder: Folder) -> Truth:
    paths = paint(folder)
    sets = {path: [name for k, name in enumerate(CLASSES) if (number_of(path) % 7 + 1) >> k & 1] for path in paths}
    folder.csv("train.csv", ["id", "label"], [[stem_of(path), name] for path in paths for name in sets[path]])
    folder.sample(TESTS, value="cat dog")
    return Read(train={path: "|".join(names) for path, names in sets.items()}, task="multilabel")


@kind("rows of one image with different labels")
def contradicting_rows(folder: Folder) -> Truth:
    rows = [[stem_of(path), name] for path in paint(folder) for name in CLASSES[:2]]
    folder.csv("train.csv", ["id", "label"], rows)
    folder.sample(TESTS, value="cat")
    return Refused(says=("a000", "cat, dog", "--task multilabel"))
