"""Tables of every format, encoding and form that people save them in."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace

import openpyxl
import pyarrow
from pyarrow import feather, parquet

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

N_TRAIN = 24
HEADER = ("id", "label")
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def fill(
    folder: Folder, labels: Sequence[str] = ("cat", "dog"), *, below: str = "train/", suffix: str = ".png"
) -> dict[str, str]:
    """Paint the training images; return the label of each by its path."""
    train = {f"{below}a{number:03d}{suffix}": labels[number % len(labels)] for number in range(N_TRAIN)}
    folder.image(*train)
    return train


def list_rows(train: dict[str, str], *, with_suffix: bool = False) -> list[tuple[str, str]]:
    names = {path: path.rpartition("/")[2] for path in train}
    return [(names[path] if with_suffix else names[path].rpartition(".")[0], label) for path, label in train.items()]


def finish(folder: Folder, train: dict[str, str], *says: str) -> Read:
    """Write the sample submission; return the truth."""
    test = folder.sample([f"t{number}" for number in range(4)], value=next(iter(train.values())))
    return Read(train=train, test=test, task="binary", says=says)


def join(rows: Sequence[Sequence[str]], delimiter: str = ",", line_end: str = "\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return text.getvalue()


@kind(
    "blank rows of a spreadsheet", variants=["at the end", "in the middle", "very many", "of semicolons", "of blanks"]
)
def blank_rows(folder: Folder, variant: str) -> Truth:
    train = fill(folder)
    rows: list[Sequence[str]] = [HEADER, *list_rows(train)]
    between = ";" if variant == "of semicolons" else ","
    blank = ("", " ") if variant == "of blanks" else ("", "")
    at = 9 if variant == "in the middle" else len(rows)
    n_blank = 200 if variant == "very many" else 5
    folder.file("train.csv", join([*rows[:at], *[blank] * n_blank, *rows[at:]], between, "\r\n"))
    return finish(folder, train, f"train.csv: {n_blank} blank rows left out")


@kind("what else a spreadsheet leaves", variants=["columns at the right", "fields behind the last column", "cut rows"])
def spreadsheet_rests(folder: Folder, variant: str) -> Truth:
    train = fill(folder)
    rows: list[Sequence[str]] = [HEADER, *list_rows(train)]
    if variant == "columns at the right":
        folder.file("train.csv", join([(*row, "", "") for row in rows]))
        return finish(folder, train, "2 columns with neither name nor content left out")
    if variant == "fields behind the last column":
        folder.file("train.csv", join([rows[0], *((*row, "") for row in rows[1:])]))
        return finish(folder, train, "blank fields behind the last column of 24 rows left out")
    noted = [(*row, "seen" if number == 1 else "") for number, row in enumerate(rows[1:])]
    folder.file("train.csv", join([(*HEADER, "note"), *noted[:20], *rows[21:]]).rstrip("\n") + ",\n")
    return finish(folder, train, "3 rows lack blank fields at the end")


@kind("rows that are cut off")
def cut_rows(folder: Folder) -> Truth:
    rows = [HEADER, *list_rows(fill(folder))]
    folder.file("train.csv", join(rows[:-1]) + "a023")
    finish(folder, {"": "cat"})
    return Refused(says=("train.csv: the header has 2 fields, but line 25 has 1",))


@kind(
    "a table beside the images",
    variants=["data/train/metadata.csv", "data/train/metadata.jsonl", "train/metadata.csv", "train/labels.tsv"],
)
def metadata_beside(folder: Folder, name: str) -> Truth:
    train = fill(folder, below=name.rpartition("/")[0] + "/")
    rows = [("file_name", "label"), *list_rows(train, with_suffix=True)]
    write_table(folder, name, rows)
    test = folder.sample(
        [f"t{number}" for number in range(4)], value="cat", folder="data/test" if "data/" in name else "test"
    )
    return Read(train=train, test=test, task="binary", says=(name,))


@kind(
    "a table in a folder of its own",
    variants=["labels/train.csv", "annotations/train_labels.csv", "meta/a/train.csv.gz"],
)
def table_in_folder(folder: Folder, name: str) -> Truth:
    train = fill(folder)
    write_table(folder, name, [HEADER, *list_rows(train)])
    return finish(folder, train, name)


@kind("a table in a folder that is named by a flag", flags=("--labels", "metadata/second.csv"))
def deep_table_asked(folder: Folder) -> Truth:
    train = fill(folder)
    turned = {path: {"cat": "dog", "dog": "cat"}[label] for path, label in train.items()}
    write_table(folder, "metadata/first.csv", [HEADER, *list_rows(turned)])
    write_table(folder, "metadata/second.csv", [HEADER, *list_rows(train)])
    return finish(folder, train, "metadata/second.csv")


@kind("a table that is named by a flag and is not there", flags=("--labels", "elsewhere/train.csv"))
def absent_table_asked(folder: Folder) -> Truth:
    train = fill(folder)
    write_table(folder, "train.csv", [HEADER, *list_rows(train)])
    finish(folder, train)
    return Refused(says=("--labels elsewhere/train.csv", "train.csv"), exit_code=2)


@kind(
    "no header",
    variants=[
        *("ids", "file names", "paths", "a column more", "numbers", "labels first", "text with tabs", "blanks"),
        "labels of several words",
    ],
)
def no_header(folder: Folder, variant: str) -> Truth:
    train = fill(folder, ("0", "1") if variant == "numbers" else ("cat", "dog"))
    ids, named = list_rows(train), list_rows(train, with_suffix=True)
    if variant == "text with tabs":
        folder.file("train_list.txt", join(named, "\t"))
    elif variant == "labels of several words":
        train = {path: {"cat": "maine coon", "dog": "pug"}[label] for path, label in train.items()}
        folder.file("labels.txt", "".join(f"{path} {label}\n" for path, label in train.items()))
    elif variant == "blanks":
        folder.file("train.txt", join([(f"train/{name}", label) for name, label in named], " "))
    else:
        rows: dict[str, Sequence[Sequence[str]]] = {
            "ids": ids,
            "file names": named,
            "paths": [(f"train/{name}", label) for name, label in named],
            "a column more": [(*row, "ward") for row in ids],
            "numbers": ids,
            "labels first": [(label, name) for name, label in named],
        }
        folder.file("train.csv", join(rows[variant]))
    return finish(folder, train, "has no header")


FORMATS = (
    *("train.tsv", "train.tab", "train.csv.gz", "train.csv.bz2", "train.tsv.xz", "train.jsonl", "train.ndjson"),
    *("train.xlsx", "train.parquet", "train.feather", "train_labels.TSV", "labels.jsonl.gz"),
)


@kind("a table in another format", variants=FORMATS)
def formats(folder: Folder, name: str) -> Truth:
    train = fill(folder)
    write_table(folder, name, [HEADER, *list_rows(train)])
    return finish(folder, train, name)


def write_table(folder: Folder, name: str, rows: Sequence[Sequence[str]]) -> None:
    """Write a table in the format that the end of its name says."""
    suffixes = name.rpartition("/")[2].lower().split(".")[1:]
    packed = suffixes.pop() if suffixes[-1] in PACKERS else None
    content = FORMAT_WRITERS.get(suffixes[-1], write_text)(rows, suffixes[-1])
    folder.file(name, PACKERS[packed](content) if packed else content)


def write_text(rows: Sequence[Sequence[str]], suffix: str) -> bytes:
    return join(rows, "," if suffix == "csv" else "\t").encode()


def write_records(rows: Sequence[Sequence[str]], _: str) -> bytes:
    return "".join(json.dumps(dict(zip(rows[0], row, strict=True))) + "\n" for row in rows[1:]).encode()


def write_workbook(rows: Sequence[Sequence[str]], _: str) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(list(row))
    book.save(file)
    return file.getvalue()


def write_columns(rows: Sequence[Sequence[str]], suffix: str) -> bytes:
    columns = pyarrow.table(dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True)))
    file = io.BytesIO()
    (parquet.write_table if suffix == "parquet" else feather.write_feather)(columns, file)
    return file.getvalue()


FORMAT_WRITERS: dict[str, Callable[[Sequence[Sequence[str]], str], bytes]] = {
    "jsonl": write_records,
    "ndjson": write_records,
    "xlsx": write_workbook,
    "parquet": write_columns,
    "feather": write_columns,
}


@kind("numbers of a workbook")
def workbook_numbers(folder: Folder) -> Truth:
    """Ids and classes that are numbers in the sheet, one shown with zeros in front, below a title, beside a sheet."""
    train = {f"train/{number:04d}.png": str(number % 2) for number in range(N_TRAIN)}
    folder.image(*train)
    book = openpyxl.Workbook()
    book.active.append(["Labels of our images"])
    book.active.append([])
    book.active.append(["id", "label", "by"])
    for number in range(N_TRAIN):
        book.active.append([float(number), float(number % 2), "us"])
        book.active.cell(number + 4, 1).number_format = "0000"
    book.create_sheet("notes").append(["nothing"])
    book.save(folder.root / "train.xlsx")
    folder.csv("test.csv", ["id", "by"], [[f"t{number}", "us"] for number in range(4)])
    return finish(folder, train, "train.xlsx has 2 sheets", "left out above the header: Labels of our images")


@kind("a separator or lines above the header", variants=["|", ";", "sep=;", "a comment", "a title", "CR", "quotes"])
def separators(folder: Folder, variant: str) -> Truth:
    train = fill(folder)
    rows = [HEADER, *list_rows(train)]
    written = {
        "|": join(rows, "|"),
        ";": join([(*rows[0], "size"), *((*row, "0,5") for row in rows[1:])], ";"),
        "sep=;": "sep=;\r\n" + join(rows, ";", "\r\n"),
        "a comment": "# made by us, in 2024, by hand\n" + join(rows),
        "a title": "Our labels\n\n" + join(rows),
        "CR": join(rows, line_end="\r"),
        "quotes": '"id", "label"\n' + "".join(f'"{name}", "{label}"\n' for name, label in rows[1:]),
    }
    folder.file("train.csv", written[variant])
    if variant == ";":
        folder.csv("test.csv", ["id", "size"], [[f"t{number}", 0.5] for number in range(4)])
    return finish(folder, train)


@kind(
    "an encoding that can be told",
    variants=["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
def encodings(folder: Folder, codec: str) -> Truth:
    train = fill(folder, ("caniche", "épagneul"))
    folder.file("train.csv", join([HEADER, *list_rows(train)]).encode(codec))
    notes = {"cp1252": "such as épagneul", "latin-1": "such as épagneul", "utf-16": "train.csv is read as UTF-16"}
    return finish(folder, train, *([notes[codec]] if codec in notes else []))


@kind("an encoding that cannot be told", variants=["gb18030", "shift_jis", "cp1251", "euc_kr", "damaged UTF-8"])
def unclear_encodings(folder: Folder, codec: str) -> Truth:
    words = {
        "gb18030": ("猫", "狗"),
        "cp1251": ("кошка", "собака"),
        "euc_kr": ("고양이", "강아지"),
        "damaged UTF-8": ("café", "thé"),
    }
    train = fill(folder, words.get(codec, ("猫", "犬")))
    text = join([HEADER, *list_rows(train)])
    folder.file("train.csv", text.encode() + b"\xe9\n" if codec == "damaged UTF-8" else text.encode(codec))
    finish(folder, train)
    return Refused(says=("train.csv is not UTF-8 text", "save the file as CSV with encoding UTF-8"))


@kind("two columns of one name", variants=["label", ""])
def same_names(folder: Folder, name: str) -> Truth:
    train = fill(folder)
    rows = [(*row, "dog" if row[1] == "cat" else "cat") for row in list_rows(train)]
    folder.csv("train.csv", ["id", name, name], rows)
    finish(folder, train)
    return Refused(says=("train.csv has two columns named label",) if name else ("which column of train.csv",))


@kind("a table that is not read", variants=["train.xls", "train.ods", "labels.db", "meta/train_labels.sav"])
def unread_tables(folder: Folder, name: str) -> Truth:
    """No other reader takes its place: the images lie in folders that are no classes."""
    train = {f"train/ward{number % 3}/a{number:03d}.png": "" for number in range(N_TRAIN)}
    folder.image(*train)
    folder.file(name, b"\xd0\xcf\x11\xe0")
    finish(folder, {"": "cat"})
    return Refused(says=(name,))


@kind("a table of pixels that is packed or of another form", variants=["train.csv.gz", "train.tsv", "train.csv.xz"])
def packed_pixels(folder: Folder, name: str) -> Truth:
    header = ["label", *(f"pixel{number}" for number in range(16))]
    rows = [
        [("cat", "dog")[row % 2], *(str((row * 7 + column) % 256) for column in range(16))] for row in range(N_TRAIN)
    ]
    write_table(folder, name, [header, *rows])
    folder.csv("test.csv", header[1:], [row[1:] for row in rows[:4]])
    folder.csv("sample_submission.csv", ["id", "label"], [[number, "cat"] for number in range(1, 5)])
    return Read(train={f"{name}/{row}": ("cat", "dog")[row % 2] for row in range(N_TRAIN)}, task="binary")


@kind("no header above the ids of the test")
def test_without_header(folder: Folder) -> Truth:
    train = fill(folder)
    write_table(folder, "train.csv", [HEADER, *list_rows(train)])
    test = [f"test/t{number}.png" for number in range(4)]
    folder.image(*test)
    folder.file("test.csv", "t0\nt1\nt2\nt3\n")
    return Read(train=train, test=test, columns=("id", "label"), says=("test.csv has no header",))


@kind("no header above the sample submission")
def sample_without_header(folder: Folder) -> Truth:
    train = fill(folder)
    write_table(folder, "train.csv", [HEADER, *list_rows(train)])
    folder.image(*(f"test/t{number}.png" for number in range(4)))
    folder.file("sample_submission.csv", "t0,cat\nt1,cat\nt2,cat\nt3,cat\n")
    return Refused(says=("sample_submission.csv has no header", "t0, cat"))


@kind("columns that pandas numbered", variants=["0,1", ",0,1"])
def numbered_columns(folder: Folder, header: str) -> Truth:
    train = {f"train/{number}.png": ("cat", "dog")[number % 2] for number in range(N_TRAIN)}
    folder.image(*train)
    rows = [f"{name},{label}" for name, label in list_rows(train, with_suffix=True)]
    if header.startswith(","):
        rows = [f"{number},{row}" for number, row in enumerate(rows)]
    folder.file("train.csv", "\n".join([header, *rows]) + "\n")
    return finish(folder, train)


@kind("texts beside folders of classes that are no tables of labels", variants=["CUB-200-2011", "Food-101", "YOLO"])
def other_texts(folder: Folder, variant: str) -> Truth:
    classes = ("001.Black_Albatross", "002.Cactus_Wren", "003.Crow")
    train = {f"images/{name}/{name[4:]}_{number:04d}.jpg": name for name in classes for number in range(8)}
    folder.image(*train)
    if variant == "CUB-200-2011":
        folder.file("images.txt", "".join(f"{at} {path[7:]}\n" for at, path in enumerate(train, start=1)))
        folder.file("image_class_labels.txt", "".join(f"{at} {1 + at // 9}\n" for at in range(1, 25)))
        folder.file("train_test_split.txt", "".join(f"{at} {at % 2}\n" for at in range(1, 25)))
        folder.file("classes.txt", "".join(f"{at} {name}\n" for at, name in enumerate(classes, start=1)))
    elif variant == "Food-101":
        folder.file("meta/train.txt", "".join(f"{path[7:-4]}\n" for path in train))
        folder.file("meta/labels.txt", "Black albatross\nCactus wren\nCrow\n")
        folder.file("license_agreement.txt", "All of these were found\nsomewhere, by someone\n")
    else:
        for path in train:
            folder.file(f"labels/{path[7:-4]}.txt", "0 0.5 0.5 0.25 0.25\n")
    return Read(train=train, task="multiclass")


@kind("a table beside the images of an archive", variants=["train.zip", "all.zip"])
def metadata_in_archive(folder: Folder, archive: str) -> Truth:
    below = {"train.zip": "", "all.zip": "data/train/"}[archive]
    train = fill(folder, below=f"train/{below}")
    write_table(folder, f"train/{below}metadata.csv", [("file_name", "label"), *list_rows(train, with_suffix=True)])
    if archive == "all.zip":
        folder.file("train/data/readme.md")
    pack(folder, archive, "train")
    truth = finish(folder, train)
    return replace(truth, train={f"{archive}/{path.removeprefix('train/')}": label for path, label in train.items()})


def pack(folder: Folder, archive: str, below: str) -> None:
    """Move what lies in a folder into an archive."""
    with zipfile.ZipFile(folder.root / archive, "w") as file:
        for path in sorted((folder.root / below).rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder.root / below))
    shutil.rmtree(folder.root / below)


@kind("a table at the top that names images in folders", variants=["data/metadata.csv", "metadata.parquet", "list.tsv"])
def metadata_above(folder: Folder, name: str) -> Truth:
    above = name.rpartition("/")[0]
    train = fill(folder, below=f"{above}/train/".lstrip("/"))
    rows = [(f"train/{file}", label) for file, label in list_rows(train, with_suffix=True)]
    write_table(folder, name, [("file_name", "label"), *rows])
    return finish(folder, train, name)
