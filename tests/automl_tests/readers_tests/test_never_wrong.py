"""However a table or a folder says what an image is, no image is ever read beside the label of another one.

A world is drawn first: files and the label of each. It is then written in one of the ways in which people write such
things, with oddities; what the product makes of it must be the world, or an error for the user.
"""

from __future__ import annotations

import csv
import io
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, event, given, settings

from automl.errors import AutomlError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task

World = dict[str, str]  # the label of each training image, by its path
Tables = dict[str, bytes]
LABELS = [
    ("cat", "dog"),
    ("0", "1"),
    ("a", "b", "c"),
    ("fresh apple", "rotten apple"),
    ("caf\u00e9", "th\u00e9"),
    ("1", "2", "3"),
]
FOLDERS = ["train", "train/part1", "images", "data/train", "train/b2", "Training"]
STEMS: list[Callable[[int], str]] = [
    str,
    lambda number: f"{number:04d}",
    lambda number: f"img_{number}",
    lambda number: f"{number:x}f",
    lambda number: f"a b {number}",
    lambda number: f"1.2.{number}",
]
WAYS: dict[str, Callable[[str], str]] = {
    "path": lambda path: path,
    "name": lambda path: path.rpartition("/")[2],
    "stem": lambda path: path.rpartition("/")[2].rpartition(".")[0],
    "lost zeros": lambda path: path.rpartition("/")[2].rpartition(".")[0].lstrip("0") or "0",
    "float": lambda path: f"{path.rpartition('/')[2].rpartition('.')[0].lstrip('0') or '0'}.0",
    "windows": lambda path: "C:\\data\\" + path.replace("/", "\\"),
    "backslashes": lambda path: path.replace("/", "\\"),
    "another machine": lambda path: f"/kaggle/input/x/{path}",
    "address": lambda path: "file:///home/x/" + urllib.parse.quote(path),
    "upper case": lambda path: path.rpartition("/")[2].upper(),
    "another format": lambda path: path.rpartition("/")[2].rpartition(".")[0] + ".tif",
}


