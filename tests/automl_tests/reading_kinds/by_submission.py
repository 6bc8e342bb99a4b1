"""Folders without a sample submission or without a test set, and rows that stand for several images."""

from __future__ import annotations

from collections.abc import Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

PETS = ("cat", "dog")
NO_SAMPLE = "no sample submission: one is made"
NO_TEST = "no test images, so that nothing is submitted: automl predict FOLDER predicts new ones"


def paint_train(folder: Folder, n: int = 24, *, below: str = "train", suffix: str = ".png") -> dict[str, str | float]:
    """Paint training images of two classes that are called a0.png and so on, and return their labels."""
    train: dict[str, str | float] = {f"{below}/a{i}{suffix}": PETS[i % 2] for i in range(n)}
    folder.image(*train)
    return train


def paint_classes(folder: Folder, n: int = 24, *, below: str = "") -> dict[str, str | float]:
    train: dict[str, str | float] = {f"{below}{PETS[i % 2]}/a{i}.png": PETS[i % 2] for i in range(n)}
    folder.image(*train)
    return train


def paint_test(folder: Folder, *names: str) -> list[str]:
    folder.image(*names)
    return list(names)


def write_labels(folder: Folder, train: dict[str, str | float], name: str = "train.csv") -> None:
    folder.csv(name, ["id", "label"], [[path.rpartition("/")[2], label] for path, label in train.items()])


# --- no sample submission ---------------------------------------------------------------------------------------------


@kind("no sample: train.csv with a column of row numbers, test.csv with paths")
def paths_in_test_table(folder: Folder) -> Truth:
    train = {f"train_data/{i:08x}.jpg": str(i % 2) for i in range(24)}
    test = [f"test_data_v2/{i:08x}f.jpg" for i in range(6)]
    folder.image(*train, *test)
    folder.csv("train.csv", ["", "file_name", "label"], [[i, *pair] for i, pair in enumerate(train.items())])
    folder.csv("test.csv", ["id"], [[path] for path in test])
    return Read(
        train=train, test=test, task="binary", submission_kind="label", columns=["id", "label"], says=(NO_SAMPLE,)
    )


@kind("no sample: test.csv with an id and a file name", variants=["numbers", "numbers that are files too", "codes"])
def ids_beside_names(folder: Folder, ids: str) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    test = (
        [f"test/{name}.png" for name in ("3", "2", "1", "0")] if "too" in ids else [f"test/t{i}.png" for i in range(4)]
    )
    folder.image(*test)
    own_ids = [f"x{i}" for i in range(4)] if ids == "codes" else list(range(4))
    folder.csv("test.csv", ["id", "filename"], [[i, path[5:]] for i, path in zip(own_ids, test, strict=True)])
    return Read(train=train, test=test, columns=["id", "label"], says=(NO_SAMPLE, "column id of test.csv"))


@kind("no sample: a table of the test that has labels", variants=["Test.csv", "test_labels.csv", "test/metadata.csv"])
def labelled_test(folder: Folder, name: str) -> Truth:
    train = {f"Train/{i % 3}/a{i}.png": str(i % 3) for i in range(24)}
    folder.image(*train)
    test = paint_test(folder, *(f"Test/{i:05d}.png" for i in range(6)))
    if name == "test/metadata.csv":
        folder.csv("Test/metadata.csv", ["file_name", "label"], [[path[5:], i % 3] for i, path in enumerate(test)])
    else:
        rows = [[29 + i, 30 + i, i % 3, path] for i, path in enumerate(test)]
        folder.csv(name, ["Width", "Height", "ClassId", "Path"], rows)
    rows = [[31 + i % 5, 29 + i % 7, label, path] for i, (path, label) in enumerate(train.items())]
    folder.csv("Train.csv", ["Width", "Height", "ClassId", "Path"], rows)
    says = () if name == "test/metadata.csv" else (f"column ClassId of {name} is not read",)
    return Read(train=train, test=test, task="multiclass", submission_kind="label", says=(NO_SAMPLE, *says))


