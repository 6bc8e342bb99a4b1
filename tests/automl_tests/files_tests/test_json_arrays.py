"""Records with lists of numbers are images; several lists are their channels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from automl.errors import DataError
from automl.files.containers.container import NoImagesError
from automl.files.containers.json_arrays import JsonFile
from automl.files.containers.opening import open_container
from automl.files.decoding import inspect_image


def records(n: int = 3) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    bands = [{f"band_{k}": rng.normal(-20, 5, 20 * 20).round(4).tolist() for k in (1, 2)} for _ in range(n)]
    rest = [{"id": f'a"{n}{{', "inc_angle": "na" if n else 43.9, "is_iceberg": n % 2} for n in range(n)]
    return [{**one, **other} for one, other in zip(rest, bands, strict=True)]


@pytest.mark.parametrize("lines", [False, True])
def test_two_bands_are_two_channels_and_the_other_fields_are_columns(tmp_path: Path, lines: bool) -> None:
    made = records()
    path = tmp_path / ("train.jsonl" if lines else "train.json")
    path.write_text("\n".join(map(json.dumps, made)) if lines else json.dumps(made, indent=1))
    opened = JsonFile(path)
    assert (opened.keys, opened.is_named) == (('a"0{', 'a"1{', 'a"2{'), True)
    assert opened.read_columns() == {
        "id": ('a"0{', 'a"1{', 'a"2{'),
        "inc_angle": ("43.9", "na", "na"),
        "is_iceberg": ("0", "1", "0"),
    }
    image = opened.read('a"1{')
    assert image.shape == (20, 20, 2)
    assert np.array_equal(image[..., 1].ravel(), made[1]["band_2"])
    inspected = inspect_image(path / 'a"1{')
    assert (inspected.size, inspected.format_name) == ((20, 20), "20x20x2 float64 array")
    rgb = np.asarray(inspected.image).astype(int)
    assert np.abs(rgb[..., 2] - rgb[..., :2].mean(axis=2)).max() <= 1, "the third channel is the mean of both"


def test_records_of_other_things_are_no_images(tmp_path: Path) -> None:
    for number, document in enumerate(([], [{"a": [1, 2, 3]}], {"a": {"b": 1}}, [{"boxes": [[1, 2, 3, 4]] * 200}])):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document))
        with pytest.raises(NoImagesError, match="hold no pixels"):
            JsonFile(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("]}]", "", "is cut after"),
        ('"id": "a', '"id": a', "the record at byte|the text at byte|does not end"),
        ("-2", "-x", "no list of numbers|hold no pixels"),
        ('"band_2": [', '"other": [', "has no list of numbers band_2"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = json.dumps([{**record, "id": f"a{n}"} for n, record in enumerate(records())])
    at = text.rindex(old)
    path = tmp_path / "train.json"
    path.write_text(text[:at] + new + text[at + len(old) :])
    with pytest.raises(DataError, match=reason) as caught:
        opened = open_container(path)
        for key in opened.keys:
            opened.read(key)
    assert "train.json" in caught.value.problem and "\n" not in caught.value.problem


def test_lists_that_differ_in_length_are_refused(tmp_path: Path) -> None:
    made = records()
    made[1]["band_2"] = made[1]["band_2"][:361]  # type: ignore[index]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(made))
    with pytest.raises(DataError, match="differ in their number of pixels"):
        JsonFile(path).read('a"1{')
