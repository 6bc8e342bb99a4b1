"""Lines of evidence are told apart by what they begin with."""

from __future__ import annotations

from automl.files.evidence import format_suggestion, format_warning, sort_evidence


def test_lines_are_sorted_by_what_they_say() -> None:
    lines = [
        "task: binary",
        format_warning("2 images left out (a.png, b.png)"),
        format_suggestion("--task regression", "takes the 60 numbers (1 to 60) for values"),
        "metric: roc_auc",
    ]

    found = sort_evidence(lines)

    assert found.understood == ("task: binary", "metric: roc_auc")
    assert found.warnings == ("2 images left out (a.png, b.png)",)
    assert found.suggestions == (("--task regression", "takes the 60 numbers (1 to 60) for values"),)