@kind("no sample: class folders and a flat test folder", variants=["test", "Testing_set", "data/test"])
def flat_test(folder: Folder, name: str) -> Truth:
    train = paint_classes(folder, below="data/train/" if "/" in name else "train/")
    test = paint_test(folder, *(f"{name}/t{i}.png" for i in range(4)))
    return Read(
        train=train, test=test, columns=["id", "label"], submission_kind="label", says=(NO_SAMPLE, "by their names")
    )


@kind(
    "no sample: class folders in training and in test",
    variants=["train,test", "Training,Testing", "seg_train,seg_test"],
)
def labelled_test_folders(folder: Folder, names: str) -> Truth:
    first, second = names.split(",")
    train = paint_classes(folder, below=f"{first}/")
    test = paint_test(folder, *(f"{second}/{pet}/b{i}.png" for pet in PETS for i in range(3)))
    return Read(train=train, test=test, task="binary", says=(NO_SAMPLE, "lie in folders of classes (cat, dog)"))


@kind("no sample: a test.csv that is not about images")
def measurements(folder: Folder) -> Truth:
    train = paint_classes(folder, below="train/")
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    folder.csv("test.csv", ["age", "fare"], [[20 + 3 * i, 7.25 + i] for i in range(9)])
    return Read(train=train, test=test, says=(NO_SAMPLE, "test.csv is not read: none of its columns names images"))


@kind("no sample: a test.csv whose ids name nothing", variants=["id", "file"])
def unmatched_test_table(folder: Folder, column: str) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    folder.csv("test.csv", [column], [[f"other{i}.jpg"] for i in range(6)])
    return Refused(says=("test.csv", "other0.jpg", "test/t0.png"))


@kind("no sample: a flag names the test folder, and test.csv is of something else", flags=["--test-images", "later"])
def named_test_folder(folder: Folder) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    test = paint_test(folder, *(f"later/t{i}.png" for i in range(4)))
    folder.csv("test.csv", ["id"], [[f"other{i}"] for i in range(6)])
    return Read(train=train, test=test, says=("test.csv is not read", NO_SAMPLE))


@kind("no sample: a table of all images says which are of the test", variants=["split", "is_test", "Usage"])
def split_column(folder: Folder, column: str) -> Truth:
    train = paint_train(folder, below="images")
    test = paint_test(folder, *(f"images/t{i}.png" for i in range(4)))
    values = {"split": ("train", "test"), "is_test": (0, 1), "Usage": ("Training", "PublicTest")}[column]
    rows = [[path[7:], own, values[0]] for path, own in train.items()]
    rows += [[path[7:], PETS[i % 2], values[1]] for i, path in enumerate(test)]
    folder.csv("labels.csv", ["file", "label", column], rows)
    says = "after column file of the test rows of labels.csv"
    return Read(train=train, test=test, columns=["file", "label"], says=(says, "column label of the test rows"))


@kind("no sample: one folder of images, and test.csv lists the others")
def one_folder(folder: Folder) -> Truth:
    train = paint_train(folder, below="images")
    write_labels(folder, train)
    test = paint_test(folder, *(f"images/t{i}.png" for i in range(4)))
    folder.csv("test.csv", ["image_id"], [[path[7:-4]] for path in test])
    return Read(train=train, test=test, columns=["image_id", "label"], says=(NO_SAMPLE,))


@kind("no sample: metadata.csv beside the images of both splits")
def metadata_in_both(folder: Folder) -> Truth:
    train = paint_train(folder, below="data/train")
    test = paint_test(folder, *(f"data/test/t{i}.png" for i in range(4)))
    folder.csv("data/train/metadata.csv", ["file_name", "label"], [[path[11:], own] for path, own in train.items()])
    folder.csv("data/test/metadata.csv", ["file_name"], [[path[10:]] for path in test])
    return Read(train=train, test=test, columns=["file_name", "label"], says=(NO_SAMPLE,))


