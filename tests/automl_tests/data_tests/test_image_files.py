"""Which files are images, and which image an id names."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from automl.data.images import ImageLookup, find_images, without_suffix
from automl.errors import DataError
from tests.automl_tests.data_tests.small_competitions import put_images


def test_images_are_found_by_extension_in_any_case_and_parted_by_folder(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.JPG", "Train2/b.tif", "test1/c.webp", "imgs/train/x/d.png", "extra/e.gif", "f.jpeg"])
    (tmp_path / "train" / "notes.txt").write_text("no image")
    files = find_images(tmp_path)
    assert files.train == ("Train2/b.tif", "imgs/train/x/d.png", "train/a.JPG")
    assert files.test == ("test1/c.webp",)
    assert files.other == ("extra/e.gif", "f.jpeg")
    assert files.n_images == 6


def test_hidden_files_other_systems_litter_and_our_own_runs_are_no_images(tmp_path: Path) -> None:
    litter = ["__MACOSX/._a.jpg", ".ipynb_checkpoints/a.png", "automl_runs/s/a.png", "train/._a.png", "train/.b.png"]
    put_images(tmp_path, ["train/a.png", *litter])
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"x")
    assert find_images(tmp_path).train == ("train/a.png",)
    assert find_images(tmp_path).n_images == 1


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match="holds no images"):
        find_images(tmp_path)


def test_links_inside_the_folder_are_followed_to_files_and_never_in_circles(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png"])
    (tmp_path / "train" / "b.png").symlink_to(tmp_path / "train" / "a.png")
    (tmp_path / "train" / "again").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "circle.png").symlink_to("circle.png")
    (tmp_path / "train" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "train" / "pipe.png")
    assert find_images(tmp_path).train == ("train/a.png", "train/b.png")


@pytest.mark.parametrize("target", ["outside", "outside/secret.png"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    put_images(tmp_path, ["root/train/a.png", "outside/secret.png"])
    link = tmp_path / "root" / "train" / ("b.png" if target.endswith("png") else "more")
    link.symlink_to(tmp_path / target)
    with pytest.raises(DataError, match=r"train/(b\.png|more) is a link that leads out of"):
        find_images(tmp_path / "root")


def test_a_name_that_is_no_text_is_refused_and_shown_escaped(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png"])
    (tmp_path / "train" / "a.png").rename(tmp_path / "train" / os.fsdecode(b"\xff\xfe.png"))
    with pytest.raises(DataError, match="not UTF-8 text") as caught:
        find_images(tmp_path)
    assert caught.value.problem.isprintable()


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
    assert lookup.candidates(image_id) == ([] if image is None else [image])


def test_the_first_set_of_images_that_has_the_id_decides() -> None:
    lookup = ImageLookup(["train/1.png"], ["other/1.png", "other/2.png"])
    assert lookup.candidates("1") == ["train/1.png"]
    assert lookup.candidates("2") == ["other/2.png"]


def test_an_id_that_fits_several_images_is_ambiguous_and_one_that_fits_none_is_missing() -> None:
    joined = ImageLookup(["train/a/1.png", "train/b/1.png", "train/2.png"]).join(["1", "2", "3"])
    assert joined.names == (None, "train/2.png", None)
    assert joined.missing == ("3",)
    assert joined.ambiguous == ("1 (train/a/1.png, train/b/1.png)",)


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    on_disk = unicodedata.normalize("NFD", "train/caf\u00e9.png")
    assert ImageLookup([on_disk]).candidates("caf\u00e9") == [on_disk]


def test_only_an_image_extension_is_cut_off() -> None:
    assert [without_suffix(name) for name in ("a.b.JPG", "1.2.3", "jpg", "a.txt")] == ["a.b", "1.2.3", "jpg", "a.txt"]
