"""The submission's bytes, and the guard before them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.data.competition import Competition, SubmissionKind, SubmissionTemplate
from automl.decisions.rules import AllOrNothingRule, ClassWeightsRule, ClipRule, HeadsRule
from automl.errors import DataError
from automl.metrics.registry import get_metric
from automl.multi_output import Head
from automl.submission.write import average_units, check_submission, find_unseen_units, write_submission
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import competition_of

BINARY = np.array([[0.75, 0.25], [0.0, 1.0], [2 / 3, 1 / 3]])
THREE = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.2, 0.2, 0.2]])


def three_columns() -> Competition:
    return competition_of(
        SubmissionKind.PROBABILITIES, classes=("b", "a", "c"), header=("b", "image", "a", "c"), id_column=1
    )


def test_one_probability_is_that_of_the_second_class(tmp_path: Path) -> None:
    write_submission(competition_of(SubmissionKind.PROBABILITY), BINARY, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,0.25\n1,1\n2,0.333333333\n"


def test_probabilities_are_normalised_in_the_columns_of_the_sample(tmp_path: Path) -> None:
    write_submission(three_columns(), THREE, tmp_path / "s.csv")
    expected = b"b,image,a,c\n0.5,3,0.25,0.25\n0.1,1,0.2,0.7\n0.333333333,2,0.333333333,0.333333333\n"
    assert (tmp_path / "s.csv").read_bytes() == expected


def test_an_image_that_nobody_can_see_keeps_the_prior_but_is_decided_where_all_are(tmp_path: Path) -> None:
    targets, prior = np.array([0, 0, 0, 1, 1]), 0.4
    unseen = replace(competition_of(SubmissionKind.PROBABILITY), targets=targets, unreadable_test=(1,))
    for rule, expected in (
        (ClipRule(3.0, 0.1, unseen.task), prior),
        (AllOrNothingRule(0.6), 0.0),
        (AllOrNothingRule(0.3), 1.0),
    ):
        write_submission(unseen, BINARY, tmp_path / "s.csv", rule)
        with (tmp_path / "s.csv").open(newline="") as file:
            assert float(list(csv.DictReader(file))[1]["label"]) == pytest.approx(expected)


def of_patients(competition: Competition, rows: tuple[tuple[int, ...], ...]) -> Competition:
    """The competition with rows that stand for these test images each."""
    n_images = 1 + max(image for own in rows for image in own)
    ids = tuple(f"image {number}" for number in range(n_images))
    template = replace(competition.submission, images_of_row=rows)
    return replace(competition, test_ids=ids, test_paths=tuple(map(Path, ids)), submission=template)


SEVERAL = ((0, 1), (2,), (3, 4, 5))  # of each row
SIX = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]])


def test_a_row_for_several_images_is_the_mean_of_their_predictions(tmp_path: Path) -> None:
    write_submission(of_patients(competition_of(SubmissionKind.PROBABILITY), SEVERAL), SIX, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,0.25\n1,0.75\n2,0.5\n"
    rule = AllOrNothingRule(0.3)  # decides on the mean, not on each image
    write_submission(of_patients(competition_of(SubmissionKind.PROBABILITY), SEVERAL), SIX, tmp_path / "s.csv", rule)
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,0\n1,1\n2,1\n"
    with pytest.raises(DataError, match=r"probabilities of shape \(3, 2\), not \(6, 2\)"):
        write_submission(of_patients(competition_of(SubmissionKind.LABEL), SEVERAL), BINARY, tmp_path / "s.csv")


def test_images_that_nobody_can_see_do_not_count_unless_all_of_a_row_are(tmp_path: Path) -> None:
    patients = of_patients(competition_of(SubmissionKind.PROBABILITY), SEVERAL)
    patients = replace(patients, targets=np.array([0, 0, 0, 1, 1]), unreadable_test=(0, 2, 3))
    assert find_unseen_units(patients).tolist() == [1]
    assert average_units(patients, SIX).tolist() == [[1.0, 0.0], [0.0, 0.0], [0.3, 0.7]]
    write_submission(patients, SIX, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,0\n1,0.4\n2,0.7\n"
    write_submission(patients, SIX, tmp_path / "s.csv", by_rank=True)
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,0\n1,0.5\n2,0.7\n"
    write_submission(patients, SIX, tmp_path / "s.csv", ClipRule(3.0, 0.1, patients.task))
    with (tmp_path / "s.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)][1] == "0.4"


def test_the_long_form_has_the_classes_of_each_row_of_several_images(tmp_path: Path) -> None:
    cells = tuple((unit, column) for unit in range(3) for column in range(2))
    competition = competition_of(SubmissionKind.PROBABILITIES, ids=tuple("abcdef"), header=("id", "p"))
    competition = replace(competition, submission=replace(competition.submission, cells=cells))
    write_submission(of_patients(competition, SEVERAL), SIX, tmp_path / "s.csv")
    expected = b"id,p\na,0.75\nb,0.25\nc,0.25\nd,0.75\ne,0.5\nf,0.5\n"
    assert (tmp_path / "s.csv").read_bytes() == expected


def test_nothing_is_written_without_test_images(tmp_path: Path) -> None:
    nothing = competition_of(SubmissionKind.LABEL, ids=())
    with pytest.raises(DataError, match="there are no test images"):
        write_submission(nothing, np.empty((0, 2)), tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_a_label_is_the_name_of_the_most_probable_class(tmp_path: Path) -> None:
    write_submission(competition_of(SubmissionKind.LABEL), BINARY, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,cat\n1,dog\n2,cat\n"


def test_labels_and_ids_with_commas_quotes_and_accents_come_back(tmp_path: Path) -> None:
    classes, ids = ('scab, "early"', "Zürich\n"), ("a,1.png", 'b"2', "ü")
    competition = competition_of(SubmissionKind.LABEL, classes=classes, ids=ids, header=("image, id", "the label"))
    write_submission(competition, BINARY, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["image, id", "the label"], [ids[0], classes[0]], [ids[1], classes[1]], [ids[2], classes[0]]]


def test_ids_are_copied_in_their_order_and_form(tmp_path: Path) -> None:
    ids = ("0010", "002", "1e3", "x.jpg")
    competition = competition_of(SubmissionKind.PROBABILITY, ids=ids)
    write_submission(competition, np.full((4, 2), 0.5), tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == list(ids)


def test_close_probabilities_stay_apart(tmp_path: Path) -> None:
    second = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1e-12])
    competition = competition_of(SubmissionKind.PROBABILITY)
    write_submission(competition, np.stack([1 - second, second], axis=1), tmp_path / "s.csv")
    written = [float(line.split(",")[1]) for line in (tmp_path / "s.csv").read_text().splitlines()[1:]]
    assert written[0] < written[1]
    assert written[2] == 1e-12


@pytest.mark.parametrize("kind", SubmissionKind)
@pytest.mark.parametrize(
    ("probs", "problem"),
    [
        (np.array([[0.5, 0.5], [np.nan, np.nan], [0.5, 0.5]]), None),
        (np.array([[0.5, 0.5], [0.5, np.inf], [0.5, 0.5]]), None),
        (BINARY[:2], "shape"),
        (np.ones((3, 3)) / 3, "shape"),
    ],
    ids=["nan", "infinite", "a row too few", "a class too many"],
)
def test_unfit_probabilities_are_refused_and_the_earlier_file_stays(
    kind: SubmissionKind, probs: np.ndarray, problem: str | None, tmp_path: Path
) -> None:
    header = ("id", "cat", "dog") if kind is SubmissionKind.PROBABILITIES else ("id", "label")
    path = tmp_path / "s.csv"
    path.write_text("earlier")
    with pytest.raises(DataError, match=problem):
        write_submission(competition_of(kind, header=header), probs, path)
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["s.csv"]


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_a_probability_outside_zero_and_one_is_refused(value: float, tmp_path: Path) -> None:
    probs = BINARY.copy()
    probs[1] = (1 - value, value)
    with pytest.raises(DataError, match="line 3"):
        write_submission(competition_of(SubmissionKind.PROBABILITY), probs, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_probabilities_of_a_row_without_a_sum_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="positive sum"):
        write_submission(three_columns(), np.zeros((3, 3)), tmp_path / "s.csv")


def test_an_id_that_is_not_text_is_refused(tmp_path: Path) -> None:
    competition = competition_of(SubmissionKind.PROBABILITY, ids=("a", "b\udcff", "c"))
    with pytest.raises(DataError, match="UTF-8"):
        write_submission(competition, BINARY, tmp_path / "s.csv")


GOOD = b"id,label\n3,0.25\n1,1\n2,0.5\n"


def test_the_first_problem_is_named_and_how_many_others_there_are(tmp_path: Path) -> None:
    competition = competition_of(SubmissionKind.PROBABILITY)
    path = tmp_path / "s.csv"
    path.write_bytes(GOOD)
    check_submission(competition, GOOD)
    check_submission(competition, path)
    path.write_bytes(GOOD.replace(b"0.25", b"2"))
    with pytest.raises(DataError, match=r"line 2 has the probability 2, which is not in \[0, 1\]$"):
        check_submission(competition, path)
    path.write_bytes(GOOD.replace(b"0.25", b"2").replace(b"\n1,", b"\n9,"))
    with pytest.raises(DataError, match=r"line 3 has the id '9', which the sample has not; and 2 more problems$"):
        check_submission(competition, path)


def test_a_file_that_is_not_there_is_an_error_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        check_submission(competition_of(SubmissionKind.PROBABILITY), tmp_path / "none.csv")


def test_a_probability_that_rounding_put_above_one_is_one(tmp_path: Path) -> None:
    second = np.array([1 + 1e-9, -1e-12, 0.5])
    write_submission(
        competition_of(SubmissionKind.PROBABILITY), np.stack([1 - second, second], axis=1), tmp_path / "s.csv"
    )
    assert (tmp_path / "s.csv").read_bytes() == b"id,label\n3,1\n1,0\n2,0.5\n"


ROOTS_AND_VOWELS = ("root=1", "root=2", "root=10", "vowel=1", "vowel=x")
TWO_HEADS = np.array([[0.5, 0.3, 0.2, 0.1, 0.9], [0.1, 0.1, 0.8, 0.6, 0.4], [0.2, 0.5, 0.3, 0.5, 0.5]])


def of_two_heads(**changes: object) -> Competition:
    plain = competition_of(SubmissionKind.LABEL, classes=ROOTS_AND_VOWELS, header=("id", "root", "vowel"))
    return replace(
        plain,
        task=Task.MULTIOUTPUT,
        heads=(Head("root", 3), Head("vowel", 2)),
        targets=np.array([[0, 3], [0, 4], [1, 4], [2, 3]]),
        metric=get_metric("accuracy", head_sizes=(3, 2)),
        **changes,
    )


def test_each_head_has_a_column_of_its_label(tmp_path: Path) -> None:
    write_submission(of_two_heads(), TWO_HEADS, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"id,root,vowel\n3,1,x\n1,10,1\n2,2,1\n"


def test_each_head_has_a_row_of_its_label_in_the_long_form(tmp_path: Path) -> None:
    template = SubmissionTemplate(
        header=("target", "row_id"),
        id_column=1,
        submission_kind=SubmissionKind.LABEL,
        ids=("3_vowel", "3_root", "1_root", "1_vowel", "2_root", "2_vowel"),
        cells=((0, 1), (0, 0), (1, 0), (1, 1), (2, 0), (2, 1)),
    )
    write_submission(of_two_heads(submission=template), TWO_HEADS, tmp_path / "s.csv")
    rows = b"x,3_vowel\n1,3_root\n10,1_root\n1,1_vowel\n2,2_root\n1,2_vowel\n"
    assert (tmp_path / "s.csv").read_bytes() == b"target,row_id\n" + rows
    for wrong, line in ((b"x,3_root", 3), (b"10,1_vowel", 5)):  # of the other head
        label = wrong.partition(b",")[2]
        own = next(row for row in rows.splitlines() if row.endswith(label))
        with pytest.raises(DataError, match=f"line {line} has the label '{wrong.partition(b',')[0].decode()}'"):
            check_submission(of_two_heads(submission=template), b"target,row_id\n" + rows.replace(own, wrong))


def test_a_label_of_another_head_is_refused() -> None:
    with pytest.raises(DataError, match="line 2 has the label 'x', which is not one of the classes"):
        check_submission(of_two_heads(), b"id,root,vowel\n3,x,1\n1,10,1\n2,2,1\n")
    with pytest.raises(DataError, match="line 3 has no label"):
        check_submission(of_two_heads(), b"id,root,vowel\n3,1,1\n1,10,\n2,2,1\n")


def test_what_cannot_be_read_gets_the_likeliest_class_of_each_head(tmp_path: Path) -> None:
    write_submission(of_two_heads(unreadable_test=(1,)), TWO_HEADS, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[2] == "1,1,1"


def test_a_rule_of_several_heads_is_written_as_it_decides(tmp_path: Path) -> None:
    rule = HeadsRule((ClassWeightsRule((0.01, 1.0, 0.5)), ClassWeightsRule((1.0, 0.01))), (3, 2))
    write_submission(of_two_heads(), TWO_HEADS, tmp_path / "s.csv", rule)
    assert (tmp_path / "s.csv").read_bytes() == b"id,root,vowel\n3,2,1\n1,10,1\n2,2,1\n"