@kind("no sample: values, whose column the submission has too", variants=["one", "two"])
def values_without_sample(folder: Folder, number: str) -> Truth:
    paths = [f"train/a{i}.png" for i in range(24)]
    folder.image(*paths)
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    folder.csv("test.csv", ["id"], [[path[5:-4]] for path in test])
    if number == "one":
        folder.csv("train.csv", ["id", "score"], [[path[6:-4], i + 0.5] for i, path in enumerate(paths)])
        train: dict[str, str | float] = {path: i + 0.5 for i, path in enumerate(paths)}
        return Read(train=train, test=test, task="regression", submission_kind="values", columns=["id", "score"])
    folder.csv("train.csv", ["id", "x", "y"], [[path[6:-4], i + 0.5, 2.25 - i] for i, path in enumerate(paths)])
    return Refused(says=("train.csv", "x, y", "--label"))


@kind("no sample: two columns of values that the flag names", flags=["--label", "x,y"])
def two_values(folder: Folder) -> Truth:
    paths = [f"train/a{i}.png" for i in range(24)]
    folder.image(*paths)
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    folder.csv("train.csv", ["id", "x", "y", "z"], [[path[6:-4], i + 0.5, 2.25 - i, 0] for i, path in enumerate(paths)])
    train = {path: f"{i + 0.5:.9g}|{2.25 - i:.9g}" for i, path in enumerate(paths)}
    return Read(train=train, test=test, task="regression", submission_kind="values", columns=["id", "x", "y"])


@kind("no sample: lists of labels stay lists", flags=["--task", "multilabel"])
def lists(folder: Folder) -> Truth:
    labels = ("red", "green", "red green", "blue red")
    train = {f"train/a{i}.png": labels[i % 4] for i in range(24)}
    folder.image(*train)
    folder.csv("train.csv", ["id", "tags"], [[path[6:], own] for path, own in train.items()])
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    truth = {path: "|".join(sorted(own.split())) for path, own in train.items()}
    return Read(train=truth, test=test, task="multilabel", submission_kind="labels", columns=["id", "tags"])


HOT = ["id", "a", "b", "c"]


def paint_hot(folder: Folder, *, several: bool) -> dict[str, str | float]:
    """Paint images with a 0/1 column for each of three classes: one of them each, or any number."""
    rows = [[i, *((i >> n) & 1 if several else int(i % 3 == n) for n in range(3))] for i in range(24)]
    folder.image(*(f"train/{i}.png" for i in range(24)))
    folder.csv("train.csv", HOT, rows)
    return {f"train/{row[0]}.png": "|".join(c for c, flag in zip("abc", row[1:], strict=True) if flag) for row in rows}


@kind("no sample: a column of 0 and 1 for each class")
def one_hot(folder: Folder) -> Truth:
    train = paint_hot(folder, several=False)
    test = paint_test(folder, "test/t0.png", "test/t1.png")
    return Read(train=train, test=test, task="multiclass", submission_kind="probabilities", columns=HOT)


@kind("no sample: labels side by side", flags=["--label", "a,b,c"])
def several_hot(folder: Folder) -> Truth:
    train = paint_hot(folder, several=True)
    test = paint_test(folder, "test/t0.png", "test/t1.png")
    return Read(train=train, test=test, task="multilabel", submission_kind="probabilities", columns=HOT)


@kind("no sample: labels side by side, as 0 and 1", flags=["--label", "a,b,c", "--submission", "labels"])
def several_flags(folder: Folder) -> Truth:
    train = paint_hot(folder, several=True)
    test = paint_test(folder, "test/t0.png", "test/t1.png")
    return Read(train=train, test=test, task="multilabel", submission_kind="labels", columns=HOT)


