"""`automl spaces` as a user meets it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import automl_here


def test_a_space_is_shown_with_what_every_trial_has_in_common_and_a_centred_lr(tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "2e-3")
    assert finished.exit_code == 0, finished.stderr
    assert "epochs: 8 (--epochs), epoch choice: last (--epoch-choice), patience: none (--patience)" in finished.stdout
    assert re.search(r"^lr +0\.001 \.\. 0\.01 \(log\)$", finished.stdout, flags=re.MULTILINE)
    centred = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "1e-4")
    assert re.search(r"^lr +1e-05 \.\. 0\.001 \(log\)$", centred.stdout, flags=re.MULTILINE)
    assert "lr=0.001" in centred.stdout
