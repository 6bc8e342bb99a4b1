"""`automl spaces` as a user meets it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import automl_here


def test_a_space_is_shown_with_what_every_trial_has_in_common_and_a_centred_lr(tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "2e-3")
    assert finished.exit_code == 0, finished.stderr
    assert "epochs: 8 (--epochs), epoch choice: last (--epoch-choice), patience: none (--patience)" in finished.stdout
    assert re.search(r"^lr +1e-3 \.\. 0\.01 \(log\)$", finished.stdout, flags=re.MULTILINE)
    centred = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "1e-4")
    assert re.search(r"^lr +1e-5 \.\. 1e-3 \(log\)$", centred.stdout, flags=re.MULTILINE)
    assert re.findall(r"lr=(\S+),", centred.stdout) == ["1e-4", "3.3e-5"]


def test_a_narrowed_space_is_shown_with_what_is_dealt_out_and_what_is_switched_off(tmp_path: Path) -> None:
    narrowing = ("--fix", "backbone=efficientnet_b5", "--choices", "resize=320,160-240-320", "--fix", "weight_decay=0")
    finished = automl_here(tmp_path, "spaces", "recipe", *narrowing)
    assert finished.exit_code == 0, finished.stderr
    assert re.findall(r"resize=(\S+),", finished.stdout) == ["320", "160-240-320", "320"]
    assert re.search(r"^weight_decay +0$", finished.stdout, flags=re.MULTILINE)