@kind("no sample: lists as probabilities", flags=["--submission", "probabilities"])
def lists_as_probabilities(folder: Folder) -> Truth:
    cells = ("a,b", "b", "a", "c,a", "b,c")
    train = {f"train/{i}.png": cells[i % 5] for i in range(25)}
    folder.image(*train)
    folder.csv("train.csv", ["id", "tags"], [[path[6:-4], own] for path, own in train.items()])
    test = paint_test(folder, "test/t0.png", "test/t1.png")
    truth = {path: "|".join(sorted(own.split(","))) for path, own in train.items()}
    return Read(train=truth, test=test, task="multilabel", submission_kind="probabilities", columns=HOT)


@kind("no sample: ids of the test that lost their zeros", variants=["20", "20.0"])
def unpadded_test(folder: Folder, form: str) -> Truth:
    train: dict[str, str | float] = {f"train/{i:04d}.png": PETS[i % 2] for i in range(20)}
    test = [f"test/{i:04d}.png" for i in range(20, 26)]
    folder.image(*train, *test)
    folder.csv("train.csv", ["id", "label"], [[i, PETS[i % 2]] for i in range(20)])
    folder.csv("test.csv", ["id"], [[f"{i}{form[2:]}"] for i in range(20, 26)])
    return Read(train=train, test=test, says=(NO_SAMPLE,))


@kind("no sample: rows for several images beside other columns")
def pets_of_several(folder: Folder) -> Truth:
    train: dict[str, str | float] = {}
    for i in range(20):
        train |= {f"train_images/ab{i:02d}-{j}.jpg": "xyz"[i % 3] for j in range(1, 3 + i % 2)}
    test = [f"test_images/cd{i:02d}-{j}.jpg" for i in range(5) for j in (1, 2)]
    folder.image(*train, *test)
    rows = [[f"ab{i:02d}", i % 7, "xyz"[i % 3]] for i in range(20)]
    folder.csv("train.csv", ["PetID", "Age", "AdoptionSpeed"], rows)
    folder.csv("test.csv", ["PetID", "Age"], [[f"cd{i:02d}", i] for i in range(5)])
    says = ("submission: 5 rows of 10 images", "labels: 20 rows with 50 images")
    return Read(train=train, test=test, columns=["PetID", "AdoptionSpeed"], says=says)


@kind("no sample: images to predict that are not called test", variants=["unlabeled", "to_predict", "predict"])
def unlabelled_folder(folder: Folder, name: str) -> Truth:
    train = paint_classes(folder)
    test = paint_test(folder, *(f"{name}/e{i}.png" for i in range(4)))
    return Read(train=train, test=test, says=(NO_SAMPLE,))


@kind("no sample: pixels in tables", variants=["with ids", "without ids"])
def pixel_tables(folder: Folder, ids: str) -> Truth:
    header = [f"pixel{n}" for n in range(16)]
    folder.csv("train.csv", ["label", *header], [[i % 3, *((i * 7 + n) % 256 for n in range(16))] for i in range(24)])
    own = [[f"r{i}"] if ids == "with ids" else [] for i in range(4)]
    rows = [[*own[i], *((i * 5 + n) % 256 for n in range(16))] for i in range(4)]
    folder.csv("test.csv", [*(["id"] if ids == "with ids" else []), *header], rows)
    train = {f"train.csv/{i}": str(i % 3) for i in range(24)}
    says = "column id of test.csv" if ids == "with ids" else "numbered from 0"
    return Read(train=train, test=[f"test.csv/{i}" for i in range(4)], columns=["id", "label"], says=(NO_SAMPLE, says))


@kind("no sample: probabilities as asked", flags=["--submission", "probabilities"])
def probabilities(folder: Folder) -> Truth:
    train = {f"train/{'abc'[i % 3]}/i{i}.png": "abc"[i % 3] for i in range(24)}
    folder.image(*train)
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    return Read(
        train=train, test=test, task="multiclass", submission_kind="probabilities", columns=["id", "a", "b", "c"]
    )


@kind("no sample: a metric of probabilities", flags=["--metric", "log_loss"])
def metric_of_probabilities(folder: Folder) -> Truth:
    train = paint_classes(folder, below="train/")
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    return Read(train=train, test=test, submission_kind="probabilities", columns=["id", "cat", "dog"])


