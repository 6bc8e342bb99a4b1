"""Ids that are written otherwise than the files are called, litter among the files, and links out of the folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

N_TRAIN, N_TEST = 24, 4
COUNT = range(N_TRAIN)
Write = Callable[[int], str]


def label_of(number: int) -> str:
    """Neither alternating nor in blocks, so that a shift of one row shows."""
    return ("cat", "dog")[number * number % 7 % 2]


def put_rows(folder: Folder, files: Sequence[str], ids: Sequence[str], column: str = "id") -> dict[str, str]:
    """Paint the images and write train.csv with one row for each; return the label of each image."""
    folder.image(*files)
    folder.csv("train.csv", [column, "label"], [[one, label_of(number)] for number, one in enumerate(ids)])
    return {file: label_of(number) for number, file in enumerate(files)}


def put_test(folder: Folder) -> list[str]:
    return folder.sample([f"t{number}" for number in range(N_TEST)], value="cat")


def put_both(folder: Folder, ids: Write, files: Write, *says: str, column: str = "id") -> Read:
    """Write training and test images that are called in one way, and tables that name them in another."""
    train = put_rows(folder, [f"train/{files(number)}" for number in COUNT], [ids(number) for number in COUNT], column)
    tested = range(900, 900 + N_TEST)
    test = [f"test/{files(number)}" for number in tested]
    folder.image(*test)
    folder.csv("sample_submission.csv", [column, "label"], [[ids(number), "cat"] for number in tested])
    return Read(train=train, test=test, task="binary", says=says)


@kind("ids are the names of the files")
def plain(folder: Folder) -> Truth:
    return put_both(folder, lambda n: f"a{n}", lambda n: f"a{n}.png")


@kind(
    "ids lost the zeros of the file names",
    variants=["whole", "floats", "floats with zeros", "with extension", "more zeros", "files have none", "thousands"],
)
def numbers(folder: Folder, variant: str) -> Truth:
    ids, files = {
        "whole": ("{:d}", "{:04d}.png"),
        "floats": ("{:.1f}", "{:04d}.png"),
        "floats with zeros": ("{:.4f}", "{:04d}.jpg"),
        "with extension": ("{:d}.png", "{:05d}.png"),
        "more zeros": ("{:08d}", "{:04d}.png"),
        "files have none": ("{:04d}", "{:d}.png"),
        "thousands": ("{:,d}", "{:06d}.png"),
    }[variant]
    base = 1200 if variant == "thousands" else 0
    return put_both(folder, lambda n: ids.format(n + base), lambda n: files.format(n + base), "ids matched by number")


@kind("ids are floats and files lie in shards")
def floats_in_shards(folder: Folder) -> Truth:
    files = [f"train/b{number % 2 + 1}/{number:04d}.png" for number in COUNT]
    train = put_rows(folder, files, [f"{number}.0" for number in COUNT])
    return Read(train=train, test=put_test(folder), classes=["cat", "dog"], says=("0.0 is 0000.png (24 ids)",))


@kind("the sample has another name and its ids lost their zeros")
def numbers_in_another_sample(folder: Folder) -> Truth:
    train = put_rows(folder, [f"train/{number:04d}.png" for number in COUNT], [str(number) for number in COUNT])
    test = [f"test/{number:04d}.png" for number in range(900, 904)]
    folder.image(*test)
    folder.csv("submission_format.csv", ["id", "label"], [[number, "cat"] for number in range(900, 904)])
    return Read(train=train, test=test)


@kind("several samples, of which one names the test images without zeros")
def numbers_in_one_of_several_samples(folder: Folder) -> Truth:
    truth = numbers_in_another_sample(folder)
    (folder.root / "submission_format.csv").rename(folder.root / "sample_submission_stage2.csv")
    folder.csv("sample_submission_stage1.csv", ["id", "label"], [[f"x{number}", "cat"] for number in range(4)])
    return truth


@kind("annotations name files in other case, and their numbers name other files")
def annotated_in_other_case(folder: Folder) -> Truth:
    train = {f"train/img_{number}.jpg": label_of(number) for number in COUNT}
    folder.image(*train, *(f"train/{number}.jpg" for number in COUNT))
    images = [{"id": (number + 5) % N_TRAIN, "file_name": f"IMG_{number}.JPG"} for number in COUNT]
    labels = [
        {"image_id": (number + 5) % N_TRAIN, "category_id": ("cat", "dog").index(label_of(number))} for number in COUNT
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    folder.json("train.json", {"images": images, "annotations": labels, "categories": categories})
    return Read(train=train, test=put_test(folder), n_left_out=N_TRAIN, says=("ids matched in other case",))


@kind("annotations were written on Windows")
def annotated_on_windows(folder: Folder) -> Truth:
    train = {f"train/x/{number}.jpg": label_of(number) for number in COUNT}
    folder.image(*train)
    images = [{"id": number + 1, "file_name": f"C:\\data\\train\\x\\{number}.jpg"} for number in COUNT]
    labels = [{"image_id": number + 1, "category_id": ("cat", "dog").index(label_of(number))} for number in COUNT]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    folder.json("train.json", {"images": images, "annotations": labels, "categories": categories})
    return Read(train=train, test=put_test(folder), says=("ids matched as plain paths",))


@kind("a mapping of labels without zeros")
def mapped_numbers(folder: Folder) -> Truth:
    train = {f"train/{number:04d}.jpg": label_of(number) for number in COUNT}
    folder.image(*train)
    folder.json("labels.json", {str(number): label_of(number) for number in COUNT})
    return Read(train=train, test=put_test(folder), says=("ids matched by number",))


@kind("one table for all whose ids lost their zeros", variants=["split", "blank labels"])
def numbers_of_all(folder: Folder, variant: str) -> Truth:
    train = {f"train/{number:04d}.png": label_of(number) for number in COUNT}
    test = [f"test/{number:04d}.png" for number in range(N_TRAIN, N_TRAIN + 6)]
    folder.image(*train, *test)
    of_train = [[number, label_of(number), "train"] for number in COUNT]
    rows = [*of_train, *([number, "", "test"] for number in range(N_TRAIN, N_TRAIN + 6))]
    n_columns = 3 if variant == "split" else 2
    folder.csv("train.csv", ["id", "label", "split"][:n_columns], [row[:n_columns] for row in rows])
    return Read(train=train, test=test, says=("ids matched by number",))


@kind("the same numbers in train and in test")
def numbers_in_both(folder: Folder) -> Truth:
    train = put_rows(folder, [f"train/{number:04d}.png" for number in COUNT], [str(number) for number in COUNT])
    folder.image(*(f"test/{number:04d}.png" for number in range(N_TEST)))
    folder.csv("sample_submission.csv", ["id", "label"], [[number, "cat"] for number in range(N_TEST)])
    return Read(train=train, test=[f"test/{number:04d}.png" for number in range(N_TEST)])


@kind("some ids have as many digits as the files")
def numbers_beyond_the_width(folder: Folder) -> Truth:
    files = [f"train/{number:03d}.png" for number in range(990, 1014)]
    train = put_rows(folder, files, [str(number) for number in range(990, 1014)])
    more = [f"train/{number:03d}.png" for number in range(60, 70)]
    folder.image(*more)
    rows = [[str(number), label_of(index)] for index, number in enumerate([*range(990, 1014), *range(60, 70)])]
    folder.csv("train.csv", ["id", "label"], rows)
    train |= {file: label_of(N_TRAIN + index) for index, file in enumerate(more)}
    return Read(train=train, test=put_test(folder), says=("60 is 060.png (10 ids)",))


@kind("10 and 010 are two images")
def two_widths(folder: Folder) -> Truth:
    stems = [f"{number:0{width}d}" for number in range(10, 22) for width in (2, 3)]
    return Read(train=put_rows(folder, [f"train/{stem}.png" for stem in stems], stems), test=put_test(folder))


@kind(
    "an image is missing and a mask is called nearly so",
    variants=["a7_mask.png", "a7-copy.png", "a7/x.png", "A7 2.png"],
)
def nearly_called_so(folder: Folder, stray: str) -> Truth:
    put_rows(folder, [f"train/a{number}.png" for number in COUNT], [f"a{number}" for number in COUNT])
    (folder.root / "train/a7.png").unlink()
    folder.image(f"train/{stray}")
    put_test(folder)
    return Refused(says=("train.csv names 1 image that is not in train/: a7", "--skip-missing"))


@kind("ids count from one and files from zero", variants=[1, -1, 0.5])
def shifted(folder: Folder, shift: float) -> Truth:
    put_rows(
        folder, [f"train/{number + 1:04d}.png" for number in COUNT], [f"{number + 1 + shift:g}" for number in COUNT]
    )
    put_test(folder)
    return Refused(says=("train.csv", "a file is called train/0"))


@kind(
    "paths are written on another machine",
    variants=[
        "train\\{}",
        ".\\train\\{}",
        "C:\\data\\train\\{}",
        "c:\\Users\\Me Myself\\train\\{}",
        "D:/train/{}",
        "\\\\server\\share\\train\\{}",
        "\\\\?\\C:\\data\\train\\{}",
        "/kaggle/input/x/train/{}",
        "file:///C:/data/train/{}",
        "gs://bucket/x/train/{}",
        "s3://bucket/train/{}",
        "https://example.org/train/{}?raw=1",
        "../input/x/train/{}",
        "..\\input\\x\\train\\{}",
        "./train//{}",
        '"train\\{}"',
        "D:\\photos\\{}",
        "images/{}",
    ],
)
def other_machines(folder: Folder, form: str) -> Truth:
    names = [f"a{number:03d}.png" for number in COUNT]
    train = put_rows(folder, [f"train/{name}" for name in names], [form.format(name) for name in names], "path")
    return Read(train=train, test=put_test(folder), task="binary")


@kind("paths of Windows to the folders of patients")
def windows_with_folders(folder: Folder) -> Truth:
    names = [f"p{number % 5}/{number // 5}.png" for number in COUNT]
    ids = ["E:\\Study\\train\\" + name.replace("/", "\\") for name in names]
    return Read(train=put_rows(folder, [f"train/{name}" for name in names], ids, "file"), test=put_test(folder))


@kind("paths of Windows in other case")
def windows_in_capitals(folder: Folder) -> Truth:
    names = [f"a{number:03d}.png" for number in COUNT]
    ids = [f"C:\\Data\\Train\\{name.upper()}" for name in names]
    train = put_rows(folder, [f"train/{name}" for name in names], ids, "path")
    return Read(train=train, test=put_test(folder), says=("ids matched in other case",))


@kind("paths lead to a part of the data that is not there", variants=["val", "test", "unlabeled"])
def other_part(folder: Folder, part: str) -> Truth:
    names = [f"a{number:03d}.png" for number in COUNT]
    put_rows(folder, [f"train/{name}" for name in names], [f"{part}/{name}" for name in names], "path")
    folder.image("elsewhere/x.png")
    folder.sample([f"t{number}" for number in range(N_TEST)], value="cat", folder="evaluate")
    return Refused(says=("train.csv", f"{part}/a000.png", "train/a000.png"))


@kind("file names in another case", variants=["A{:03d}.PNG", "A{:03d}", "a{:03d}.PNG"])
def other_case(folder: Folder, form: str) -> Truth:
    return put_both(folder, lambda n: form.format(n), lambda n: f"a{n:03d}.png")


@kind("two files differ by their case alone")
def two_cases(folder: Folder) -> Truth:
    stems = [f"{letter}{number}" for number in range(12) for letter in "aA"]
    return Read(train=put_rows(folder, [f"train/{stem}.png" for stem in stems], stems), test=put_test(folder))


@kind("ids are encoded as in a web address", variants=["a%20{}.jpg", "a%20{}", "a+{}.jpg", "A%20{}.JPG"])
def encoded(folder: Folder, form: str) -> Truth:
    return put_both(folder, lambda n: form.format(n), lambda n: f"a {n}.jpg")


@kind("files are encoded as in a web address")
def encoded_files(folder: Folder) -> Truth:
    return put_both(folder, lambda n: f"caf\u00e9 {n}", lambda n: f"caf%C3%A9%20{n}.png", "by URL decoding")


@kind("ids in another Unicode form", variants=["NFC", "NFD", "NFKC", "full width"])
def unicode_forms(folder: Folder, form: str) -> Truth:
    if form == "full width":
        wide = {ord(letter): ord(letter) + 0xFEE0 for letter in "0123456789ab"}
        return put_both(folder, lambda n: f"a{n}".translate(wide), lambda n: f"a{n}.png", "in another Unicode form")
    of_files = {"NFC": "NFD", "NFD": "NFC", "NFKC": "NFKD"}[form]
    stem = "\ufb01l caf\u00e9 {}" if form == "NFKC" else "caf\u00e9 {}"
    return put_both(
        folder,
        lambda n: unicodedata.normalize(form, stem.format(n)),
        lambda n: unicodedata.normalize(of_files, stem.format(n)) + ".png",
    )


@kind("signs around the ids", variants=["'{}'", "\u201c{}\u201d", " {} ", "{}.", "{}/", "\u200b{}", "{}.tiff"])
def signs(folder: Folder, form: str) -> Truth:
    return put_both(folder, lambda n: form.format(f"a{n:02d}"), lambda n: f"a{n:02d}.png")


@kind(
    "an image lies in a folder that is called by its id",
    variants=["{}/image.png", "{}/x/y/image.png", "site/{}/image.png", "{}/{}.jpg", "{}/{}/scan.png"],
)
def folders_by_id(folder: Folder, form: str) -> Truth:
    return put_both(folder, lambda n: f"p{n:03d}", lambda n: form.replace("{}", f"p{n:03d}"))


@kind("folders are called by numbers with zeros")
def folders_by_number(folder: Folder) -> Truth:
    return put_both(folder, str, lambda n: f"{n:04d}/image.png", "ids matched by the number of a folder")


@kind("ids are paths of folders")
def folders_by_path(folder: Folder) -> Truth:
    return put_both(folder, lambda n: f"site{n % 3}/p1{n}", lambda n: f"site{n % 3}/p1{n}/image.png", "by folder")


@kind("litter of systems among the classes", variants=["@eaDir", "$RECYCLE.BIN", "lost+found", "#recycle", "@Recycle"])
def litter(folder: Folder, name: str) -> Truth:
    train = {f"train/{label_of(number)}/a{number}.png": label_of(number) for number in COUNT}
    folder.image(*train, *(f"train/{name}/a{number}.png/SYNOPHOTO_THUMB_M.png" for number in range(3)))
    folder.image(f"{name}/x.png", f"train/cat/{name}/y.png")
    folder.file("train/cat/a0.png:Zone.Identifier", "[ZoneTransfer]")
    folder.file("train/Thumbs.db")
    return Read(
        train=train,
        test=put_test(folder),
        classes=["cat", "dog"],
        n_left_out=0,
        says=(f"left out as litter: {name}/ (5 files)",),
    )


@kind("classes that are called nearly like litter")
def no_litter(folder: Folder) -> Truth:
    names = ("lost", "found", "recycle", "trash", "tmp")
    train = {f"train/{name}/a{number}.png": name for number in range(8) for name in names}
    folder.image(*train)
    return Read(train=train, test=folder.sample(["t0", "t1"], value="lost"), classes=sorted(names))


@kind("downloads that did not end", variants=["crdownload", "part", "tmp"])
def unfinished(folder: Folder, suffix: str) -> Truth:
    train = {f"train/{label_of(number)}/a{number}.png": label_of(number) for number in COUNT}
    folder.image(*train)
    folder.file(f"train/cat/b.png.{suffix}")
    return Read(train=train, test=put_test(folder), says=(f"1 unfinished download left out: train/cat/b.png.{suffix}",))


def put_snapshot(folder: Folder) -> Read:
    """Lay out files as the hub's cache does: each a link to a file that is called by its digest."""
    train = {f"train/a{number:03d}.png": label_of(number) for number in COUNT}
    test = [f"test/t{number}.png" for number in range(N_TEST)]
    for number, name in enumerate([*train, *test]):
        folder.image(f"blobs/{number:04x}.png")
        folder.link(f"snapshots/1/{name}", f"../../../blobs/{number:04x}.png")
    folder.csv("blobs/t.csv", ["id", "label"], [[name[6:-4], label] for name, label in train.items()])
    folder.csv("blobs/s.csv", ["id", "label"], [[name[5:-4], "cat"] for name in test])
    folder.link("snapshots/1/train.csv", "../../blobs/t.csv")
    folder.link("snapshots/1/sample_submission.csv", "../../blobs/s.csv")
    return Read(train=train, test=test, task="binary")


