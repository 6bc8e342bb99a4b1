"""Competitions of every form of submission without images, and a valid file for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from automl.data.competition import Competition, SubmissionKind
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import competition_of

PROBABILITY = b"id,label\n3,0.25\n1,1\n2,0.5\n"
LABEL = b"id,label\n3,cat\n1,dog\n2,cat\n"
COLUMNS = b"id,a,b,c\n3,0.5,0.25,0.25\n1,0.1,0.2,0.7\n2,0.2,0.2,0.6\n"
TAGS = b"id,label\n3,cat dog\n1,dog\n2,cat\n"
RANKED = b"id,label\n3,b a\n1,a c\n2,c b\n"
VALUES = b"id,age\n3,25\n1,1e2\n2,-0.5\n"
LONG = b"id,p\n3_a,0.5\n3_b,0.5\n1_a,0.1\n1_b,0.9\n2_a,1\n2_b,0\n"
LISTS = b'id,label\n3,"cat,dog"\n1,dog\n2,cat\n'
BRACKETS = b"""id,label\n3,"['cat', 'dog']"\n1,['dog']\n2,[]\n"""
FLAGS = b"id,cat,dog\n3,1,1\n1,0,1\n2,0,0\n"
ONE_HOT = b"id,cat,dog\n3,1,0\n1,0,1\n2,1,0\n"
GRADES = b"id,label\n3,0\n1,1\n2,1\n"


def form(name: str) -> Competition:
    three = ("a", "b", "c")
    match name:
        case "probability":
            return competition_of(SubmissionKind.PROBABILITY)
        case "label":
            return competition_of(SubmissionKind.LABEL)
        case "grades":
            return competition_of(SubmissionKind.LABEL, classes=("0", "1"))
        case "columns":
            return competition_of(SubmissionKind.PROBABILITIES, classes=three, header=("id", *three))
        case "tags" | "tags, may be none":
            targets = np.array([[1, 0], [0, int(name == "tags")]])
            return replace(competition_of(SubmissionKind.LABELS), task=Task.MULTILABEL, targets=targets)
        case "lists" | "brackets":
            tags = form("tags, may be none")
            separator = "," if name == "lists" else "[', ']"
            return replace(tags, submission=replace(tags.submission, separator=separator))
        case "flags" | "one-hot":
            wide = form("tags, may be none" if name == "flags" else "label")
            return replace(wide, submission=replace(wide.submission, header=("id", "cat", "dog")))
        case "ranked":
            ranked = competition_of(SubmissionKind.RANKING, classes=three)
            return replace(ranked, submission=replace(ranked.submission, n_ranked=2))
        case "values":
            values = competition_of(SubmissionKind.VALUES, classes=("age",), header=("id", "age"))
            return replace(values, task=Task.REGRESSION, targets=np.array([[1.0], [2.0]]), scales=((1.0, 2.0),))
    long = competition_of(SubmissionKind.PROBABILITIES, classes=("a", "b"), header=("id", "p"))
    cells = tuple((image, column) for image in range(3) for column in range(2))
    ids = tuple(f"{long.test_ids[image]}_{long.classes[column]}" for image, column in cells)
    return replace(long, submission=replace(long.submission, ids=ids, cells=cells))


VALID = {
    "probability": PROBABILITY,
    "label": LABEL,
    "grades": GRADES,
    "columns": COLUMNS,
    "tags": TAGS,
    "tags, may be none": TAGS.replace(b"2,cat", b"2,"),
    "lists": LISTS,
    "brackets": BRACKETS,
    "flags": FLAGS,
    "one-hot": ONE_HOT,
    "ranked": RANKED,
    "values": VALUES,
    "long": LONG,
}
