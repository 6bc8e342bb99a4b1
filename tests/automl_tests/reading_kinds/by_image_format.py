"""Formats of images, and images in files of many: read, or told with what to do, and never called missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.automl_tests.competitions.container_files import (
    bson,
    dicom,
    jpeg,
    npy,
    npz,
    parquet,
    put_hdf5,
    tfrecord,
)
from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

N_TRAIN, N_TEST = 24, 4
TEST_IDS = [f"t{number}" for number in range(N_TEST)]


def label_of(number: int) -> str:
    return ("cat", "dog")[number * number % 7 % 2]


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    return jpeg(Image.fromarray(pixels))


def stack(n: int, *, seed: int = 0, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (n, side, side), np.uint8)


def put_table(folder: Folder, ids: Sequence[object]) -> None:
    folder.csv("train.csv", ["id", "label"], [[one, label_of(number)] for number, one in enumerate(ids)])


def put_sample(folder: Folder) -> None:
    folder.csv("sample_submission.csv", ["id", "label"], [[one, "cat"] for one in TEST_IDS])


def put_labelled(folder: Folder, suffix: str, every: int) -> dict[str, str]:
    """Paint training images of which some have another suffix, and their table."""
    files = [f"train/a{n:03d}{suffix if n % every == 0 else '.jpg'}" for n in range(N_TRAIN)]
    folder.image(*files)
    put_table(folder, [f"a{n:03d}" for n in range(N_TRAIN)])
    folder.sample(TEST_IDS, value="cat", suffix=".jpg")
    return {file: label_of(number) for number, file in enumerate(files)}


@kind(
    "some images of a table have a rarer suffix",
    variants=[
        *(".jfif", ".jpe", ".JFIF", ".avif", ".AVIF", ".heic", ".heif", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
        *(".jp2", ".j2k", ".webp", ".dcm", ".npy"),
    ],
)
def rarer_suffix(folder: Folder, suffix: str) -> Truth:
    if suffix != ".npy":
        return Read(train=put_labelled(folder, suffix, 3), task="binary")
    put_labelled(folder, suffix, 3)
    return Refused(says=("lie there and cannot be read: train/a000.npy", "a000.png"))


@kind("some images of class folders have a rarer suffix", variants=[".jfif", ".jpe", ".avif", ".heic", ".ppm", ".jp2"])
def rarer_suffix_in_folders(folder: Folder, suffix: str) -> Truth:
    files = [f"train/{label_of(n)}/a{n:03d}{suffix if n % 3 == 0 else '.jpg'}" for n in range(N_TRAIN)]
    folder.image(*files)
    folder.sample(TEST_IDS, value="cat")
    return Read(train={file: label_of(number) for number, file in enumerate(files)}, task="binary")


@kind("images of a format that is not read", variants=[".jxl", ".psd", ".exr", ".cr2", ".JXL", ".svs", ".mat"])
def unread_images(folder: Folder, suffix: str) -> Truth:
    put_labelled(folder, suffix, 3)
    return Refused(says=(f"train.csv names 8 images that lie there and cannot be read: train/a000{suffix}", "a000.png"))


@kind("all images are of a format that is not read", variants=[".jxl", ".exr"])
def nothing_read(folder: Folder, suffix: str) -> Truth:
    folder.image(*(f"train/a{n:03d}{suffix}" for n in range(N_TRAIN)))
    put_table(folder, [f"a{n:03d}" for n in range(N_TRAIN)])
    return Refused(says=(f"24 {suffix} (image of another format)", "a000.png"))


@kind("a test image is of a format that is not read")
def unread_test(folder: Folder) -> Truth:
    files = [f"train/a{n:03d}.png" for n in range(N_TRAIN)]
    folder.image(*files)
    put_table(folder, [f"a{n:03d}" for n in range(N_TRAIN)])
    folder.image("test/t0.png", "test/t1.jxl", "test/t2.png", "test/t3.png")
    put_sample(folder)
    return Refused(says=("sample_submission.csv names 1 image that lies there and cannot be read: test/t1.jxl",))


@kind("class folders hold files of a format that is not read")
def unread_in_folders(folder: Folder) -> Truth:
    files = [f"train/{label_of(n)}/a{n:03d}.png" for n in range(N_TRAIN)]
    folder.image(*files, "train/cat/b.jxl", "train/dog/c.jxl")
    folder.sample(TEST_IDS, value="cat")
    truth = {file: label_of(number) for number, file in enumerate(files)}
    return Read(train=truth, says=("images: not read: 2 .jxl (image of another format)",))


@kind("DICOM", variants=["in a table", "in class folders", "without a suffix", "uids without a suffix"])
def scans(folder: Folder, variant: str) -> Truth:
    names = [f"a{n}.dcm" for n in range(N_TRAIN)]
    if variant == "without a suffix":
        names = [f"IM-{n:04d}" for n in range(N_TRAIN)]
    if variant == "uids without a suffix":
        names = [f"1.2.826.0.1.{n + 10}" for n in range(N_TRAIN)]
    by_folder = variant == "in class folders"
    files = [f"train/{label_of(n)}/{name}" if by_folder else f"train/{name}" for n, name in enumerate(names)]
    suffix = ".dcm" if names[0].endswith(".dcm") else ""
    for number, file in enumerate([*files, *(f"test/{one}{suffix}" for one in TEST_IDS)]):
        folder.file(file, dicom(stack(1, seed=number)[0]))
    if not by_folder:
        put_table(folder, [name.removesuffix(".dcm") for name in names])
    put_sample(folder)
    return Read(
        train={file: label_of(number) for number, file in enumerate(files)},
        test=[f"test/{one}{suffix}" for one in TEST_IDS],
        task="binary",
    )


@kind("HDF5", variants=["keys", "keys in a group", "one file", "a stack", "a stack in a group", "classes as groups"])
def hdf5(folder: Folder, variant: str) -> Truth:
    names, images = [f"a{n}" for n in range(N_TRAIN)], [photo(n) for n in range(N_TRAIN)]
    labels = np.array([label_of(n).encode() for n in range(N_TRAIN)])
    test = {one: photo(100 + number) for number, one in enumerate(TEST_IDS)}
    train_file, key = "train-image.hdf5", "{}"
    if variant == "keys in a group":
        key = "images/{}"
    if variant == "classes as groups":
        train = {f"{label_of(n)}/{name}": images[n] for n, name in enumerate(names)}
    elif variant.startswith("a stack"):
        group = "data/" if variant.endswith("group") else ""
        train = {f"{group}images": stack(N_TRAIN), f"{group}labels": labels, f"{group}id": np.array(names, "S")}
        key = f"{group}images/{{}}"
    else:
        train = {key.format(name): images[n] for n, name in enumerate(names)}
        put_table(folder, names)
    if variant == "one file":
        train_file = "images.h5"
        put_hdf5(folder.root / train_file, {**train, **test})
        tested = [f"images.h5/{one}" for one in TEST_IDS]
    else:
        put_hdf5(folder.root / train_file, train)
        put_hdf5(folder.root / "test-image.hdf5", test)
        tested = [f"test-image.hdf5/{one}" for one in TEST_IDS]
    put_sample(folder)
    keys = list(train) if variant == "classes as groups" else [key.format(name) for name in names]
    return Read(train={f"{train_file}/{one}": label_of(n) for n, one in enumerate(keys)}, test=tested, task="binary")


@kind("npz with its labels", variants=["one file", "x and y", "a file each", "flattened"])
def arrays_in_npz(folder: Folder, variant: str) -> Truth:
    x, y, x_test = stack(N_TRAIN), np.array([label_of(n) for n in range(N_TRAIN)]), stack(N_TEST, seed=1)
    folder.csv("sample_submission.csv", ["id", "label"], [[number + 1, "cat"] for number in range(N_TEST)])
    if variant == "flattened":
        x, x_test = x.reshape(N_TRAIN, -1), x_test.reshape(N_TEST, -1)
    if variant == "one file":
        folder.file("digits.npz", npz(train_images=x, train_labels=y[:, None], test_images=x_test))
        places = "digits.npz/train_images", "digits.npz/test_images"
    elif variant == "a file each":
        folder.file("train.npz", npz(images=x, labels=y))
        folder.file("test.npz", npz(images=x_test))
        places = "train.npz/images", "test.npz/images"
    else:
        folder.file("data.npz", npz(x_train=x, y_train=y, x_test=x_test, y_test=y[:N_TEST]))
        places = "data.npz/x_train", "data.npz/x_test"
    return Read(
        train={f"{places[0]}/row{n}": label_of(n) for n in range(N_TRAIN)},
        test=[f"{places[1]}/row{n}" for n in range(N_TEST)],
        task="binary",
    )


@kind("X.npy beside y.npy", variants=["X y", "x_train y_train", "in a folder", "train_images train_labels"])
def arrays_in_npy(folder: Folder, variant: str) -> Truth:
    x, y = {"in a folder": ("data/X_train", "data/y_train"), "X y": ("X", "y")}.get(variant, variant.split()[:2])
    folder.file(f"{x}.npy", npy(stack(N_TRAIN)))
    folder.file(f"{y}.npy", npy(np.array([label_of(n) for n in range(N_TRAIN)])))
    stem = x.rpartition("/")[2]
    return Read(train={f"{x}.npy/{stem}/row{n}": label_of(n) for n in range(N_TRAIN)}, task="binary")


@kind("rows of a stack are no ids", variants=["from 0", "from 1"])
def rows_are_no_ids(folder: Folder, variant: str) -> Truth:
    """A table whose ids count, beside images without names: which row is which image is not said."""
    folder.file("train_images.npy", npy(stack(N_TRAIN)))
    base = int(variant.endswith("1"))
    put_table(folder, [number + base for number in range(N_TRAIN)])
    folder.file("test_images.npy", npy(stack(N_TEST, seed=1)))
    put_sample(folder)
    return Refused(says=("train.csv",))


@kind("one npy file for each image", variants=["gray", "planes", "channels first", "in shards"])
def single_arrays(folder: Folder, variant: str) -> Truth:
    shape = {"gray": (8, 9), "planes": (6, 9, 8), "channels first": (3, 9, 8), "in shards": (6, 9, 8)}[variant]
    files = [f"train/{n % 5}/{n:03d}a.npy" if variant == "in shards" else f"train/{n:03d}a.npy" for n in range(N_TRAIN)]
    for file in [*files, *(f"test/{one}.npy" for one in TEST_IDS)]:
        folder.file(file, npy(np.zeros(shape, np.float16)))
    put_table(folder, [f"{n:03d}a" for n in range(N_TRAIN)])
    put_sample(folder)
    return Read(
        train={file: label_of(number) for number, file in enumerate(files)},
        test=[f"test/{one}.npy" for one in TEST_IDS],
    )


@kind("TFRecord", variants=["class names", "class numbers", "shards", "without ids", "two sizes", "validation"])
def records(folder: Folder, variant: str) -> Truth:
    def record(number: int, name: str, label: object | None) -> dict[str, object]:
        fields: dict[str, object] = {"image": photo(number)}
        fields |= {} if variant == "without ids" else {"id": name}
        return fields if label is None else {**fields, "class": label}

    labels: list[object] = [
        label_of(n) if variant != "class numbers" else int(label_of(n) == "dog") for n in range(N_TRAIN)
    ]
    train = [record(n, f"a{n}", labels[n]) for n in range(N_TRAIN)]
    test = [record(100 + n, one, None) for n, one in enumerate(TEST_IDS)]
    value = "0" if variant == "class numbers" else "cat"
    folder.csv("sample_submission.csv", ["id", "label"], [[one, value] for one in TEST_IDS])
    place = "records-16x16/" if variant == "two sizes" else ""
    files = {f"{place}train/00.tfrec": train}
    if variant == "shards":
        files = {"train/00.tfrec": train[:10], "train/01.tfrec": train[10:]}
    if variant == "two sizes":
        folder.file("records-08x08/train/00.tfrec", tfrecord(train))  # type: ignore[arg-type]
        folder.file("records-08x08/test/00.tfrec", tfrecord(test))  # type: ignore[arg-type]
    addresses = []
    for file, own in files.items():
        folder.file(file, tfrecord(own))  # type: ignore[arg-type]
        addresses += [f"{file}/{one.get('id', f'row{n}')}" for n, one in enumerate(own)]
    folder.file(f"{place}test/00.tfrec", tfrecord(test))  # type: ignore[arg-type]
    tested = [
        f"{place}test/00.tfrec/{one if variant != 'without ids' else f'row{n}'}" for n, one in enumerate(TEST_IDS)
    ]
    says = ("left out as the same in other sizes: records-08x08/",) if variant == "two sizes" else ()
    if variant == "validation":
        folder.file("val/00.tfrec", tfrecord([record(200 + n, f"v{n}", "cat") for n in range(3)]))  # type: ignore[arg-type]
        says = ("--add val/", "its 3 images with labels")
    return Read(train={one: str(label) for one, label in zip(addresses, labels, strict=True)}, test=tested, says=says)


@kind("BSON", variants=["several to a product", "with an example file"])
def products(folder: Folder, variant: str) -> Truth:
    def product(number: int, label: str | None) -> dict[str, object]:
        images = [{"picture": photo(10 * number + place)} for place in range(1 + number % 3)]
        return {"_id": number, **({} if label is None else {"category": label}), "imgs": images}

    train = [product(n, label_of(n)) for n in range(N_TRAIN)]
    folder.file("train.bson", bson(train))
    says: tuple[str, ...] = ("the images of one row stay together",)
    if variant == "with an example file":
        folder.file("train_example.bson", bson(train[:6]))
        says = (*says, "train_example.bson left out")
    folder.file("test.bson", bson([product(n + 50, None) for n in range(N_TEST)]))
    folder.csv("sample_submission.csv", ["_id", "category"], [[n + 50, "cat"] for n in range(N_TEST)])
    return Read(
        train={f"train.bson/{n}/{k}": label_of(n) for n in range(N_TRAIN) for k in range(1 + n % 3)},
        test=[f"test.bson/{n + 50}/{k}" for n in range(N_TEST) for k in range(1 + (n + 50) % 3)],
        says=says,
    )


@kind("parquet of a hub", variants=["class names", "with paths", "two shards", "no test"])
def hub_parquet(folder: Folder, variant: str) -> Truth:
    def table(numbers: Sequence[int]) -> bytes:
        paths = [f"{n:04d}.jpg" if variant == "with paths" else None for n in numbers]
        images = [{"bytes": photo(n), "path": path} for n, path in zip(numbers, paths, strict=True)]
        labels = [int(label_of(n) == "dog") for n in numbers]
        return parquet({"image": images, "label": labels}, class_names={"label": ["cat", "dog"]})

    shards = {"data/train-00000-of-00001.parquet": list(range(N_TRAIN))}
    if variant == "two shards":
        shards = {f"data/train-0000{k}-of-00002.parquet": list(range(12 * k, 12 * k + 12)) for k in range(2)}
    train = {}
    for name, numbers in shards.items():
        folder.file(name, table(numbers))
        keys = [f"{n:04d}.jpg" if variant == "with paths" else f"row{k}" for k, n in enumerate(numbers)]
        train |= {f"{name}/{key}": label_of(n) for key, n in zip(keys, numbers, strict=True)}
    if variant != "no test":
        folder.file("data/test-00000-of-00001.parquet", table(range(200, 200 + N_TEST)))
    return Read(train=train, task="binary", classes=["cat", "dog"])


@kind("pixels in JSON", variants=["two bands", "lines", "in a folder"])
def pixels_in_json(folder: Folder, variant: str) -> Truth:
    import json

    def record(number: int, name: str) -> dict[str, object]:
        bands = np.random.default_rng(number).normal(-20, 5, (2, 144)).round(3).tolist()
        return {"id": name, "band_1": bands[0], "band_2": bands[1], "inc_angle": 30.5}

    train = [{**record(n, f"a{n}"), "is_iceberg": int(label_of(n) == "dog")} for n in range(N_TRAIN)]
    test = [record(100 + n, one) for n, one in enumerate(TEST_IDS)]
    place, suffix = ("processed/", ".json") if variant == "in a folder" else ("", ".json")
    if variant == "lines":
        suffix = ".jsonl"
        folder.file("train.jsonl", "\n".join(map(json.dumps, train)))
        folder.file("test.jsonl", "\n".join(map(json.dumps, test)))
    else:
        folder.json(f"{place}train.json", train)
        folder.json(f"{place}test.json", test)
    folder.csv("sample_submission.csv", ["id", "is_iceberg"], [[one, 0.5] for one in TEST_IDS])
    return Read(
        train={f"{place}train{suffix}/a{n}": str(int(label_of(n) == "dog")) for n in range(N_TRAIN)},
        test=[f"{place}test{suffix}/{one}" for one in TEST_IDS],
    )


@kind("images as files and once more in a file of many", variants=["npz", "tfrec", "parquet"])
def files_go_before(folder: Folder, variant: str) -> Truth:
    truth = put_labelled(folder, ".jpg", 1)
    content = {
        "npz": npz(images=stack(N_TRAIN), labels=np.arange(N_TRAIN)),
        "tfrec": tfrecord([{"image": photo(n), "id": f"a{n:03d}", "class": n} for n in range(N_TRAIN)]),
        "parquet": parquet(
            {"image": [{"bytes": photo(n), "path": None} for n in range(N_TRAIN)], "label": [1] * N_TRAIN}
        ),
    }
    folder.file(f"train.{variant}", content[variant])
    return Read(train=truth, task="binary", says=(f"left out, as image files are there: train.{variant}",))


@kind("a damaged file of many images", variants=["train.tfrec", "train.bson", "train.h5", "train.parquet", "train.npz"])
def damaged(folder: Folder, variant: str) -> Truth:
    folder.file(variant, b"\x00junk of a download that went wrong")
    put_sample(folder)
    return Refused(says=(variant,))
