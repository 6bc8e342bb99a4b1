"""DICOM files come out as a viewer shows them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, pixels
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from automl.errors import DataError
from automl.files import dicom as dicom_module
from automl.files.decoding import decode_image, inspect_image, read_size
from tests.automl_tests.competitions.container_files import dicom

RAMP = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)


def shown(path: Path, values: NDArray[np.generic], **elements: object) -> NDArray[np.uint8]:
    """The first channel of the decoded image."""
    path.write_bytes(dicom(values, **elements))
    return np.asarray(decode_image(path))[..., 0]


def look_up_table(*levels: int) -> Sequence:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [len(levels), 0, 8], list(levels)
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    return Sequence([table])


def test_without_a_window_the_values_are_stretched(tmp_path: Path) -> None:
    image = shown(tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=11)
    assert (image.min(), image.max()) == (0, 255)
    assert np.array_equal(image, np.rint(RAMP / 4095 * 255))


def test_the_first_window_is_taken_after_the_rescale(tmp_path: Path) -> None:
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": [40, 400], "WindowWidth": [81, 900]}
    image = shown(tmp_path / "a.dcm", RAMP, **elements)
    values = 2.0 * RAMP - 1000
    assert (image[values <= 0] == 0).all() and (image[values > 80] == 255).all()
    inside = (values > 0) & (values <= 80)
    assert np.array_equal(image[inside], np.rint(((values[inside] - 39.5) / 80 + 0.5) * 255))


@pytest.mark.parametrize(
    ("function", "expected"),
    [("LINEAR_EXACT", (1000 - 2000) / 4000 + 0.5), ("SIGMOID", 1 / (1 + np.exp(4 * 1000 / 4000)))],
)
def test_the_other_functions_of_a_window_are_those_of_the_standard(
    tmp_path: Path, function: str, expected: float
) -> None:
    values = np.full((4, 4), 1000, np.uint16)
    image = shown(tmp_path / "a.dcm", values, WindowCenter=2000, WindowWidth=4000, VOILUTFunction=function)
    assert abs(int(image[0, 0]) - 255 * expected) <= 1


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = shown(tmp_path / "a.dcm", RAMP)
    inverted = shown(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    assert np.abs(255 - plain.astype(int) - inverted).max() <= 1


def test_a_look_up_table_goes_before_windows(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint8)
    elements = {"VOILUTSequence": look_up_table(255, 0, 100, 50), "WindowCenter": 1, "WindowWidth": 2}
    assert shown(tmp_path / "a.dcm", values, **elements).tolist() == [[255, 0], [100, 50]]


def test_padding_is_no_value(tmp_path: Path) -> None:
    values = RAMP.astype(np.int16)
    values[0, :] = -2000
    image = shown(tmp_path / "a.dcm", values, PixelPaddingValue=-2000)
    assert (image[0] == 0).all()
    assert image[1, 0] == 0, "the least value that is none of padding"


@pytest.mark.parametrize("elements", [{"WindowCenter": 40, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}])
def test_a_faulty_window_is_passed_over(tmp_path: Path, elements: dict[str, object]) -> None:
    image = shown(tmp_path / "a.dcm", RAMP, **elements)
    assert (image.min(), image.max()) == (0, 255)


def test_colours_stay_and_of_several_frames_the_middle_one_is_taken(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    (tmp_path / "rgb.dcm").write_bytes(dicom(colours))
    assert np.array_equal(np.asarray(decode_image(tmp_path / "rgb.dcm")), colours)
    frames = np.stack([np.full((6, 8), level, np.uint8) for level in (10, 90, 200)])
    (tmp_path / "frames.dcm").write_bytes(dicom(frames, WindowCenter=128, WindowWidth=257))
    inspected = inspect_image(tmp_path / "frames.dcm")
    assert (inspected.size, inspected.format_name) == ((8, 6), "middle frame of a DICOM")
    assert np.asarray(inspected.image)[0, 0, 0] == 90
    assert read_size(tmp_path / "frames.dcm") == (8, 6)


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    values = np.array([[0, 1], [1, 0]], np.uint8)
    tables = {
        f"{colour}PaletteColorLookupTable{part}": content
        for colour, levels in (("Red", (255, 10)), ("Green", (0, 20)), ("Blue", (7, 30)))
        for part, content in (("Descriptor", [2, 0, 8]), ("Data", bytes(levels)))
    }
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom(values, PhotometricInterpretation="PALETTE COLOR", **tables))
    assert np.asarray(decode_image(path))[0].tolist() == [[255, 0, 7], [10, 20, 30]]
    assert inspect_image(path).format_name == "palette DICOM"


def test_a_file_is_dicom_by_its_content_or_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(dicom(RAMP))
    (tmp_path / "old.dcm").write_bytes(dicom(RAMP, preamble=False))
    for name in ("IM0001", "old.dcm"):
        assert decode_image(tmp_path / name).size == (8, 8)
        assert inspect_image(tmp_path / name).format_name == "DICOM"


@pytest.mark.parametrize("content", [dicom(RAMP)[:400], dicom(RAMP)[:-40], b"junk" * 50, b""])
def test_a_damaged_file_is_refused_by_its_name_without_a_warning(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.dcm"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"bad\.dcm") as caught:
            decode_image(path)
    assert "\n" not in caught.value.problem


def test_compressed_files_are_decoded_or_the_hint_installs_what_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dcmread(io.BytesIO(dicom(RAMP)))
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    assert np.array_equal(np.asarray(decode_image(tmp_path / "a.dcm"))[..., 0], shown(tmp_path / "b.dcm", RAMP))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("all plugins are missing dependencies")

    monkeypatch.setattr(pixels, "pixel_array", fail)
    with pytest.raises(DataError, match="decodes a DICOM file compressed by RLE Lossless") as caught:
        decode_image(tmp_path / "a.dcm")
    assert "pip install 'automl[dicom]'" in caught.value.hint


def test_without_pydicom_the_hint_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(RAMP))
    dicom_module._load_pydicom.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(DataError, match="pydicom is needed") as caught:
        decode_image(tmp_path / "a.dcm")
    assert "pip install 'automl[dicom]'" in caught.value.hint
    dicom_module._load_pydicom.cache_clear()
