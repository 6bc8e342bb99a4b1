"""The notebook that runs submit.py on Kaggle, and says so where it fails.

Not responsible for: predicting (automl.kit.running).
"""

from __future__ import annotations

import json
from typing import Any

INTRODUCTION = """\
# {slug}

Writes `submission.csv` with the ensemble of an `automl` kit, without internet. Attach two inputs: the competition, and
the dataset that the kit was uploaded as. Of several kits the first is taken; name another by its folder below.
"""

RUN = """\
import subprocess
import sys
from pathlib import Path

INPUTS = Path("/kaggle/input")
kits = sorted(path.parent for depth in range(1, 5) for path in INPUTS.glob("*/" * depth + "kit.json"))
assert kits, f"no kit.json below {INPUTS}: attach the dataset that the kit was uploaded as"

command = [sys.executable, str(kits[0] / "submit.py"), "--out", "submission.csv"]  # + ["--max-minutes", "110"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in process.stdout:
    print(line, end="", flush=True)
assert process.wait() == 0, "the submission was not written; the reason stands above"
"""

SHOW = """\
with open("submission.csv") as file:
    for _, line in zip(range(5), file):
        print(line, end="")
"""


def notebook_of(slug: str) -> str:
    """The notebook as JSON.

    Source: the notebook format 4.5, nbformat.readthedocs.io/en/latest/format_description.html.
    """
    document = {
        "cells": [
            _cell("introduction", "markdown", INTRODUCTION.format(slug=slug)),
            _cell("run", "code", RUN),
            _cell("show", "code", SHOW),
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1) + "\n"


def _cell(name: str, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": name, "cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
