"""Labels in file names: of several words, before or behind a number, with something fixed before them."""

from __future__ import annotations

from collections.abc import Callable

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

IDS = [f"{number}" for number in range(4)]
PETS = ["Abyssinian", "american_bulldog", "great_pyrenees", "pug"]
FORMS: dict[str, Callable[[str, int], str]] = {
    "cat.0": lambda label, number: f"{label}.{number}",
    "cat_0012": lambda label, number: f"{label}_{number:04}",
    "cat-7": lambda label, number: f"{label.replace('_', '-')}-{number}",
    "Cat (3)": lambda label, number: f"{label.replace('_', ' ').title()} ({number})",
    "cat12": lambda label, number: f"{label}{number}",
    "cat_00012_flip": lambda label, number: f"{label}_{number:05}" + ("_flip" if number % 3 else ""),
    "0001_cat": lambda label, number: f"{number:04}_{label}",
    "12.cat": lambda label, number: f"{number}.{label}",
    "a17-cat": lambda label, number: f"a{number}-{label}",
    "img-12-dog": lambda label, number: f"img-{number}-{label}",
    "img_cat_001": lambda label, number: f"img_{label}_{number:03}",
    "2019-05-03_12_cat": lambda label, number: f"2019-05-03_{number}_{label}",
}


def spell(form: str, label: str) -> str:
    """Write the label as it stands in names of that form."""
    return {"cat-7": label.replace("_", "-"), "Cat (3)": label.replace("_", " ").title()}.get(form, label)


@kind("a label in the file name", variants=list(FORMS))
def in_name(folder: Folder, form: str) -> Truth:
    train = {f"images/{FORMS[form](PETS[n % 4], n)}.jpg": spell(form, PETS[n % 4]) for n in range(24)}
    folder.image(*train)
    test = folder.sample(IDS, value=spell(form, "pug"), suffix=".jpg")
    return Read(train=train, test=test, task="multiclass", submission_kind="label")


@kind("a label in the file name, and a sample that says nothing", variants=["cat_0012", "0001_cat", "img-12-dog"])
def in_name_alone(folder: Folder, form: str) -> Truth:
    train = {f"train/{FORMS[form](PETS[n % 4], n)}.jpg": PETS[n % 4] for n in range(24)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS), task="multiclass")


@kind("the first file of a name has no number")
def first_without_number(folder: Folder) -> Truth:
    train = {
        f"train/{label}{f' ({n})' if n else ''}.png": label
        for label in ("Beagle", "Golden Retriever")
        for n in range(6)
    }
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="Beagle"))


@kind("a label with a number in it, that the sample holds")
def numbered_label(folder: Folder) -> Truth:
    train = {f"train/n0208562{n % 2}_{n}.png": f"n0208562{n % 2}" for n in range(12)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="n02085621"))


@kind("words in two places are asked for")
def two_places(folder: Folder) -> Truth:
    folder.image(*(f"train/{('cat', 'dog')[n % 2]}_{n:02}_{('indoor', 'outdoor')[n // 2 % 2]}.png" for n in range(16)))
    folder.sample(IDS)
    return Refused(says=("may stand", "cat, dog", "indoor, outdoor", "train.csv"))


@kind("words in two places, one of them the sample's")
def two_places_by_sample(folder: Folder) -> Truth:
    places = ("indoor", "outdoor")
    train = {f"train/{('cat', 'dog')[n % 2]}_{n:02}_{places[n // 2 % 2]}.png": places[n // 2 % 2] for n in range(16)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="indoor"))


@kind("several numbers in each name are asked for")
def several_numbers(folder: Folder) -> Truth:
    folder.image(*(f"UTKFace/{20 + n}_{n % 2}_{n % 5}_2017010417{n:04}.jpg" for n in range(16)))
    folder.sample(IDS)
    return Refused(says=("several numbers each", "train.csv"))


@kind(
    "names of views, cameras and parts are no labels",
    variants=["{n}_left {n}_right", "IMG_{n} DSC_{n}", "train_{n} test_{n}"],
)
def views(folder: Folder, pattern: str) -> Truth:
    folder.image(*(f"images/{part.format(n=n)}.png" for n in range(8) for part in pattern.split()))
    folder.sample(IDS)
    return Refused(says=("no labels were found",))


@kind("hashes are no labels", variants=["a{n:02x}f{n}", "{n:03x}_c{n}e", "b{n}-{n:04x}-d{n}"])
def hashes(folder: Folder, pattern: str) -> Truth:
    folder.image(*(f"images/{pattern.format(n=37 * n + 11)}.png" for n in range(24)))
    folder.sample(IDS)
    return Refused(says=("no labels were found",))


@kind("a name without a label among those that have one")
def unlabelled_name(folder: Folder) -> Truth:
    folder.image(*(f"train/{('cat', 'dog')[n % 2]}.{n}.png" for n in range(12)), "train/readme.png")
    folder.sample(IDS)
    return Refused(says=("12 images have the label in their name, but 1 have not: train/readme.png",))


@kind("folders of parts, the label in the file names")
def parts_and_names(folder: Folder) -> Truth:
    train = {f"train/part{n // 8}/{('cat', 'dog')[n % 2]}_{n}.png": ("cat", "dog")[n % 2] for n in range(24)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="cat"))
