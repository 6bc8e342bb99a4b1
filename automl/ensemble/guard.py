"""What a scorer would say of a submission, said before it is handed in.

`problems` are reasons to refuse a file; `remarks` are about one that would be accepted but may not be what was meant.
Another order of the rows is a remark: scorers join rows by their ids. Not responsible for: writing a submission, in the
sample's order (automl.ensemble.submission).
"""

from __future__ import annotations

from automl.data.competition import Competition
from automl.ensemble.guard_file import id_problems, read_back
from automl.ensemble.guard_remarks import remarks_on
from automl.ensemble.guard_values import value_problems


def problems(competition: Competition, content: bytes) -> list[str]:
    """Everything for which a scorer would refuse the file: a line for each kind, with the first line that offends.

    Empty where the file would be accepted.
    """
    file = read_back(content, competition.submission)
    if not file.header:
        return file.problems
    ids = id_problems(file, competition.submission)
    return [*file.problems, *ids, *value_problems(competition, file)]


def remarks(competition: Competition, content: bytes) -> list[str]:
    """What is worth a look in a file that would be accepted, a line each; nothing for a file with problems."""
    if problems(competition, content):
        return []
    return remarks_on(competition, read_back(content, competition.submission))
