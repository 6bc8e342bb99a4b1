"""Folders in which two things may be meant, or in which something lies that nobody reads: asked, or told."""

from __future__ import annotations

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

CLASSES = ("cat", "dog")


@kind("files that are not there, and numbers of rows that name others", variants=["", "index", "Unnamed: 0"])
def row_numbers(folder: Folder, name: str) -> Truth:
    folder.image(*(f"train/{i}.png" for i in range(24)))
    rows = [[i, f"photo_{7 * i % 24}.jpg", CLASSES[i % 2]] for i in range(24)]
    folder.csv("train.csv", [name, "image", "label"], rows)
    return Refused(says=("names files that are not there, such as photo_0.jpg", "only counts the rows", "--images"))


@kind("numbers that name a file and another one's folder", variants=[0, 100])
def files_or_folders(folder: Folder, first: int) -> Truth:
    numbers = range(first + 1, first + 25)
    folder.image(*(f"train/{i}/{2 * first + 25 - i}.png" for i in numbers))
    folder.csv("train.csv", ["id", "label"], [[i, CLASSES[i % 2]] for i in numbers])
    return Refused(says=("may be several images", f"train/{first + 24}/{first + 1}.png"))


@kind("numbers that name a file in the folder of their own name")
def files_in_their_folders(folder: Folder) -> Truth:
    train: dict[str, str | float] = {f"train/{i}/{i}.png": CLASSES[i % 2] for i in range(24)}
    folder.image(*train)
    folder.csv("train.csv", ["id", "label"], [[i, CLASSES[i % 2]] for i in range(24)])
    return Read(train=train)


@kind("images without an extension in class folders", variants=["some", "all"])
def no_extensions(folder: Folder, how_many: str) -> Truth:
    folder.image(*(f"train/{CLASSES[i % 2]}/{i:08x}" for i in range(24) if i % 3 == 0 or how_many == "all"))
    if how_many == "all":
        return Refused(says=("holds no images", "24 files without an extension", "is an image by its first bytes"))
    train: dict[str, str | float] = {f"train/{CLASSES[i % 2]}/{i}.png": CLASSES[i % 2] for i in range(24) if i % 3}
    folder.image(*train)
    return Read(train=train, says=("8 files without an extension left out", "rename it"))


@kind("other files in class folders")
def other_files(folder: Folder) -> Truth:
    train: dict[str, str | float] = {f"train/{CLASSES[i % 2]}/{i}.png": CLASSES[i % 2] for i in range(24)}
    folder.image(*train)
    for name in ("a.pdf", "b.svg", "c.txt", "d.txt"):
        folder.file(f"train/cat/{name}")
    return Read(train=train, says=("files beside them that are none are left out: 2 .txt, 1 .pdf, 1 .svg",))


@kind("lists of training and test beside class folders", variants=["train.txt", "meta/test_list.txt"])
def unread_lists(folder: Folder, name: str) -> Truth:
    train: dict[str, str | float] = {f"images/{CLASSES[i % 2]}/{i}.png": CLASSES[i % 2] for i in range(24)}
    folder.image(*train)
    folder.file(name, "".join(f"{path[7:-4]}\n" for path in list(train)[:8]))
    return Read(train=train, says=(f"not split as {name} would have it",))


@kind("a split in another table", flags=("--label", "smiling"))
def unread_split(folder: Folder) -> Truth:
    train: dict[str, str | float] = {f"images/{i:06d}.jpg": str(i % 2) for i in range(24)}
    folder.image(*train)
    rows = [[path[7:], label, i % 3] for i, (path, label) in enumerate(train.items())]
    folder.csv("list_attributes.csv", ["image_id", "smiling", "hat"], rows)
    folder.csv("list_partition.csv", ["image_id", "partition"], [[row[0], i % 3] for i, row in enumerate(rows)])
    return Read(train=train, says=("not split as list_partition.csv would have it",))