def write_table(rows: list[list[str]], *, delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(encoding)


@st.composite
def tables(draw: st.DrawFn) -> tuple[World, set[str], Tables]:
    """Training images in a few folders, and a table that says what they are."""
    classes, make_stem = draw(st.sampled_from(LABELS)), draw(st.sampled_from(STEMS))
    folders = draw(st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=2, unique=True))
    numbers = draw(st.lists(st.integers(0, 120), min_size=12, max_size=20, unique=True))
    suffix = draw(st.sampled_from([".png", ".jpg", ".JPG"]))
    paths = [f"{folders[place % len(folders)]}/{make_stem(number)}{suffix}" for place, number in enumerate(numbers)]
    world = {path: classes[draw(st.integers(0, len(classes) - 1))] for path in paths}
    world[paths[0]], world[paths[1]] = classes[0], classes[1]
    say = WAYS[draw(st.sampled_from(sorted(WAYS)))]
    columns = {"id": [say(path) for path in paths], "label": list(world.values())}
    order = list(range(len(paths)))
    extra = draw(st.sets(st.sampled_from(["row", "filename", "number", "patient", "blank"])))
    if "row" in extra:
        columns = {draw(st.sampled_from(["", "index", "Unnamed: 0"])): [str(row) for row in order]} | columns
    if "filename" in extra:  # then the id is another image's number, as where it only counts the rows
        columns["id"] = [str(draw(st.integers(0, 200))) if draw(st.booleans()) else str(row) for row in order]
        columns["id"] = columns["id"] if len(set(columns["id"])) == len(order) else [str(row) for row in order]
        columns["filename"] = [WAYS["name"](path) for path in paths]
    if "number" in extra:
        columns["width"] = [str(100 + row) for row in order]
    if "patient" in extra:
        columns["patient_id"] = [f"p{row // 2}" for row in order]
    names = draw(st.permutations(sorted(columns)))
    rows = [list(names), *([columns[name][row] for name in names] for row in draw(st.permutations(order)))]
    rows += [[""] * len(names)] * draw(st.integers(0, 3)) if "blank" in extra else []
    files = {*world}
    test = draw(st.sampled_from([0, 4]))
    test_names = [f"test/{make_stem(200 + number)}{suffix}" for number in range(test)]
    files |= {*test_names}
    if draw(st.booleans()):  # the same names in the test
        files |= {f"test/{path.rpartition('/')[2]}" for path in paths[:2]}
    delimiter = draw(st.sampled_from([",", ",", ";", "\t"]))
    content = write_table(rows, delimiter=delimiter, encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    written = {draw(st.sampled_from(["train.csv", "labels.csv", "data.csv", "train/metadata.csv"])): content}
    if test and draw(st.booleans()):
        sample = [["id", "label"], *([WAYS["name"](name), classes[0]] for name in test_names)]
        written["sample_submission.csv"] = write_table(sample)
    return world, files, written


@st.composite
def class_folders(draw: st.DrawFn) -> tuple[World, set[str], Tables]:
    """A folder for each class, below folders that mean something else, with files beside them."""
    classes = draw(st.sampled_from([*LABELS, ("bus", "train", "car"), ("kidney", "testis", "liver")]))
    above = draw(
        st.sampled_from(["", "train/", "data/train/", "data/data/", "seg_train/seg_train/", "p{}/", "train/s{}/"])
    )
    below = draw(st.sampled_from(["", "", "images/", "x/"]))
    world = {}
    for number in range(draw(st.integers(12, 24))):
        label = classes[number % len(classes)]
        world[f"{above.format(number // len(classes))}{label}/{below}a{number}.png"] = label
    stray = draw(st.sampled_from([[], [f"{above.partition('{')[0]}overview.png"], ["@eaDir/cat/x.png"]]))
    test = draw(st.sampled_from([[], ["test/t1.png", "test/t2.png"], ["unlabeled/u1.png"]]))
    return world, {*world, *stray, *test}, {}


@st.composite
def names(draw: st.DrawFn) -> tuple[World, set[str], Tables]:
    """Labels in the names of the files."""
    classes = draw(st.sampled_from([("cat", "dog"), ("american_bulldog", "pug", "great_pyrenees"), ("Cat", "dog")]))
    pattern = draw(st.sampled_from(["{label}.{n}.jpg", "{label}_{n}.jpg", "{n}_{label}.jpg", "{label} ({n}).jpg"]))
    folder = draw(st.sampled_from(["train/", "images/", ""]))
    world = {
        folder + pattern.format(label=classes[n % len(classes)], n=n): classes[n % len(classes)]
        for n in range(draw(st.integers(12, 24)))
    }
    test = draw(st.sampled_from([[], ["test/1.jpg", "test/2.jpg"]]))
    return world, {*world, *test}, {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("worlds", "least"),
    [(tables(), 0.5), (class_folders(), 0.5), (names(), 0.7)],
    ids=["tables", "folders", "names"],
)
def test_no_image_is_read_beside_the_label_of_another(
    worlds: st.SearchStrategy[tuple[World, set[str], Tables]], least: float
) -> None:
    read: list[bool] = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(drawn=worlds)
    def check(drawn: tuple[World, set[str], Tables]) -> None:
        world, files, written = drawn
        with tempfile.TemporaryDirectory() as place:
            root = Path(place) / "folder"
            for name in [*files, *written]:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(written.get(name, b""))
            read.append(compare(root, world))

    check()
    assert sum(read) >= least * len(read), f"{sum(read)} of {len(read)} were read"


def compare(root: Path, world: World) -> bool:
    """Require the world, or an error for the user; return whether the folder was read."""
    try:
        found = read_competition(root, CompetitionSettings())
    except AutomlError as error:
        event(f"refused: {error.problem[:60]}")
        assert error.hint
        assert "\n" not in error.problem
        return False
    if found.task is Task.REGRESSION:  # whole numbers, told so
        read = {path: f"{value[0]:g}" for path, value in zip(found.image_paths, found.targets, strict=True)}
    else:
        read = {path: found.classes[int(target)] for path, target in zip(found.image_paths, found.targets, strict=True)}
    for path, label in read.items():
        name = path.relative_to(found.root).as_posix()
        assert world.get(name) == label, (name, label, found.evidence)
    return True
