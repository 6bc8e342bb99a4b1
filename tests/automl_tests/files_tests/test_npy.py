"""The .npy format is parsed without ever unpickling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.files.containers.npy import NotAnArrayError, parse_array
from tests.automl_tests.competitions.container_files import npy


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float16).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array([["cat", "dog"]]),
        np.zeros((2, 0)),
        np.array(5, dtype=">i4"),
    ],
)
def test_arrays_are_parsed_as_they_were_saved(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    parsed = parse_array(npy(values))
    assert np.array_equal(parsed, values) and parsed.shape == values.shape


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(np.zeros(9))[:-1], "it is cut after"),
        (npy(np.zeros(9))[:40], ""),
        (b"", ""),
        (npy(np.array([None, 1], dtype=object)), "it holds objects"),
        (npy(np.zeros(2, dtype=[("a", "i4")])), "not numbers"),
        (npy(np.zeros(9)).replace(b"(9,)", b"(-1,)"[:4]), ""),
        (npy(np.zeros(9)).replace(b"(9,)", b"9e9,"), ""),
    ],
)
def test_what_is_no_whole_array_of_numbers_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotAnArrayError, match=reason):
        parse_array(content)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(npy(np.arange(6)))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_array(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except NotAnArrayError as error:
        assert str(error)