@kind("no sample: a suggestion says how probabilities are submitted")
def suggested(folder: Folder) -> Truth:
    train = paint_classes(folder, below="train/")
    test = paint_test(folder, "test/t0.png", "test/t1.png")
    return Read(train=train, test=test, submission_kind="label", says=("--submission probabilities",))


@kind("no sample: probabilities of values", flags=["--submission", "probabilities", "--task", "regression"])
def probabilities_of_values(folder: Folder) -> Truth:
    folder.image(*(f"train/a{i}.png" for i in range(24)), "test/t.png")
    folder.csv("train.csv", ["id", "score"], [[f"a{i}", i + 0.5] for i in range(24)])
    return Refused(says=("--submission probabilities", "values"), exit_code=2)


@kind("a sample and a flag that contradicts it", flags=["--submission", "probabilities"])
def contradicted(folder: Folder) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    folder.sample([f"t{i}" for i in range(4)], value="cat")
    return Refused(says=("--submission probabilities", "sample_submission.csv"), exit_code=2)


@kind("a sample and a flag that says the same", flags=["--submission", "labels"])
def confirmed(folder: Folder) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    return Read(train=train, test=folder.sample([f"t{i}" for i in range(4)], value="cat"), submission_kind="label")


@kind("a sample that is not there", flags=["--sample", "missing.csv"])
def named_sample(folder: Folder) -> Truth:
    write_labels(folder, paint_train(folder))
    paint_test(folder, "test/t0.png")
    return Refused(says=("--sample missing.csv",), exit_code=2)


@kind("a table that is called as a sample, of other ids")
def sample_of_others(folder: Folder) -> Truth:
    write_labels(folder, paint_train(folder))
    paint_test(folder, "test/t0.png", "test/t1.png")
    folder.csv("submission_format.csv", ["id", "label"], [["x0", "cat"], ["x1", "cat"]])
    return Refused(says=("submission_format.csv", "--sample", "x0", "test/t0.png"))


@kind("the sample in another place or format", variants=["data/sample_submission.csv", "sample_submission.tsv"])
def sample_elsewhere(folder: Folder, name: str) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    test = paint_test(folder, *(f"test/t{i}.png" for i in range(4)))
    delimiter = "\t" if name.endswith(".tsv") else ","
    folder.csv(name, ["id", "label"], [[path[5:-4], "cat"] for path in test], delimiter=delimiter)
    says = (f"{name} is no CSV file",) if delimiter == "\t" else (f"sample: {name}",)
    return Read(train=train, test=test, columns=["id", "label"], says=says)


@kind("two tables that may be the sample")
def two_samples(folder: Folder) -> Truth:
    write_labels(folder, paint_train(folder))
    folder.sample(["t0", "t1"], value="cat", name="sample_submission_a.csv")
    folder.csv("sample_submission_b.csv", ["id", "label"], [["t0", "cat"], ["t1", "dog"]])
    return Refused(says=("2 sample submissions", "--sample"))


# --- no test set ------------------------------------------------------------------------------------------------------


@kind("no test set: class folders alone", variants=["", "train/", "data/", "PetImages/"])
def class_folders(folder: Folder, below: str) -> Truth:
    return Read(
        train=paint_classes(folder, below=below), test=[], task="binary", submission_kind="label", says=(NO_TEST,)
    )


@kind("no test set: a table of labels alone", variants=["train.csv", "labels.csv", "metadata.csv"])
def table_alone(folder: Folder, name: str) -> Truth:
    train = paint_train(folder, below="images")
    write_labels(folder, train, name)
    return Read(train=train, test=[], columns=["id", "label"], says=(NO_TEST,))


@kind("no test set: labels in the names")
def names_alone(folder: Folder) -> Truth:
    train = {f"pictures/{PETS[i % 2]}_{i}.jpg": PETS[i % 2] for i in range(24)}
    folder.image(*train)
    return Read(train=train, test=[], says=(NO_TEST,))