@kind("a snapshot of the hub whose links are followed", flags=["--follow-links"], below="snapshots/1")
def followed(folder: Folder) -> Truth:
    return put_snapshot(folder)


@kind("a snapshot of the hub whose links are not followed", below="snapshots/1")
def refused(folder: Folder) -> Truth:
    put_snapshot(folder)
    return Refused(
        says=("leads out of", "snapshot in the cache of the Hugging Face hub", "--follow-links", "--local-dir")
    )


@kind("classes that are links to folders elsewhere", flags=["--follow-links"], below="here")
def linked_classes(folder: Folder) -> Truth:
    train = {f"train/{label_of(number)}/a{number}.png": label_of(number) for number in COUNT}
    for name in train:
        folder.image(name.replace("train/", "elsewhere/"))
    for label in ("cat", "dog"):
        folder.link(f"here/train/{label}", f"../../elsewhere/{label}")
    folder.link("elsewhere/cat/back", "../../here")
    test = folder.sample(["t0", "t1"], value="cat", folder="here/test", name="here/sample_submission.csv")
    return Read(train=train, test=[name.removeprefix("here/") for name in test], classes=["cat", "dog"])


@kind("links that lead nowhere")
def dangling(folder: Folder) -> Truth:
    train = {f"train/{label_of(number)}/a{number}.png": label_of(number) for number in COUNT}
    folder.image(*train)
    folder.link("train/cat/x.png", "../../../blobs/gone.png")
    return Read(train=train, test=put_test(folder), says=("1 link leads to no file: train/cat/x.png",))
