"""Several label columns, each with classes of its own: a column or a row of the submission for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind

N_TRAIN = 24
TEST = [f"t{number}" for number in range(4)]
COLOURS, SHAPES = ("red", "green", "blue"), ("square", "disc")
ROWS = [(COLOURS[number % 3], SHAPES[number % 2]) for number in range(N_TRAIN)]


def name_images() -> list[str]:
    return [f"train/a{number}.png" for number in range(N_TRAIN)]


def put_wide(folder: Folder, columns: Mapping[str, Sequence[object]], *, others: Sequence[str] = ()) -> None:
    """Training images, and their table with a column for each head."""
    folder.image(*name_images())
    rows = [
        [f"a{number}", *(cells[number] for cells in columns.values()), *(f"{name}{number}" for name in others)]
        for number in range(N_TRAIN)
    ]
    folder.csv("train.csv", ["id", *columns, *others], rows)


def put_long_sample(folder: Folder, heads: Sequence[str], values: Sequence[object], *, sign: str = "_") -> list[str]:
    """Test images, and a sample with a row for each image and head."""
    images = [f"test/{own}.png" for own in TEST]
    folder.image(*images)
    rows = [[f"{own}{sign}{head}", value] for own in TEST for head, value in zip(heads, values, strict=True)]
    folder.csv("sample_submission.csv", ["row_id", "target"], rows)
    return images


def join(*columns: Sequence[object]) -> dict[str, str]:
    return {
        path: "|".join(str(cell) for cell in cells)
        for path, cells in zip(name_images(), zip(*columns, strict=True), strict=True)
    }


def columns_of(rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    return [list(column) for column in zip(*rows, strict=True)]


@kind("a column for each of two heads")
def wide(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    folder.image(*(f"test/{own}.png" for own in TEST))
    folder.csv("sample_submission.csv", ["id", "color", "shape"], [[own, "red", "disc"] for own in TEST])
    return Read(
        train=join(colours, shapes),
        test=[f"test/{own}.png" for own in TEST],
        task="multioutput",
        submission_kind="label",
        columns=["id", "color", "shape"],
        classes=["color=blue", "color=green", "color=red", "shape=disc", "shape=square"],
        says=("in a column for each of 2 heads", "classes of color: 3", "classes of shape: 2"),
    )


@kind("heads in another order than the sample's, with a column between that is none")
def reordered(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes}, others=["note"])
    folder.image(*(f"test/{own}.png" for own in TEST))
    folder.csv("sample_submission.csv", ["id", "shape", "color"], [[own, "disc", "red"] for own in TEST])
    return Read(train=join(shapes, colours), task="multioutput", columns=["id", "shape", "color"])


@kind("a row for each of three heads", variants=["_", "__"])
def long_rows(folder: Folder, sign: str) -> Truth:
    roots, vowels = [str(number % 7) for number in range(N_TRAIN)], [str(number % 3) for number in range(N_TRAIN)]
    signs = ["none" if number % 4 else "dot" for number in range(N_TRAIN)]
    put_wide(folder, {"root": roots, "vowel_class": vowels, "sign": signs}, others=["grapheme"])
    put_long_sample(folder, ["vowel_class", "root", "sign"], [0, 0, "none"], sign=sign)
    return Read(
        train=join(vowels, roots, signs),
        test=[f"test/{own}.png" for own in TEST],
        task="multioutput",
        submission_kind="label",
        columns=["row_id", "target"],
        says=("in a row for each of 3 heads",),
    )


@kind("a row for each head in training too")
def long_both(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    folder.image(*name_images())
    rows = [
        [f"a{number}_{head}", label]
        for number in range(N_TRAIN)
        for head, label in zip(("color", "shape"), ROWS[number], strict=True)
    ]
    folder.csv("train.csv", ["row_id", "target"], rows)
    put_long_sample(folder, ["color", "shape"], ["red", "disc"])
    return Read(train=join(colours, shapes), task="multioutput", submission_kind="label")


@kind("a test table that names image and head of each row")
def stated(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    put_long_sample(folder, ["color", "shape"], ["red", "disc"], sign="-")
    folder.csv(
        "test.csv",
        ["row_id", "image_id", "component"],
        [[f"{own}-{head}", own, head] for own in TEST for head in ("color", "shape")],
    )
    return Read(train=join(colours, shapes), task="multioutput", submission_kind="label")


@kind("heads of whole numbers", variants=["few", "two of them"])
def numbers(folder: Folder, variant: str) -> Truth:
    first = [str(number % 5) for number in range(N_TRAIN)]
    second = [str(number % (2 if variant == "two of them" else 4)) for number in range(N_TRAIN)]
    put_wide(folder, {"digit": first, "style": second})
    folder.image(*(f"test/{own}.png" for own in TEST))
    folder.csv("sample_submission.csv", ["id", "digit", "style"], [[own, number, 0] for number, own in enumerate(TEST)])
    return Read(
        train=join(first, second),
        task="multioutput",
        classes=[*(f"digit={own}" for own in range(5)), *(f"style={own}" for own in sorted(set(second)))],
        says=("--task regression",),
    )


@kind("whole numbers that may be counts or classes")
def counts(folder: Folder) -> Truth:
    first = [str((number * 7) % 23 * 3) for number in range(N_TRAIN)]
    second = [str(number % 5) for number in range(N_TRAIN)]
    put_wide(folder, {"count": first, "style": second})
    folder.sample(TEST, value=0, header=["id", "count", "style"])
    return Refused(says=("classes or values", "--task multioutput", "--task regression"))


@kind("whole numbers that may be counts or classes, and the word for classes", flags=["--task", "multioutput"])
def counts_asked(folder: Folder) -> Truth:
    first, second = [str((n * 7) % 23 * 3) for n in range(N_TRAIN)], [str(n % 5) for n in range(N_TRAIN)]
    put_wide(folder, {"count": first, "style": second})
    folder.sample(TEST, value=0, header=["id", "count", "style"])
    return Read(train=join(first, second), task="multioutput")


@kind("two yes and no heads, scored by accuracy", flags=["--metric", "accuracy"])
def yes_and_no(folder: Folder) -> Truth:
    first, second = [str(n % 2) for n in range(N_TRAIN)], [str(int(n % 3 == 0)) for n in range(N_TRAIN)]
    put_wide(folder, {"is_round": first, "is_red": second})
    folder.sample(TEST, value=0, header=["id", "is_round", "is_red"])
    return Read(train=join(first, second), task="multioutput", says=("because of the metric accuracy",))


@kind("a head of which all images have one label")
def constant(folder: Folder) -> Truth:
    colours, _ = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": ["disc"] * N_TRAIN})
    folder.sample(TEST, value="", header=["id", "color", "shape"])
    return Read(train=join(colours, ["disc"] * N_TRAIN), task="multioutput", says=("nothing is learnt of it",))


@kind("labels of a head that the sample names and training has not")
def unseen(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    folder.image(*(f"test/{own}.png" for own in TEST))
    named = [[own, ("red", "violet")[number % 2], "disc"] for number, own in enumerate(TEST)]
    folder.csv("sample_submission.csv", ["id", "color", "shape"], named)
    return Read(train=join(colours, shapes), says=("violet in sample_submission.csv is no training label of color",))


@kind("a sample whose values are no label of any head")
def other_labels(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    folder.sample(TEST, value="7", header=["id", "color", "shape"])
    return Refused(says=("holds 7 for color", "blue, green, red", "--task multioutput"))


@kind("a head that lacks a label")
def blank(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": ["", *shapes[1:]]})
    folder.sample(TEST, value="red", header=["id", "color", "shape"])
    return Refused(says=("no label of a0 in column shape",))


@kind("names beside measurements")
def measured(folder: Folder) -> Truth:
    colours, _ = columns_of(ROWS)
    put_wide(folder, {"color": colours, "weight": [f"{n / 7:.3f}" for n in range(1, N_TRAIN + 1)]})
    folder.sample(TEST, value="", header=["id", "color", "weight"])
    return Refused(says=("some with names and some with measurements", "--label"))


@kind("several heads without a sample", flags=["--label", "shape,color"])
def without_sample(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    images = [f"test/{own}.png" for own in TEST]
    folder.image(*images)
    return Read(train=join(shapes, colours), test=images, task="multioutput", submission_kind="label")


@kind("one column, asked for as several heads", flags=["--task", "multioutput"])
def single(folder: Folder) -> Truth:
    folder.image(*name_images())
    folder.csv("train.csv", ["id", "label"], [[f"a{n}", COLOURS[n % 3]] for n in range(N_TRAIN)])
    folder.sample(TEST, value="red")
    return Refused(says=("the labels are of label",))


@kind("one test image with a row for each of three heads")
def one_test_image(folder: Folder) -> Truth:
    roots, vowels, signs = ([str(number % n) for number in range(N_TRAIN)] for n in (5, 3, 4))
    put_wide(folder, {"grapheme_root": roots, "vowel_sign": vowels, "consonant_sign": signs})
    folder.image("test/Test_0.png")
    heads = ["consonant_sign", "grapheme_root", "vowel_sign"]
    folder.csv("sample_submission.csv", ["row_id", "target"], [[f"Test_0_{head}", 0] for head in heads])
    return Read(train=join(signs, roots, vowels), test=["test/Test_0.png"], task="multioutput", submission_kind="label")


@kind("heads and labels that the sample writes in capitals")
def capitals(folder: Folder) -> Truth:
    colours, shapes = columns_of(ROWS)
    put_wide(folder, {"color": colours, "shape": shapes})
    folder.image(*(f"test/{own}.png" for own in TEST))
    named = [[own, COLOURS[number % 3].upper(), "DISC"] for number, own in enumerate(TEST)]
    folder.csv("sample_submission.csv", ["id", "Color", "Shape"], named)
    upper = [[label.upper() for label in column] for column in (colours, shapes)]
    return Read(train=join(*upper), task="multioutput", says=("blue as BLUE",))


@kind("ages and weights, which are values")
def values(folder: Folder) -> Truth:
    ages, weights = [3 * n + 20 for n in range(N_TRAIN)], [7 * n % 40 + 50 for n in range(N_TRAIN)]
    put_wide(folder, {"age": ages, "weight": weights})
    folder.sample(TEST, value=0, header=["id", "age", "weight"])
    return Read(train=join(ages, weights), task="regression", says=("--task multioutput",))


@kind("a column of 0 and 1 beside one of names")
def mixed(folder: Folder) -> Truth:
    colours, rounds = columns_of(ROWS)[0], [str(number % 2) for number in range(N_TRAIN)]
    put_wide(folder, {"is_round": rounds, "color": colours})
    folder.image(*(f"test/{own}.png" for own in TEST))
    folder.csv("sample_submission.csv", ["id", "is_round", "color"], [[own, 0, "red"] for own in TEST])
    return Read(train=join(rounds, colours), task="multioutput", submission_kind="label")


@kind("findings of which some are uncertain", variants=["-1", "-1.0", "-1 nearly everywhere"])
def uncertain(folder: Folder, variant: str) -> Truth:
    unknown, _, often = variant.partition(" ")
    first = [("1", "0", unknown)[2 if often and number > 2 else number % 3] for number in range(N_TRAIN)]
    put_wide(folder, {"edema": first, "cardiomegaly": [str(number % 2) for number in range(N_TRAIN)]})
    folder.sample(TEST, value=0, header=["id", "edema", "cardiomegaly"])
    return Refused(says=(f"is {unknown}, neither 0 nor 1",))
