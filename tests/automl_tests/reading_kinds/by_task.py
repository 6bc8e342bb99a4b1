"""Folders whose labels may be taken for another task, or whose sample may be filled in another form."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

IDS = [f"t{i}" for i in range(4)]
Label = Callable[[int], object]


def write_table(
    folder: Folder, n: int, label: Label, *, column: str = "label", name: str = "train.csv"
) -> dict[str, str | float]:
    """Paint n training images, write their labels to a table, and return the labels as they are written."""
    train = {f"train/a{i:03d}.png": label(i) for i in range(n)}
    folder.image(*train)
    folder.csv(name, ["id", column], [[path[6:-4], text] for path, text in train.items()])
    return {path: str(text) for path, text in train.items()}


def write_columns(
    folder: Folder, n: int, columns: Sequence[str], cells: Callable[[int], Sequence[object]]
) -> list[str]:
    """Paint n training images, write a row of several columns for each, and return their paths."""
    paths = [f"train/a{i:03d}.png" for i in range(n)]
    folder.image(*paths)
    folder.csv("train.csv", ["id", *columns], [[path[6:-4], *cells(i)] for i, path in enumerate(paths)])
    return paths


def paint_folders(folder: Folder, names: Sequence[str], n: int = 24) -> dict[str, str | float]:
    """Paint images of these class folders in turn, and return their labels."""
    train: dict[str, str | float] = {f"train/{names[i % len(names)]}/a{i}.png": names[i % len(names)] for i in range(n)}
    folder.image(*train)
    return train


# --- whole numbers: classes or values ---------------------------------------------------------------------------------


@kind("numbered classes, the sample a placeholder", variants=["0", "25", "-1", "0 to 99", "of a category", "blank"])
def numbered_classes(folder: Folder, variant: str) -> Truth:
    column = "category" if variant == "of a category" else "label"
    first = 0 if variant == "0 to 99" else 1
    label: Label = (lambda i: i * 37 % 100 * 11 + 3) if variant == "of a category" else (lambda i: i % 100 + first)
    train = write_table(folder, 300, label, column=column)
    value = {"25": "25", "-1": "-1", "blank": ""}.get(variant, "0")
    test = folder.sample(IDS, value=value, header=["id", column])
    flag = "--task regression (takes the 100 whole numbers"
    return Read(train=train, test=test, task="multiclass", submission_kind="label", says=(flag,))


@kind("measurements in whole numbers, the sample a placeholder")
def ages_with_a_placeholder(folder: Folder) -> Truth:
    return _fill_ages(folder, "age", "25")


@kind(
    "whole numbers that their column calls values",
    variants=["age", "leafCount", "price_usd", "bmi", "temperature", "AgeInYears", "num_cells", "weight (g)", "width"],
)
def values_by_name(folder: Folder, column: str) -> Truth:
    return _fill_ages(folder, column, "0")


def _fill_ages(folder: Folder, column: str, value: str) -> Truth:
    train = write_table(folder, 180, lambda i: i % 60 + 1, column=column)
    test = folder.sample(IDS, value=value, header=["id", column])
    flag = "--task multiclass (takes the 60 whole numbers"
    return Read(train=train, test=test, task="regression", submission_kind="values", says=(flag,))


@kind("few whole numbers that their column calls values", variants=["age", "year"])
def few_values(folder: Folder, column: str) -> Truth:
    train = write_table(folder, 60, lambda i: 1990 + 7 * (i % 5), column=column)
    folder.sample(IDS, value="0", header=["id", column])
    return Read(train=train, task="regression", says=("--task multiclass",))


@kind("whole numbers of which nothing says what they are", variants=["gaps", "counts of leaves", "an age that is few"])
def unclear_numbers(folder: Folder, variant: str) -> Truth:
    labels: dict[str, Label] = {
        "gaps": lambda i: i * i % 97,
        "counts of leaves": lambda i: 5 + i % 9,
        "an age that is few": lambda i: i % 5,
    }
    column = {"an age that is few": "age"}.get(variant, "leaves")
    write_table(folder, 12 if "leaves" in variant else 120, labels[variant], column=column)
    folder.sample(IDS, value="0", header=["id", column])
    return Refused(says=("it is unclear whether the", "--task regression", "--task multiclass"))


@kind("unclear whole numbers, asked for as values", flags=("--task", "regression"))
def asked_values(folder: Folder) -> Truth:
    train = write_table(folder, 120, lambda i: i * i % 97, column="leaves")
    folder.sample(IDS, value="0", header=["id", "leaves"])
    return Read(train=train, task="regression", submission_kind="values")


@kind("whole numbers, the sample varied", variants=["fractions", "labels"])
def varied_samples(folder: Folder, variant: str) -> Truth:
    train = write_table(folder, 300, lambda i: i % 100 + 1, column="target")
    values = ["12.5", "7.25", "80.1", "3"] if variant == "fractions" else ["12", "7", "80", "3"]
    folder.image(*(f"test/{image_id}.png" for image_id in IDS))
    folder.csv("sample_submission.csv", ["id", "target"], zip(IDS, values, strict=True))
    return Read(train=train, task="regression" if variant == "fractions" else "multiclass")


@kind("folders that are called by numbers", variants=["1 to 60", "ages"])
def numbered_folders(folder: Folder, variant: str) -> Truth:
    names = [str(number + (20 if variant == "ages" else 1)) for number in range(60)]
    train = paint_folders(folder, names, 120)
    folder.sample(IDS, value=names[5], header=["id", "age" if variant == "ages" else "label"])
    says = ("--task regression",) if variant == "ages" else ()
    return Read(train=train, task="multiclass", submission_kind="label", says=says)


# --- one class by one, several words, lists ---------------------------------------------------------------------------


@kind("class folders of two words", variants=["fresh apple", "fresh_apple", "fresh, apple", "fresh|apple"])
def folders_of_two_words(folder: Folder, form: str) -> Truth:
    sign = form[5:-5]
    names = [f"{state}{sign}{fruit}" for state in ("fresh", "rotten") for fruit in ("apple", "banana")]
    train = paint_folders(folder, names, 32)
    folder.sample(IDS, value=names[0])
    return Read(train=train, task="multiclass", classes=names)


@kind("names of two words in a table, which may be lists")
def table_of_two_words(folder: Folder) -> Truth:
    names = [f"{state} {fruit}" for state in ("fresh", "rotten") for fruit in ("apple", "banana")]
    write_table(folder, 32, lambda i: names[i % 4])
    folder.sample(IDS, value=names[0])
    return Refused(says=("are lists or names", "--task multilabel", "--task multiclass"))


@kind(
    "lists in the cells of one column",
    variants=["x,y", "x, y", "x;y", "x|y", "x y", "['x', 'y']", '["x","y"]', "wild x, y"],
)
def lists_in_cells(folder: Folder, form: str) -> Truth:
    names = ["wild x", "y", "z"] if form == "wild x, y" else ["x", "y", "z"]
    sets = [[0], [0, 1], [1, 2], [2]]
    train = write_table(folder, 40, lambda i: _write_list([names[at] for at in sets[i % 4]], form))
    labels: dict[str, str | float] = {
        path: "|".join(names[at] for at in sets[i % 4]) for i, path in enumerate(sorted(train))
    }
    folder.sample(IDS, value=_write_list(names[:2], form))
    return Read(train=labels, task="multilabel", classes=sorted(names), submission_kind="labels")


def _write_list(labels: Sequence[str], form: str) -> str:
    if form.startswith("["):
        mark, blank = form[1], " " if ", " in form else ""
        return "[" + f",{blank}".join(f"{mark}{label}{mark}" for label in labels) + "]"
    sign = next(sign for sign in (", ", ",", ";", "|", " ") if sign in form)
    return sign.join(labels)


@kind("lists with commas, the sample one label")
def lists_with_one_label_in_the_sample(folder: Folder) -> Truth:
    cells = ["x", "x,y", "y,z", "z"]
    train = write_table(folder, 40, lambda i: cells[i % 4])
    folder.sample(IDS, value="x")
    labels = {path: str(label).replace(",", "|") for path, label in train.items()}
    return Read(train=labels, task="multilabel", submission_kind="labels", says=("--task multiclass", "such as x,y"))


@kind("names with a comma")
def names_with_a_comma(folder: Folder) -> Truth:
    names = ["Apple, rust", "Apple, scab", "Grape, rot", "healthy"]
    train = write_table(folder, 40, lambda i: names[i % 4])
    folder.sample(IDS, value="Apple, scab")
    return Read(train=train, task="multiclass", classes=names, submission_kind="label")


# --- how labels are written -------------------------------------------------------------------------------------------


@kind("columns of a yes and a no", variants=["True False", "TRUE FALSE", "yes no", "1.0 0.0", "t f"])
def boolean_columns(folder: Folder, pair: str) -> Truth:
    yes, no = pair.split()
    paths = write_columns(folder, 24, "xyz", lambda i: [yes if i % 3 == at else no for at in range(3)])
    folder.sample(IDS, value="0.3", header=["id", *"xyz"])
    train: dict[str, str | float] = {path: "xyz"[i % 3] for i, path in enumerate(paths)}
    return Read(train=train, task="multiclass", submission_kind="probabilities", classes=list("xyz"))


@kind("labels with a .0", variants=["0.0 1.0 2.0", "0.0 1.0"])
def labels_as_fractions(folder: Folder, form: str) -> Truth:
    labels = form.split()
    train = write_table(folder, 24, lambda i: labels[i % len(labels)])
    folder.sample(IDS, value="0")
    classes = [label[0] for label in labels]
    return Read(train={path: str(label)[0] for path, label in train.items()}, classes=classes, submission_kind="label")


@kind("labels without the .0 of the sample")
def fractions_in_the_sample(folder: Folder) -> Truth:
    train = write_table(folder, 24, lambda i: i % 3)
    folder.sample(IDS, value="0.0")
    return Read(
        train={path: f"{label}.0" for path, label in train.items()},
        task="multiclass",
        classes=["0.0", "1.0", "2.0"],
        says=("written as sample_submission.csv writes them",),
    )


@kind("labels in another Unicode form than the sample's", variants=["folders", "table", "composed in the folders"])
def unicode_forms(folder: Folder, variant: str) -> Truth:
    own, other = ("NFC", "NFD") if variant == "composed in the folders" else ("NFD", "NFC")
    names = ["caf\u00e9", "th\u00e9"]
    decomposed = [unicodedata.normalize(own, name) for name in names]
    if variant == "table":
        train = write_table(folder, 24, lambda i: decomposed[i % 2])
    else:
        train = paint_folders(folder, decomposed)
    folder.sample(IDS, value=unicodedata.normalize(other, names[0]))
    return Read(
        train={path: unicodedata.normalize(other, str(label)) for path, label in train.items()},
        task="binary",
        submission_kind="label",
    )


@kind(
    "labels that the sample writes otherwise",
    variants=["Wild cat", "wild_cat", "WILD CAT", "Wild Cat", "wild-cat", "WILD_CAT"],
)
def other_spelling(folder: Folder, written: str) -> Truth:
    names = ["wild cat", "wild dog", "tame owl"]
    train = paint_folders(folder, names, 30)
    folder.sample(IDS, value=written)
    sign = written[4]
    respell = {"Wild cat": str.capitalize, "WILD CAT": str.upper, "Wild Cat": str.title, "WILD_CAT": str.upper}
    change: Callable[[str], str] = respell.get(written, str)
    return Read(
        train={path: change(str(label).replace(" ", sign)) for path, label in train.items()},
        task="multiclass",
        says=("written as sample_submission.csv writes them",),
    )


# --- which class is 1 -------------------------------------------------------------------------------------------------


@kind(
    "a column that says of which class its probability is",
    variants=["is_fake", "isFake", "fake", "prob_fake", "fakeProb", "p(fake)", "fake_probability", "Is Fake", "isfake"],
)
def named_probability(folder: Folder, column: str) -> Truth:
    train = paint_folders(folder, ["fake", "real"])
    folder.sample(IDS, value="0.5", header=["id", column])
    return Read(
        train=train,
        task="binary",
        classes=["real", "fake"],
        submission_kind="probability",
        says=("submission: probability of 'fake'", f"1 stands for fake, as column {column}"),
    )


@kind("a column that says of which class its probability is not", variants=["not_real", "is_not_real", "nonReal"])
def negated_probability(folder: Folder, column: str) -> Truth:
    train = paint_folders(folder, ["fake", "real"])
    folder.sample(IDS, value="0.5", header=["id", column])
    return Read(train=train, classes=["real", "fake"], says=("probability of 'fake'", "1 stands for fake"))


@kind("a column named after one of several classes")
def one_of_several(folder: Folder) -> Truth:
    train = paint_folders(folder, ["cat", "dog", "owl"])
    folder.sample(IDS, value="0.5", header=["id", "cat_probability"])
    return Read(train=train, task="binary", classes=["not cat", "cat"], submission_kind="probability")


@kind("a column that says nothing of its class", variants=["0.5", "0"])
def unnamed_probability(folder: Folder, value: str) -> Truth:
    train = paint_folders(folder, ["fake", "real"])
    folder.sample(IDS, value=value, header=["id", "target"])
    says = ["nothing says which class 1 stands for: real is taken", "--negative real (takes 1 for fake"]
    says += ["0 is fake, 1 is real"] if value == "0" else []
    return Read(train=train, task="binary", says=says)


@kind("a column that says nothing of its class, the negative one asked", flags=("--negative", "real"), variants="05")
def negative_asked(folder: Folder, digit: str) -> Truth:
    train = write_table(folder, 24, lambda i: ("fake", "real")[i % 2])
    folder.sample(IDS, value="0" if digit == "0" else "0.5", header=["id", "target"])
    if digit == "0":
        return Read(train=train, task="binary", classes=["0", "1"], says=("0 is real, 1 is fake",))
    return Read(train=train, task="binary", classes=["real", "fake"])


@kind("the negative class asked against the column's name", flags=("--negative", "fake"))
def negative_before_name(folder: Folder) -> Truth:
    train = paint_folders(folder, ["fake", "real"])
    folder.sample(IDS, value="0.5", header=["id", "is_fake"])
    return Read(train=train, classes=["fake", "real"], says=("probability of 'real'",))


@kind("a yes and a no for 1 and 0", variants=["no yes", "False True", "N Y"])
def booleans_as_numbers(folder: Folder, pair: str) -> Truth:
    names = pair.split()
    train = write_table(folder, 24, lambda i: names[i % 2])
    folder.sample(IDS, value="0", header=["id", "target"])
    return Read(train=train, task="binary", classes=["0", "1"], says=(f"0 is {names[0]}, 1 is {names[1]}",))


@kind("a column that says its class, and a yes or a no", variants=["True", "False", "no", "YES"])
def named_boolean(folder: Folder, value: str) -> Truth:
    train = paint_folders(folder, ["fake", "real"])
    folder.sample(IDS, value=value, header=["id", "is_fake"])
    no, yes = ("False", "True") if value in ("True", "False") else ("no", "yes")
    if value.isupper():
        no, yes = no.upper(), yes.upper()
    return Read(train=train, task="binary", classes=[no, yes], submission_kind="label", says=(f"{yes} is fake",))


@kind("numbers with decimal commas, which may be lists")
def decimal_commas(folder: Folder) -> Truth:
    write_table(folder, 40, lambda i: f"{i % 5},{i % 2 * 5}" if i % 3 else i % 5)
    folder.sample(IDS, value="0")
    return Refused(says=("--task multilabel", "decimals with a point"))


@kind("categories of two words in an annotation file")
def annotated_names(folder: Folder) -> Truth:
    names = ["arctic fox", "giant panda", "red fox", "red panda", "giant fox", "arctic panda"]
    train: dict[str, str | float] = {f"train/a{i}.png": names[i % 6] for i in range(24)}
    folder.image(*train)
    folder.json(
        "train.json",
        {
            "images": [{"id": i, "file_name": path[6:]} for i, path in enumerate(train)],
            "annotations": [{"id": i, "image_id": i, "category_id": i % 6} for i in range(24)],
            "categories": [{"id": at, "name": name} for at, name in enumerate(names)],
        },
    )
    folder.sample(IDS, value="red fox")
    return Read(train=train, task="multiclass", submission_kind="label")


# --- a column for each class ------------------------------------------------------------------------------------------


@kind("columns of 0 and 1 scored by F1", flags=("--metric", "f1_samples"), variants=["0", "1", "0.5"])
def flags_by_f1(folder: Folder, value: str) -> Truth:
    return _fill_flags(folder, value, "labels")


@kind("columns of 0 and 1 scored by F1 over all", flags=("--metric", "f1_micro"))
def flags_by_micro_f1(folder: Folder) -> Truth:
    return _fill_flags(folder, "0", "labels")


@kind("columns of 0 and 1 without a metric")
def flags_without_metric(folder: Folder) -> Truth:
    return _fill_flags(folder, "0", "probabilities", says="--metric f1_samples")


@kind("columns of 0 and 1 asked for", flags=("--submission", "labels"))
def flags_asked(folder: Folder) -> Truth:
    return _fill_flags(folder, "0", "labels")


def _fill_flags(folder: Folder, value: str, submission_kind: str, *, says: str = "metric:") -> Truth:
    columns = [f"attrib_{number:02d}" for number in range(1, 7)]
    rows = [[i * (at + 3) // 7 % 2 for at in range(6)] for i in range(40)]
    paths = write_columns(folder, 40, columns, lambda i: rows[i])
    folder.sample(IDS, value=value, header=["id", *columns])
    train: dict[str, str | float] = {
        path: "|".join(name for name, cell in zip(columns, row, strict=True) if cell)
        for path, row in zip(paths, rows, strict=True)
    }
    return Read(train=train, task="multilabel", submission_kind=submission_kind, classes=columns, says=(says,))


@kind("a column of 0 and 1 for each class scored by accuracy", flags=("--metric", "accuracy"))
def one_hot_by_accuracy(folder: Folder) -> Truth:
    train = paint_folders(folder, ["cat", "dog", "owl"])
    folder.sample(IDS, value="0", header=["id", "owl", "cat", "dog"])
    return Read(train=train, task="multiclass", submission_kind="label", classes=["owl", "cat", "dog"])


@kind(
    "a column for each class that begins or ends otherwise",
    variants=["class_{}", "{}_prob", "prob_{}", "is_{}", "P({})", "{} "],
)
def affixed_columns(folder: Folder, form: str) -> Truth:
    names = ["dog", "owl", "cat"]
    train = paint_folders(folder, sorted(names))
    columns = [form.format(name) for name in names]
    folder.sample(IDS, value="0.3", header=["id", *columns])
    return Read(
        train=train,
        task="multiclass",
        submission_kind="probabilities",
        classes=[name.strip() for name in columns],
        columns=["id", *columns],
    )


@kind("a column for each class in other letters", variants=["upper", "title", "signs"])
def columns_in_other_letters(folder: Folder, variant: str) -> Truth:
    names = ["wild dog", "wild cat", "tame owl"]
    change: dict[str, Callable[[str], str]] = {
        "upper": str.upper,
        "title": str.title,
        "signs": lambda name: name.replace(" ", "_"),
    }
    train = paint_folders(folder, sorted(names))
    columns = [change[variant](name) for name in names]
    folder.sample(IDS, value="0.3", header=["id", *columns])
    labels: dict[str, str | float] = {path: change[variant](str(label)) for path, label in train.items()}
    return Read(train=labels, classes=columns, says=("columns of the sample are written otherwise",))


@kind("columns in another order than the sample's", variants=["classes", "sets", "values"])
def permuted_columns(folder: Folder, variant: str) -> Truth:
    names = ["a", "b", "c"]
    cells: dict[str, Callable[[int], list[float]]] = {
        "classes": lambda i: [int(i % 3 == at) for at in range(3)],
        "sets": lambda i: [int(i % (at + 2) == 0) for at in range(3)],
        "values": lambda i: [i * 0.5 + at for at in range(3)],
    }
    paths = write_columns(folder, 24, names, cells[variant])
    folder.sample(IDS, value="0.1", header=["id", "c", "a", "b"])
    train: dict[str, str | float] = {}
    for i, path in enumerate(paths):
        row = cells[variant](i)
        if variant == "values":
            train[path] = "|".join(f"{value:g}" for value in (row[2], row[0], row[1]))
        else:
            train[path] = "|".join(names[at] for at in (2, 0, 1) if row[at])
    return Read(train=train, classes=["c", "a", "b"])


@kind("targets that no column is called by")
def unnamed_targets(folder: Folder) -> Truth:
    write_columns(folder, 24, ["height", "mass"], lambda i: [i * 0.5, i * 0.25])
    folder.sample(IDS, value="0.1", header=["id", "first", "second"])
    return Refused(says=("height, mass", "--label"))
