"""Which image an id names."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from automl.files.id_forms import clean_text, drop_zeros, get_stem
from automl.files.image_index import ImageLookup


@pytest.mark.parametrize(
    ("image_id", "image"),
    [
        ("train/x/a.png", "train/x/a.png"),
        ("x/a.png", "train/x/a.png"),
        ("a.png", "train/x/a.png"),
        ("a", "train/x/a.png"),
        (" a ", "train/x/a.png"),
        ("a.jpg", "train/x/a.png"),
        ("1.2.826.0", "train/1.2.826.0.png"),
        ("00012", "train/00012.png"),
        ("12", None),
        ("A", None),
        ("", None),
        (".png", None),
        ("../train/x/a.png", None),
        ("/etc/passwd", None),
        ("a\0", None),
    ],
)
def test_an_id_is_a_path_then_a_file_name_then_a_name_without_extension(image_id: str, image: str | None) -> None:
    lookup = ImageLookup(["train/x/a.png", "train/1.2.826.0.png", "train/00012.png"])
    assert lookup.find(image_id) == ([] if image is None else [image])


def test_the_first_set_of_images_that_has_the_id_decides() -> None:
    lookup = ImageLookup(["train/1.png"], ["other/1.png", "other/2.png"])
    assert lookup.find("1") == ["train/1.png"]
    assert lookup.find("2") == ["other/2.png"]


def test_an_id_that_fits_several_images_is_ambiguous_and_one_that_fits_none_is_missing() -> None:
    matched = ImageLookup(["train/a/1.png", "train/b/1.png", "train/2.png"]).match(["1", "2", "3"])
    assert matched.names == (None, "train/2.png", None)
    assert matched.missing == ("3",)
    assert matched.ambiguous == ("1 (train/a/1.png, train/b/1.png)",)


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    on_disk = unicodedata.normalize("NFD", "train/caf\u00e9.png")
    assert ImageLookup([on_disk]).find("caf\u00e9") == [on_disk]


@pytest.mark.parametrize("image_id", ["train/IDx.jpg", "train/IDx", "IDx.jpg", "IDx", "train.zip/train/IDx.jpg"])
def test_a_path_may_begin_at_the_archive_or_in_it(image_id: str) -> None:
    assert ImageLookup(["train.zip/train/IDx.jpg"]).find(image_id) == ["train.zip/train/IDx.jpg"]


@pytest.mark.parametrize("image_id", ["000/01/7.jpg", "000/01/7", "000/01/7.jpeg"])
def test_a_path_without_or_with_another_extension_names_its_image(image_id: str) -> None:
    images = ["train_images/000/01/7.jpg", "train_images/000/02/7.jpg"]
    assert ImageLookup(images).find(image_id) == images[:1]


def test_of_one_image_in_several_formats_the_common_one_is_taken_and_that_is_said() -> None:
    images = [f"train-{kind}/{number}.{kind}" for kind in ("jpg", "tif") for number in range(3)]
    matched = ImageLookup(images).match(["0", "1", "2"])
    assert matched.names == ("train-jpg/0.jpg", "train-jpg/1.jpg", "train-jpg/2.jpg")
    assert matched.notes == ("images: .jpg taken where there is a .tif of the same name (3 ids)",)
    assert ImageLookup(images).match(["0.tif", "train-tif/1"]).names == ("train-tif/0.tif", "train-tif/1.tif")
    assert ImageLookup(images).match(["0.tif"]).notes == ()


def test_an_extension_in_other_case_is_the_one_that_was_asked_for() -> None:
    assert ImageLookup(["train/a.JPG", "train/a.png"]).find("a.jpg") == ["train/a.JPG"]
    assert ImageLookup(["train/a.JPG", "train/a.PNG"]).find("a.png") == ["train/a.PNG"]


def test_two_images_of_one_format_stay_ambiguous_beside_a_third_of_another() -> None:
    matched = ImageLookup(["a/1.jpg", "b/1.jpg", "c/1.tif"]).match(["1"])
    assert matched.ambiguous == ("1 (a/1.jpg, b/1.jpg)",)
    assert matched.notes == ()


def test_the_same_name_in_the_folder_of_each_class_is_told_apart_by_its_path() -> None:
    lookup = ImageLookup(["Cover/00001.jpg", "UERD/00001.jpg"])
    assert lookup.find("Cover/00001.jpg") == ["Cover/00001.jpg"]
    assert lookup.find("UERD/00001") == ["UERD/00001.jpg"]
    assert len(lookup.find("00001.jpg")) == 2


def test_a_thumbnail_goes_before_the_full_image() -> None:
    images = ["train_images/4.png", "train_images/41.png", "train_thumbnails/41_thumbnail.png"]
    matched = ImageLookup(images).match(["41", "4"])
    assert matched.names == ("train_thumbnails/41_thumbnail.png", "train_images/4.png")
    assert matched.notes == ("images: _thumbnail files taken where there is a full image of the same name (1 id)",)
    assert ImageLookup(images[1:]).find("train_images/41.png") == ["train_images/41.png"]
    assert ImageLookup(images[2:]).match(["41"]).notes == ()


def test_a_file_for_each_colour_is_one_image() -> None:
    colours = ("blue", "green", "red", "yellow")
    images = [f"train/{name}_{colour}.png" for name in ("ab-1", "ab-2") for colour in colours]
    matched = ImageLookup([*images, "train/ab-3_red.png"]).match(["ab-1", "ab-2", "ab-3", "ab-1_red"])
    both = tuple(f"train/{name}_{{red,green,blue,yellow}}.png" for name in ("ab-1", "ab-2"))
    assert matched.names == (*both, None, "train/ab-1_red.png")
    assert matched.missing == ("ab-3",)
    assert matched.notes == (
        "images: a gray file for each colour (red, green, blue, yellow), together one RGB image, "
        "half of the yellow added to red and to green (2 ids)",
    )
    three = [name for name in images if "yellow" not in name]
    assert ImageLookup(three).find("ab-2") == ["train/ab-2_{red,green,blue}.png"]
    assert ImageLookup(images[:2]).find("ab-1") == []


def test_colours_in_two_formats_are_taken_in_the_common_one() -> None:
    images = [f"train/x_{colour}.{suffix}" for colour in ("red", "green", "blue") for suffix in ("tif", "png")]
    assert ImageLookup(images).find("x") == ["train/x_{red,green,blue}.png"]


def test_a_file_goes_before_a_member_of_an_archive() -> None:
    matched = ImageLookup(["data/train/1.jpg", "train.zip/train/1.jpg", "train.zip/train/2.jpg"]).match(["1", "2"])
    assert matched.names == ("data/train/1.jpg", "train.zip/train/2.jpg")
    assert matched.notes == ("images: files taken where an archive has an image of the same name (1 id)",)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("slug/train/x/1.jpg", ["train/x/1.jpg"]),  # the first folder is of another machine
        ("/kaggle/input/slug/train/x/1", ["train/x/1.jpg"]),
        ("more/x/2.jpg", ["extra/more/x/2.jpg"]),  # the first folders are not said
        ("test/x/1.jpg", []),  # a folder that is missing: not the image of that name below another one
        ("slug/test/x/1.jpg", []),
        ("y/1.jpg", []),
    ],
)
def test_a_path_may_begin_elsewhere_but_never_leads_to_another_folder(wanted: str, found: list[str]) -> None:
    assert ImageLookup(["train/x/1.jpg"], ["extra/more/x/2.jpg"]).find(wanted) == found


N = range(24)
PADDED = [f"train/{number:04d}.png" for number in N]
NAMED = [f"train/a{number:03d}.png" for number in N]


@pytest.mark.parametrize(
    ("write", "images", "note"),
    [
        (lambda n: str(n), PADDED, "by number, 0 is 0000.png (24 ids)"),
        (lambda n: f"{n}.0", PADDED, "by number, 0.0 is 0000.png (24 ids)"),
        (lambda n: f"{n}.", PADDED, "by number"),
        (lambda n: f"{n}.png", PADDED, "by number, 0.png is 0000.png"),
        (lambda n: f"{n:06d}", PADDED, "by number, 000000 is 0000.png"),
        (lambda n: f"{n:04d}", [f"train/{n}.png" for n in N], "by number, 0000 is 0.png"),
        (lambda n: f"train\\{n}", PADDED, "by number, train\\0 is train/0000.png"),
        (lambda n: f"{n + 1000:,}", [f"train/{n + 1000:06d}.png" for n in N], "by number, 1,000 is 001000.png"),
        (lambda n: f"train\\a{n:03d}.png", NAMED, "as plain paths, train\\a000.png is train/a000.png (24 ids)"),
        (lambda n: f".\\train\\a{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"./train//a{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"C:\\data\\train\\a{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"C:/data/train/a{n:03d}", NAMED, ""),
        (lambda n: f"\\\\?\\C:\\data\\train\\a{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"\\\\server\\share\\train\\a{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"C:\\Data\\Train\\A{n:03d}.PNG", NAMED, "in other case"),
        (lambda n: f"file:///C:/data/train/a{n:03d}.png", NAMED, ""),
        (lambda n: f"file:///data/train/a%20{n}.png", [f"train/a {n}.png" for n in N], "as plain paths"),
        (lambda n: f"https://x.org/train/a{n:03d}.png?raw=1", NAMED, "as plain paths"),
        (lambda n: f"gs://bucket/x/train/a{n:03d}.png", NAMED, ""),
        (lambda n: f"s3://bucket/x/train/a{n:03d}.png", NAMED, ""),
        (lambda n: f"../input/x/train/a{n:03d}.png", NAMED, "as paths from elsewhere"),
        (lambda n: f"D:\\photos\\a{n:03d}.png", NAMED, "by file name alone, D:\\photos\\a000.png is train/a000.png"),
        (lambda n: f"images/a{n:03d}", NAMED, "by file name alone"),
        (lambda n: f"A{n:03d}.PNG", NAMED, "in other case, A000.PNG is a000.png"),
        (lambda n: f'"a{n:03d}.png"', NAMED, "as plain paths"),
        (lambda n: f"\ufeffa{n:03d}.png", NAMED, "as plain paths"),
        (lambda n: f"a{n:03d}.png.", NAMED, "as plain paths"),
        (lambda n: f"a%20{n}.jpg", [f"train/a {n}.jpg" for n in N], "by URL decoding, a%200.jpg is a 0.jpg"),
        (lambda n: f"a+{n}.jpg", [f"train/a {n}.jpg" for n in N], "by URL decoding"),
        (lambda n: f"a {n}.jpg", [f"train/a%20{n}.jpg" for n in N], "by URL decoding"),
        (lambda n: f"\uff21{n}.png", [f"train/A{n}.png" for n in N], "in another Unicode form"),
        (lambda n: f"Caf\u00c9%20{n}", [f"train/cafe\u0301 {n}.png" for n in N], "but for case, Unicode form and"),
        (lambda n: f"p{n}", [f"train/p{n}/image.png" for n in N], "by folder, p0 is train/p0/image.png (24 ids)"),
        (lambda n: f"a/p{n}", [f"train/a/p{n}/x/y/image.png" for n in N], "by folder"),
        (lambda n: f"P{n}", [f"train/p{n}/image.png" for n in N], "by folder but for case"),
        (lambda n: f"{n}.0", [f"train/{n:03d}/image.png" for n in N], "by the number of a folder"),
    ],
)
def test_ids_that_are_written_otherwise_are_matched_together_and_that_is_told(
    write: Callable[[int], str], images: list[str], note: str
) -> None:
    matched = ImageLookup(images, ["extra/other.png"]).match([write(n) for n in N])
    assert matched.names == tuple(images)
    assert [note in line for line in matched.notes] == ([True] if note else [])
    assert matched.n_found == len(N)
    assert matched.strength > 0


@pytest.mark.parametrize(
    ("ids", "images"),
    [
        ([str(n + 1) for n in N], PADDED),  # counted from 1, files from 0
        ([str(n) for n in N], [f"train/{n + 1:04d}.png" for n in N]),
        ([f"{n}.5" for n in N], PADDED),
        (["0.5", *(f"{n}.0" for n in N)], PADDED),
        (["0007", *map(str, range(8, 24))], [f"train/{n}.0.png" for n in N]),  # no program pads so
        ([str(n) for n in N], [*PADDED, *(f"train/x/{n:05d}.png" for n in N)]),
        ([str(n) for n in N], [*(f"a/{n:04d}.png" for n in N), *(f"b/{n:04d}.png" for n in N)]),  # train and test
        ([f"val/a{n:03d}.png" for n in N], NAMED),
        ([f"test/a{n:03d}.png" for n in N], NAMED),
        ([f"{'cat' if n % 2 else 'dog'}/a{n:03d}.png" for n in N], NAMED),  # folders that may be classes
        ([f"p{n}" for n in N], [f"train/p{n}/{name}.png" for n in N for name in ("left", "right")]),
        ([f"A{n}" for n in N] + [f"a{n}" for n in N], [f"train/a{n}.png" for n in N]),
        (["a", "b", "c", *(f"C:\\x\\{n}" for n in N)], [f"{n}.jpg" for n in range(3)]),
    ],
)
def test_ids_that_fit_by_chance_alone_name_nothing(ids: list[str], images: list[str]) -> None:
    exact = [image if image else None for image in (next(iter(ImageLookup(images).find(one)), None) for one in ids)]
    assert ImageLookup(images).match(ids).names == tuple(exact)


def test_a_stray_folder_or_number_is_not_taken_for_the_image_of_an_id_among_others_that_are_names() -> None:
    images = [*NAMED, "train/12/stray.png", "train/0013.png"]
    for missing in ("12", "13"):
        assert ImageLookup(images).match([*(f"a{n:03d}" for n in N), missing]).missing == (missing,)


def test_numbers_are_not_looked_for_in_the_second_set_of_images() -> None:
    assert ImageLookup(["train/a.png"], ["val/0000.png", "val/0001.png"]).match(["0", "1"]).n_found == 0


def test_numbers_may_go_on_in_the_second_set_of_images_where_most_are_in_the_first() -> None:
    train, test = PADDED[:16], [image.replace("train", "test") for image in PADDED[16:]]
    assert ImageLookup(train, test).match([str(n) for n in N]).names == (*train, *test)
    assert ImageLookup(test, train).match([str(n) for n in N]).n_found == 0
    assert ImageLookup(train, ["test/0003.png", *test]).match([str(n) for n in N]).names[3] is None


def test_an_id_that_names_its_image_keeps_it() -> None:
    images = ["train/10.png", "train/010.png", "train/0007.png"]
    matched = ImageLookup(images).match(["10", "010", "7"])
    assert matched.names == (*images[:2], None)  # no program pads 010 and 7 alike
    assert ImageLookup(images).match(["010", "0007"]).names == tuple(images[1:])
    assert ImageLookup(images[:2]).match(["10", "0010"]).names == ("train/10.png", None)


def test_the_choice_among_formats_is_told_of_ids_that_are_written_otherwise_too() -> None:
    notes = ImageLookup(["train/007.png", "train/007.jpg"]).match(["7"]).notes
    assert notes == (
        "images: .jpg taken where there is a .png of the same name (1 id)",
        "images: id matched by number, 7 is 007.jpg",
    )


def test_zeros_are_dropped_from_some_ids_as_a_spreadsheet_does() -> None:
    images = [f"images/{number:03d}.png" for number in range(90, 120)]
    matched = ImageLookup(images).match([str(number) for number in range(90, 120)])
    assert matched.names == tuple(images)
    assert matched.notes == ("images: ids matched by number, 90 is 090.png (10 ids)",)


def test_a_few_missing_images_do_not_hide_how_the_others_are_named() -> None:
    matched = ImageLookup([*PADDED[:12], *PADDED[13:]]).match([str(n) for n in N])
    assert matched.missing == ("12",)
    assert matched.names == (*PADDED[:12], None, *PADDED[13:])


def test_backslashes_are_letters_where_a_file_has_one() -> None:
    lookup = ImageLookup(["train/a\\b.png", "a/b.png"])
    assert lookup.find("a\\b.png") == ["train/a\\b.png"]
    assert lookup.find("x\\a\\b.png") == []


def test_a_fitted_lookup_finds_each_of_its_ids_and_no_other_that_is_written_so() -> None:
    lookup = ImageLookup(PADDED)
    fitted = lookup.fit(["3", "4"])
    assert (fitted.find(" 3 "), fitted.find("5"), lookup.find("3")) == (["train/0003.png"], [], [])
    assert fitted.match(["3", "4"]).notes == ("images: ids matched by number, 3 is 0003.png (2 ids)",)
    assert fitted.fit(["0005"]) is fitted


@pytest.mark.parametrize(
    ("image_id", "form", "strength"),
    [("train/7.png", "path", 5), ("7.png", "name", 4), ("a", "stem", 3), ("p", "folder", 2), ("7", "number", 1)],
)
def test_an_id_is_rated_by_how_it_names_its_image(image_id: str, form: str, strength: int) -> None:
    matched = ImageLookup(["train/7.png", "train/a.png", "train/p/image.png"]).match([image_id])
    assert (matched.form, matched.strength) == (form, strength)
    assert ImageLookup(["train/7.png"]).match(["x"]).strength == 0


def test_several_images_stand_for_an_id_by_its_folder_or_by_the_beginning_of_their_names() -> None:
    eyes = [f"train/{number}_{side}.png" for number in (1, 10) for side in ("left", "right")]
    assert ImageLookup(eyes).find_several("1") == eyes[:2]
    assert ImageLookup(eyes).match_several(["1", "10", "2"]) == (tuple(eyes[:2]), tuple(eyes[2:]), ())
    views = ["train/p1/a/x.png", "train/p1/y.png", "train/p10/z.png"]
    assert ImageLookup(views).find_several("p1") == views[:2]
    assert ImageLookup(views).match_several(["p10", "p1"]) == (("train/p10/z.png",), tuple(views[:2]))
    padded = [f"train/{number:03d}-{side}.png" for number in range(3) for side in "ab"]
    assert ImageLookup(padded).match_several(["0", "1", "2"]) == tuple(zip(padded[::2], padded[1::2], strict=True))
    assert ImageLookup(["a/x/p_1_0.jpg", "a/y/p_1_0.jpg"]).find_several("y/p_1") == ["a/y/p_1_0.jpg"]
    assert ImageLookup(eyes).find_several("") == []


def test_images_that_two_ids_claim_stand_for_neither() -> None:
    images = ["train/1_2_a.png", "train/1_3.png", "train/4_b.png"]
    assert ImageLookup(images).match_several(["1", "1_2", "4"]) == ((), (), ("train/4_b.png",))


@pytest.mark.parametrize(
    ("image_id", "nearest"),
    [("12.0", "train/0012.png"), ("A003", "train/a003.png"), ("p7", "train/p7/x.png"), ("e", "train/e_1.png")],
)
def test_the_file_that_is_called_most_like_an_id_is_shown(image_id: str, nearest: str) -> None:
    images = [*PADDED, *NAMED, "train/p7/x.png", "train/p7/y.png", "train/e_1.png", "train/e_2.png"]
    assert ImageLookup(images).find_nearest(image_id) == nearest
    assert ImageLookup(images).describe_miss(["", image_id], "train.csv") == (
        f"id {image_id} of train.csv; a file is called {nearest}"
    )


def test_without_images_no_file_is_like_an_id() -> None:
    assert ImageLookup().match(["1"]).missing == ("1",)
    assert ImageLookup().find_nearest("1") is None
    assert ImageLookup().describe_miss(["1"], "train.csv") == "id 1 of train.csv; no image is there"


REWRITINGS: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: path.rpartition("/")[2],
    get_stem,
    lambda path: str(int(get_stem(path))) if get_stem(path).isdecimal() else get_stem(path),
    lambda path: f"{int(get_stem(path))}.0" if get_stem(path).isdecimal() else get_stem(path),
    lambda path: get_stem(path).zfill(6),
    str.upper,
    lambda path: path.replace("/", "\\"),
    lambda path: "C:\\Data\\" + path.replace("/", "\\"),
    lambda path: f"file:///data/{quote(path)}",
    lambda path: f"elsewhere/{path.rpartition('/')[2]}",
    quote,
    lambda path: unicodedata.normalize("NFD", path),
    lambda path: path.rpartition("/")[0] or path,
    lambda path: f"'{path}'.",
    lambda path: get_stem(path).rpartition("_")[0] or path,
)
STEMS = st.one_of(
    st.integers(0, 120).map(str),
    st.integers(0, 120).map("{:03d}".format),
    st.text("aAbB 1_%+\u00e9\uff11", min_size=1, max_size=3).filter(lambda text: text.strip() == text),
)
PATHS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "train/", "train/a/", "train/b/", "p1/", "P1/", "1/", "01/"]),
        STEMS,
        st.sampled_from([".png", ".PNG", ".jpg"]),
    ),
)


def _is_named_so(image_id: str, image: str) -> bool:
    """Whether an id is a path's end as it is written, but for the extension and the machine before it.

    Of one image in two formats either is right.
    """
    written = unicodedata.normalize("NFC", image_id.strip().strip("'.").replace("\\", "/"))
    ends = {unicodedata.normalize("NFC", name) for name in (image, image.rpartition(".")[0])}
    stem = written.rpartition(".")[0] if written.lower().endswith((".png", ".jpg")) else written
    return any(
        f"/{end}".endswith(f"/{one}") or f"/{one}".endswith(f"/{end}") for end in ends for one in (written, stem)
    )


@settings(max_examples=1500, deadline=None)
@given(st.lists(PATHS, unique=True, min_size=1, max_size=12), st.data())
def test_no_id_gets_the_image_of_another(paths: list[str], data: st.DataObject) -> None:
    rewriting = data.draw(st.none() | st.sampled_from(REWRITINGS))
    ways = [rewriting or data.draw(st.sampled_from(REWRITINGS)) for _ in paths]
    ids = [way(path) for way, path in zip(ways, paths, strict=True)]
    matched = ImageLookup(paths).match(ids)
    for image_id, path, image in zip(ids, paths, matched.names, strict=True):
        stems = (None, path.rpartition(".")[0])
        assert (image and image.rpartition(".")[0]) in stems or _is_named_so(image_id, str(image)), (image_id, image)


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(PATHS, unique_by=lambda path: drop_zeros(clean_text(get_stem(path))), min_size=2, max_size=12), st.data()
)
def test_an_id_whose_image_is_missing_gets_no_other_one(paths: list[str], data: st.DataObject) -> None:
    rewriting = data.draw(st.sampled_from(REWRITINGS[:-3]))
    kept = data.draw(st.lists(st.sampled_from(paths), unique=True, min_size=1))
    ids = [rewriting(path) for path in paths]
    assume(len(set(ids)) == len(ids))
    for image_id, path, image in zip(ids, paths, ImageLookup(kept).match(ids).names, strict=True):
        assert image in (None, path) or _is_named_so(image_id, image), (image_id, path, image)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PATHS, unique=True, min_size=1, max_size=12), st.lists(STEMS, unique=True, max_size=12))
def test_ids_that_are_written_otherwise_have_images_of_their_own(paths: list[str], ids: list[str]) -> None:
    lookup = ImageLookup(paths)
    matched = lookup.match(ids)
    others = [
        image for one, image in zip(ids, matched.names, strict=True) if image is not None and not lookup.find(one)
    ]
    taken = [image for one in ids for image in lookup.find(one)]
    assert len(set(others)) == len(others)
    assert not set(others) & set(taken)