@kind("no test set: values")
def values_alone(folder: Folder) -> Truth:
    train = {f"images/a{i}.png": i + 0.25 for i in range(24)}
    folder.image(*train)
    folder.csv("train.csv", ["id", "weight"], [[path[7:], own] for path, own in train.items()])
    return Read(train=train, test=[], task="regression", submission_kind="values", says=(NO_TEST,))


# --- ids and images of the test ---------------------------------------------------------------------------------------


@kind("test images that the sample does not ask for")
def unasked(folder: Folder) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    test = folder.sample([f"t{i}" for i in range(4)], value="cat")
    folder.image("test/u0.png", "test/u1.png", "test/u2.png")
    return Read(
        train=train, test=test, says=("3 test images that sample_submission.csv does not ask for: test/u0.png",)
    )


@kind("ids that the test has no image of", flags=["--skip-missing"])
def missing(folder: Folder) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    folder.sample([f"t{i}" for i in range(4)], value="cat")
    folder.csv("sample_submission.csv", ["id", "label"], [[f"t{i}", "cat"] for i in range(5)])
    return Read(train=train, says=("1 test image is missing: its row gets the prior (t4)",))


@kind("ids that the test has no image of, and no flag")
def missing_without_flag(folder: Folder) -> Truth:
    write_labels(folder, paint_train(folder))
    folder.sample([f"t{i}" for i in range(4)], value="cat")
    folder.csv("sample_submission.csv", ["id", "label"], [[f"t{i}", "cat"] for i in range(5)])
    return Refused(says=("t4", "--skip-missing", "test/t"))


@kind("a number and a name in a table of the test", variants=["filename", "image"])
def number_beside_name(folder: Folder, column: str) -> Truth:
    train = paint_train(folder)
    write_labels(folder, train)
    test = [f"test/{number}.png" for number in (3, 2, 1, 0)]
    folder.image(*test)
    folder.csv("test.csv", ["id", column], [[i, path[5:]] for i, path in enumerate(test)])
    folder.csv("sample_submission.csv", ["id", "label"], [[i, "cat"] for i in range(4)])
    return Read(train=train, test=test, says=(f"column {column} of test.csv",))


# --- several images for one row ---------------------------------------------------------------------------------------


def paint_patients(folder: Folder, names: Sequence[str], patients: Sequence[str], suffix: str = ".png") -> list[str]:
    """Paint the images of each patient, whose names have {} for it."""
    images = [name.format(patient) + suffix for patient in patients for name in names]
    folder.image(*images)
    return images


PLACES = {
    "both eyes": ["{}/{{}}_left", "{}/{{}}_right"],
    "numbered files": ["{}/{{}}-1", "{}/{{}}-2", "{}/{{}}-3"],
    "a folder of several": ["{}/{{}}/1", "{}/{{}}/2", "{}/{{}}/3"],
    "a folder of folders": ["{}/{{}}/FLAIR/1", "{}/{{}}/FLAIR/2", "{}/{{}}/T1w/1"],
}


@kind("a row for several images", variants=list(PLACES))
def several_images(folder: Folder, place: str) -> Truth:
    names = {split: [name.format(split) for name in PLACES[place]] for split in ("train", "test")}
    patients = [f"p{i:02d}" for i in range(12)]
    train: dict[str, str | float] = {}
    for i, patient in enumerate(patients):
        train |= dict.fromkeys(paint_patients(folder, names["train"], [patient]), str(i % 2))
    test = paint_patients(folder, names["test"], ["q01", "q02", "q03"])
    folder.csv("train.csv", ["id", "label"], [[patient, i % 2] for i, patient in enumerate(patients)])
    folder.csv("sample_submission.csv", ["id", "label"], [[own, 0.5] for own in ("q01", "q02", "q03")])
    says = f"submission: 3 rows of {len(test)} images, up to {len(test) // 3} together: the mean of their predictions"
    return Read(train=train, test=test, submission_kind="probability", columns=["id", "label"], says=(says,))


