"""Labels by folders: which level of them, which part of the set, what lies beside them, how names are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

IDS = [f"t{number}" for number in range(4)]


def put_classes(folder: Folder, classes: Sequence[str], above: str = "train/", n_images: int = 6) -> dict[str, str]:
    """Paint images into a folder for each class; names do not repeat."""
    train = {f"{above}{label}/{label[:3]}{number}x.png": label for label in classes for number in range(n_images)}
    folder.image(*train)
    return train


@kind("a class is called as a part of the set", variants=["train", "Train", "training", "train station", "Testis"])
def class_called_train(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["bus", "car", "truck", name], above="")
    test = folder.sample(IDS, value="bus", folder="unlabeled")
    says = () if name == "Testis" else (f"{name}/ is taken for a class", f"--images {name}/")
    return Read(train=train, test=test, classes=sorted(["bus", "car", "truck", name]), says=says)


@kind("a class begins with the letters of a part", variants=["testis", "testudo", "trainer", "trainers", "tester"])
def class_called_testis(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["kidney", "liver", name], above="")
    return Read(train=train, test=folder.sample(IDS, value="liver", folder="unlabeled"), task="multiclass")


@kind("classes of valid and invalid papers")
def class_called_valid(folder: Folder) -> Truth:
    train = put_classes(folder, ["valid", "invalid"], above="")
    return Read(train=train, test=folder.sample(IDS, value="valid", folder="test"), task="binary")


@kind("a class called train below the training folder")
def class_train_below_train(folder: Folder) -> Truth:
    train = put_classes(folder, ["bus", "train", "test car"])
    return Read(train=train, test=folder.sample(IDS, value="train"))


@kind("a class called train beside a test folder is asked for")
def class_train_beside_test(folder: Folder) -> Truth:
    put_classes(folder, ["bus", "car", "train"], above="")
    folder.sample(IDS, value="bus", folder="test")
    return Refused(says=("no labels were found", "train/ has no folder for each class"))


@kind("a class called train beside a test folder", flags=("--images", ".", "--test-images", "test"))
def class_train_by_flag(folder: Folder) -> Truth:
    train = put_classes(folder, ["bus", "car", "train"], above="")
    return Read(train=train, test=folder.sample(IDS, value="bus", folder="test"))


@kind(
    "a folder's whole word says that it is of training or test",
    variants=[
        "train",
        "TRAIN",
        "trainset",
        "train_images",
        "seg_train",
        "Training Set",
        "my-training-data",
        "train2017",
    ],
)
def words_of_parts(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above=f"{name}/")
    test_name = name.replace("training", "test").replace("Training", "Test").replace("train", "test")
    return Read(train=train, test=folder.sample(IDS, value="cat", folder=test_name.replace("TRAIN", "TEST")))


@kind("folders of patients, a folder for 0 and 1 in each", variants=["0", "0.5", ""])
def patients(folder: Folder, placeholder: str) -> Truth:
    train = {
        f"{8863 + 13 * p}/{c}/{8863 + 13 * p}_class{c}_{n}.png": str(c)
        for p in range(12)
        for c in (0, 1)
        for n in (0, 1)
    }
    folder.image(*train)
    test = folder.sample(IDS, value=placeholder)
    return Read(train=train, test=test, classes=["0", "1"], groups="folder", says=("level 2 (0, 1)", "--class-level 1"))


@kind("folders of patients below those of classes")
def patients_below(folder: Folder) -> Truth:
    train = {
        f"train/{label}/patient{p:03}/{n}.png": label for p in range(10) for label in ("ill", "well") for n in (0, 1)
    }
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="ill"), groups="folder", says=("level 1 (ill, well)",))


@kind("years above the classes", variants=["2019 2020 2021", "2020-01-02 2020-01-03", "part1 part2"])
def years(folder: Folder, parts: str) -> Truth:
    train = {
        f"train/{part}/{label}/{part}{label}{n}.png": label
        for part in parts.split()
        for label in ("cat", "dog")
        for n in (0, 1)
    }
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS), classes=["cat", "dog"], says=("level 2 (cat, dog)",))


@kind("a kind above the class is asked for")
def kinds_above(folder: Folder) -> Truth:
    folder.image(*(f"train/{path}/{n}.png" for path in ("animal/cat", "animal/dog", "plant/rose") for n in range(4)))
    folder.sample(IDS)
    return Refused(says=("level 1 (animal, plant)", "level 2 (cat, dog, rose)", "--class-level 1 or --class-level 2"))


@kind("a kind above the class, whose label the sample holds")
def kinds_above_by_sample(folder: Folder) -> Truth:
    paths = ("animal/cat", "animal/dog", "plant/rose")
    train = {f"train/{path}/{path[-1]}{n}.png": path.partition("/")[2] for path in paths for n in range(4)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value="rose"), says=("the sample's labels", "--class-level 1"))


@kind("a kind above the class, by the flag", flags=("--class-level", "1"))
def kinds_above_by_flag(folder: Folder) -> Truth:
    paths = ("animal/cat", "animal/dog", "plant/rose")
    train = {f"train/{path}/{n}{path[-1]}.png": path.partition("/")[0] for path in paths for n in range(4)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS), classes=["animal", "plant"])


@kind("a level of folders that is not there", flags=("--class-level", "3"))
def level_too_deep(folder: Folder) -> Truth:
    put_classes(folder, ["cat", "dog"])
    folder.sample(IDS)
    return Refused(says=("--class-level 3", "1 level of folders"), exit_code=2)


@kind("sessions below the classes, that repeat as classes do, are asked for")
def sessions(folder: Folder) -> Truth:
    paths = [
        f"train/{label}/{light}/{n}.png" for label in ("cat", "dog") for light in ("sunny", "rainy") for n in (0, 1)
    ]
    folder.image(*paths)
    folder.sample(IDS)
    return Refused(says=("level 1 (cat, dog)", "level 2 (rainy, sunny)"))


@kind("days and cameras are no classes", variants=["2019-01-0{} camera_{}", "day{} cam{}", "images_{:03} part{}"])
def days(folder: Folder, pattern: str) -> Truth:
    first, second = pattern.split()
    paths = (f"{first.format(d)}/{second.format(c)}/{d}{c}{n}.png" for d in (1, 2, 3) for c in (1, 2) for n in (0, 1))
    folder.image(*paths)
    folder.sample(IDS)
    return Refused(says=("hardly classes", "--class-level"))


@kind("parts of one set are no classes", variants=["part{}", "{:04}-x", "images_{:03}", "{:04}", "chunk-{}"])
def shards(folder: Folder, pattern: str) -> Truth:
    name = "{0:03}-{0:03}" if pattern.endswith("-x") else pattern
    folder.image(*(f"train/{name.format(n // 6)}/a{n:03}.png" for n in range(18)))
    folder.sample(IDS)
    return Refused(says=("hardly classes", "--class-level 1"))


@kind("numbered classes", variants=["c{}", "{}", "{:05}", "n0144353{}", "00{}.Black_footed", "Type_{}", "class{}"])
def numbered(folder: Folder, pattern: str) -> Truth:
    labels = [pattern.format(number) for number in range(4)]
    train = {f"train/{label}/img_{37 * n % 101}.png": label for i, label in enumerate(labels) for n in range(i, 40, 4)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS))


@kind("a numbered folder is a class where the sample holds it")
def numbered_by_sample(folder: Folder) -> Truth:
    train = put_classes(folder, ["part0", "part1"])
    return Read(train=train, test=folder.sample(IDS, value="part1"))


@kind("a file beside the class folders", variants=["train/overview.png", "train/contact sheet.jpg"])
def stray(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"], n_images=12)
    folder.image(name)
    return Read(train=train, test=folder.sample(IDS), n_left_out=1, says=("beside the class folders left out", name))


@kind("a file beside the class folders at the top")
def stray_at_the_top(folder: Folder) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above="", n_images=12)
    folder.image("logo.png")
    return Read(train=train, test=folder.sample(IDS), says=("logo.png",))


@kind("many files beside the class folders are asked for")
def many_strays(folder: Folder) -> Truth:
    put_classes(folder, ["cat", "dog"])
    folder.image(*(f"train/{number}.png" for number in range(5)))
    folder.sample(IDS)
    return Refused(says=("5 of 17 images lie in no class folder",))


@kind("deeper images are of their class", variants=["sub", "more/of them"])
def deeper(folder: Folder, below: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"])
    train[f"train/cat/{below}/deep.png"] = "cat"
    folder.image(f"train/cat/{below}/deep.png")
    return Read(train=train, test=folder.sample(IDS), says=("1 image deeper in a class folder",))


@kind("an empty folder of a class is told")
def empty(folder: Folder) -> Truth:
    train = put_classes(folder, ["cat", "dog"])
    folder.file("train/lynx/Thumbs.db")
    return Read(train=train, test=folder.sample(IDS), says=("folders without a file are no classes: train/lynx",))


def decompose(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@kind("folders in another Unicode form than the sample's labels", variants=["NFD", "NFC"])
def unicode_forms(folder: Folder, form: str) -> Truth:
    labels = ["caf\u00e9", "th\u00e9"]
    other = unicodedata.normalize(form, "x\u00e9")[1:]
    train = {f"train/{label.replace(chr(233), other)}/a{n}{label[0]}.png": label for label in labels for n in range(6)}
    folder.image(*train)
    spell = str if form == "NFD" else decompose
    test = folder.sample(IDS, value=spell(labels[0]))
    return Read(train={path: spell(label) for path, label in train.items()}, test=test, task="binary")


@kind("one class in folders of two Unicode forms", variants=["", "caf\u00e9"])
def two_forms(folder: Folder, value: str) -> Truth:
    train = {}
    for number in range(24):
        label = ["caf\u00e9", "th\u00e9"][number % 2]
        train[f"train/{label if number < 12 else decompose(label)}/a{number}.png"] = label
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, value=value), task="binary", says=("two Unicode forms",))


@kind("classes that differ by case alone")
def alike(folder: Folder) -> Truth:
    train = put_classes(folder, ["cat", "Cat", "red fox", "red_fox"])
    return Read(train=train, test=folder.sample(IDS), says=("differ by case or blanks alone", "'Cat', 'cat'"))


@kind("names of folders hold blanks", variants=["fresh apple", "0 to 5 mm", "a, b; c"])
def blanks(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, [name, f"rotten {name}", "fresh banana", "rotten banana"])
    return Read(train=train, test=folder.sample(IDS, value=name), task="multiclass", submission_kind="label")


@kind("folders are doubled", variants=["train/train/", "data/data/train/train/", "a/b/train/images/"])
def doubled(folder: Folder, above: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above=above)
    return Read(train=train, test=folder.sample(IDS, folder=above.replace("train", "test").rstrip("/")))


@kind("a folder holds everything once more", variants=["cells/", "copy of all/", "x/"])
def copied(folder: Folder, name: str) -> Truth:
    train = {f"cells/{label}/{label}{n}.png": label for label in ("Infected", "Well") for n in range(6)}
    for number, path in enumerate(train):
        for copy in (path, path.replace("cells/", f"cells/{name}")):
            folder.n_painted = number
            folder.image(copy)
    return Read(
        train=train, test=folder.sample(IDS), n_left_out=12, says=(f"cells/{name} repeats the files of cells/",)
    )


@kind("resized copies beside the images", variants=["train_512", "train-224x224", "small_train", "train_resized_256"])
def resized(folder: Folder, name: str) -> Truth:
    train = {f"train/a{n}.png": ("cat", "dog")[n % 2] for n in range(12)}
    folder.image(*train, *(path.replace("train/", f"{name}/") for path in train))
    folder.csv("train.csv", ["id", "label"], [[path[6:-4], label] for path, label in train.items()])
    return Read(train=train, test=folder.sample(IDS), n_left_out=12, says=(f"{name}/ holds the images of train/",))


@kind("resized copies of class folders")
def resized_classes(folder: Folder) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above="images/")
    folder.image(*(path.replace("images/", "images_224/") for path in train))
    return Read(train=train, test=folder.sample(IDS), says=("images_224/", "--images images_224/"))


@kind("two sizes and no plain one are asked for")
def two_sizes(folder: Folder) -> Truth:
    for side in (224, 512):
        put_classes(folder, ["cat", "dog"], above=f"images_{side}/")
    folder.sample(IDS)
    return Refused(says=("none of them is plainly the original", "--images images_512/"))


@kind("two sizes, one named", flags=("--images", "images_512"))
def two_sizes_by_flag(folder: Folder) -> Truth:
    put_classes(folder, ["cat", "dog"], above="images_224/")
    train = put_classes(folder, ["cat", "dog"], above="images_512/")
    return Read(train=train, test=folder.sample(IDS), n_left_out=12)


@kind("a folder that is not there", flags=("--images", "trian"))
def misspelt(folder: Folder) -> Truth:
    put_classes(folder, ["cat", "dog"])
    folder.sample(IDS)
    return Refused(says=("--images trian: no image lies in such a folder", "train"), exit_code=2)


@kind("classes of equal file names are no copies")
def equal_names(folder: Folder) -> Truth:
    train = {f"{label}/{n:05}.png": label for label in ("Cover", "UERD", "with_mask", "mask") for n in range(8)}
    folder.image(*train)
    return Read(train=train, test=folder.sample(IDS, folder="Test"))


def put_validation(folder: Folder, name: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
    train, validation = put_classes(folder, ["cat", "dog"]), put_classes(folder, ["cat", "dog"], above=f"{name}/")
    return train, validation, folder.sample(IDS)


@kind("a validation folder beside training", variants=["val", "validation", "valid", "dev"])
def validation(folder: Folder, name: str) -> Truth:
    train, _, test = put_validation(folder, name)
    return Read(train=train, test=test, n_left_out=12, says=(f"--add {name}/", f"--fixed-fold {name}/"))


@kind("a validation folder is added", flags=("--add", "val"))
def validation_added(folder: Folder) -> Truth:
    train, validation, test = put_validation(folder, "val")
    return Read(train={**train, **validation}, test=test, n_left_out=0, classes=["cat", "dog"])


@kind("a validation folder is the fixed fold", flags=("--fixed-fold", "val/"))
def validation_fixed(folder: Folder) -> Truth:
    train, validation, test = put_validation(folder, "val")
    return Read(train={**train, **validation}, test=test, says=("12 images of val/ are the fold",))


@kind("folders to predict are no classes", variants=["unlabelled", "pred", "seg_pred/seg_pred", "inference", "predict"])
def unlabelled(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above="")
    folder.image(f"{name}/left over.png")
    return Read(train=train, test=folder.sample(IDS, value="cat", folder=name), n_left_out=1, says=("no class",))


@kind("folders to predict, without a sample", variants=["unlabeled", "predict", "pred/pred"])
def to_predict(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"], above="")
    test = [f"{name}/{number}.png" for number in range(4)]
    folder.image(*test)
    return Read(train=train, test=test, classes=["cat", "dog"], n_left_out=0, says=("no sample submission",))


@kind("a class called test, that nobody asks for")
def class_called_test(folder: Folder) -> Truth:
    put_classes(folder, ["bus", "test", "car"], above="")
    folder.sample(IDS, value="bus", folder="unlabeled")
    return Refused(says=("unclear whether test/ is a class", "--images . --test-images unlabeled/"))


@kind("resized copies of all parts in a folder of their own", variants=["resized", "512", "small"])
def resized_beside(folder: Folder, name: str) -> Truth:
    train = put_classes(folder, ["cat", "dog"])
    folder.image(*(f"{name}/{path}" for path in train))
    return Read(train=train, test=folder.sample(IDS), n_left_out=12, says=(f"{name}/ holds the images of",))


@kind("more classes in a folder beside the classes are asked for")
def classes_inside(folder: Folder) -> Truth:
    put_classes(folder, ["cat", "dog"], above="")
    put_classes(folder, ["cat", "dog"], above="extra/")
    folder.sample(IDS, folder="test")
    return Refused(says=("the folder extra lies beside those of the classes", "--add FOLDER"))


@kind("a folder of more training images is added", flags=("--add", "extra, later"))
def more_folders(folder: Folder) -> Truth:
    train = put_classes(folder, ["cat", "dog"])
    train |= put_classes(folder, ["cat", "dog"], above="extra/") | put_classes(folder, ["dog"], above="later/")
    return Read(train=train, test=folder.sample(IDS), n_left_out=0, says=("are training images too, as asked",))


@kind(
    "images, masks and gray copies without labels are refused", variants=["images masks", "color gray", "raw processed"]
)
def holders(folder: Folder, names: str) -> Truth:
    for name in names.split():
        folder.image(*(f"{name}/{name[0]}{number}.png" for number in range(8)))
    folder.sample(IDS)
    return Refused(says=("no labels were found",))


@kind("a folder whose name ends in test may be a class", variants=["crash_test", "Drug test"])
def crash_test(folder: Folder, name: str) -> Truth:
    put_classes(folder, ["road", "wall", name], above="")
    return Refused(says=(f"unclear whether {name}/ is a class", "--images .", f"--test-images {name}/"))
