"""What a user may write is explained: each parameter and its values, each metric, each flag about a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from automl.cli.options import COMPETITION_FLAGS
from automl.config import (
    ATTENTIONS,
    AUGMENT_POLICIES,
    CLASS_SAMPLINGS,
    CLASS_WEIGHTS,
    LOSSES,
    OPTIMIZERS,
    POOLINGS,
    SCHEDULES,
)
from automl.errors import ERROR_OF_EXIT_CODE
from automl.metrics.registry import METRICS
from automl.space import describe, load_space
from tests.docs_tests.pages import page_named


def words_of_the_vocabulary() -> Iterator[str]:
    for kind in (AUGMENT_POLICIES, ATTENTIONS, CLASS_SAMPLINGS, CLASS_WEIGHTS, LOSSES, OPTIMIZERS, POOLINGS, SCHEDULES):
        yield from kind
    for space in ("default", "recipe", "ordinal"):
        yield from (dimension.name for dimension in describe(load_space(space)))


def test_every_word_that_a_space_may_say_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_0-9]+)`", page_named("parameters")))
    assert set(words_of_the_vocabulary()) - explained <= {"natural", "backbone", "mix_alpha"}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_named(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}`|`f[0-9.]+_", page_named("metrics"))


@pytest.mark.parametrize("flag", COMPETITION_FLAGS.flags)
def test_every_flag_that_says_what_a_folder_does_not_is_named(flag: str) -> None:
    text = page_named("competition") + page_named("metrics")
    assert flag in text or f"--{flag.replace('_', '-')}" in text


def test_every_exit_code_is_explained() -> None:
    explained = {
        int(code)
        for codes in re.findall(r"^\| ([0-9, ]+) \|", page_named("files"), flags=re.MULTILINE)
        for code in codes.split(",")
    }
    assert explained == {0, 1, 130, 143, *ERROR_OF_EXIT_CODE}