@kind("a row for several images, which a table of the test lists")
def listed_images(folder: Folder) -> Truth:
    train, rows = dict[str, str | float](), list[list[object]]()
    for patient in range(100, 106):
        for side in "LR":
            for view in range(2):
                image = patient * 10 + view + (5 if side == "R" else 0)
                train[f"train_images/{patient}/{image}.png"] = str(patient % 2)
                rows.append([patient, image, side, patient % 2])
    folder.image(*train)
    folder.csv("train.csv", ["patient_id", "image_id", "laterality", "cancer"], rows)
    listed = [
        (200, 2000, "L"),
        (200, 2001, "L"),
        (200, 2005, "R"),
        (201, 2010, "L"),
        (201, 2015, "R"),
        (201, 2016, "R"),
    ]
    test = [f"test_images/{patient}/{image}.png" for patient, image, _ in listed]
    folder.image(*test, "test_images/200/2009.png")
    header = ["patient_id", "image_id", "laterality", "prediction_id"]
    folder.csv("test.csv", header, [[*row, f"{row[0]}_{row[2]}"] for row in listed])
    wanted = ["200_L", "200_R", "201_L", "201_R"]
    folder.csv("sample_submission.csv", ["prediction_id", "cancer"], [[own, 0.5] for own in wanted])
    return Read(
        train=train,
        test=test,
        submission_kind="probability",
        says=("submission: 4 rows of 6 images", "1 test image that sample_submission.csv does not ask for"),
    )


@kind("rows in the long form for several images")
def long_form_of_studies(folder: Folder) -> Truth:
    bones = ("C1", "C2")
    train: dict[str, str | float] = {}
    rows = []
    for i in range(12):
        label = "|".join(bone for n, bone in enumerate(bones) if (i >> n) & 1)
        images = [f"train_images/1.2.{i}/{number}.png" for number in (1, 2)]
        folder.image(*images)
        train |= dict.fromkeys(images, label)
        rows.append([f"1.2.{i}", *((i >> n) & 1 for n in range(2))])
    folder.csv("train.csv", ["StudyInstanceUID", *bones], rows)
    studies = ["1.2.90", "1.2.91"]
    test = [f"test_images/{study}/{number}.png" for study in studies for number in (1, 2, 3)]
    folder.image(*test)
    cells = [(study, bone) for study in studies for bone in bones]
    folder.csv(
        "test.csv", ["row_id", "StudyInstanceUID", "prediction_type"], [[f"{s}_{bone}", s, bone] for s, bone in cells]
    )
    folder.csv("sample_submission.csv", ["row_id", "fractured"], [[f"{s}_{bone}", 0.5] for s, bone in cells])
    return Read(train=train, test=test, task="multilabel", says=("submission: 4 rows of 6 images",))


@kind("a row for an image that is missing is no row for those that begin with its id")
def beginnings(folder: Folder) -> Truth:
    write_labels(folder, paint_train(folder))
    folder.image("test/1.png", "test/2.png", "test/3_mask.png", "test/3_edges.png")
    folder.csv("sample_submission.csv", ["id", "label"], [[i, "cat"] for i in (1, 2, 3)])
    return Refused(says=("names 1 image without a file in test/: 3", "--skip-missing"))


@kind("an image in a folder of its own", variants=["image.png", "0001.jpg", "scan/image.png"])
def own_folder(folder: Folder, name: str) -> Truth:
    train = {f"train/p{i:03d}/{name}": str(i % 2) for i in range(24)}
    test = [f"test/q{i:03d}/{name}" for i in range(4)]
    folder.image(*train, *test)
    folder.csv("train.csv", ["id", "label"], [[f"p{i:03d}", i % 2] for i in range(24)])
    folder.csv("sample_submission.csv", ["id", "label"], [[f"q{i:03d}", 0] for i in range(4)])
    return Read(train=train, test=test, task="binary")
