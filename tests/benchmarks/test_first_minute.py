"""CPU time is that of everything a command starts, what stands at a mark is kept, and submissions are scored right."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.cpu_clock import Watched, list_descendants, parse_stat, watch
from tests.benchmarks.first_minute import (
    CASES,
    SIDES,
    Bench,
    ask,
    bootstrap_error,
    build_table,
    describe_ends,
    group_marks,
    list_copies,
    score_submission,
)
from tests.benchmarks.held_out import HeldOut, hold_out
from tests.benchmarks.plain_data import read_folder, split_rows, write_submission
from tests.benchmarks.plain_fastai import MOST_EPOCHS, plan_epochs
from tests.benchmarks.probe_agreement import Pair, describe_pairs, list_pairs

BURN = "import time\nwhile time.process_time() < {}: pass\n"
# Writes 1 at once, and 2 after CPU seconds that a grandchild in a session of its own has used.
GRANDCHILD = f"""
import os, subprocess, sys
def put(text):
    open("standing.tmp", "w").write(text)
    os.replace("standing.tmp", "standing.txt")
put("1")
subprocess.run([sys.executable, "-c", {BURN.format(0.3)!r}], start_new_session=True, check=True)
put("2")
{BURN.format(60)}
"""


def run_watched(code: str, folder: Path, marks_s: list[float]) -> Watched:
    command = [sys.executable, "-c", code]
    return watch(command, folder / "standing.txt", marks_s, folder / "copies", cwd=folder, log=folder / "log.txt")


def test_a_line_of_proc_is_parsed_whatever_the_process_is_called() -> None:
    fields = "S 7 1 1 0 -1 4194304 0 0 0 0 150 50 300 100 20 0 1 0"
    parsed = parse_stat(f"12 (a) b (c) {fields}")
    ticks = os.sysconf("SC_CLK_TCK")
    assert (parsed.pid, parsed.parent) == (12, 7)
    assert parsed.own_s == pytest.approx(200 / ticks)
    assert parsed.children_s == pytest.approx(400 / ticks)


def test_the_work_of_a_grandchild_counts_and_each_mark_has_what_stood_then(tmp_path: Path) -> None:
    before = {each.pid for each in list_descendants(os.getpid())}
    watched = run_watched(GRANDCHILD, tmp_path, [0.2, 0.6])
    kept = [copy.read_text() for _, copy in watched.marks.values() if copy is not None]
    assert kept == ["1", "2"]
    assert watched.first is not None
    assert watched.first.read_text() == "1"
    assert watched.first_s is not None
    assert watched.first_s < 0.2
    for mark, (seconds, _) in watched.marks.items():
        assert mark <= seconds < mark + 0.5
    assert watched.returncode is None, "it was stopped"
    assert {each.pid for each in list_descendants(os.getpid())} <= before, "nothing is left of it"


def test_a_command_that_ends_early_leaves_its_last_file_to_all_marks(tmp_path: Path) -> None:
    watched = run_watched("open('standing.txt', 'w').write('whole')", tmp_path, [30.0, 60.0])
    assert watched.returncode == 0
    assert [copy.read_text() for _, copy in watched.marks.values() if copy is not None] == ["whole"] * 2
    assert watched.cpu_s < 30


def test_a_command_that_leaves_nothing_has_nothing_to_score(tmp_path: Path) -> None:
    watched = run_watched("raise SystemExit(3)", tmp_path, [30.0])
    assert watched.returncode == 3
    assert [copy for _, _, copy in list_copies(watched)] == [None, None]


def test_a_submission_of_probabilities_is_scored_by_log_loss(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n3,0.5\n1,0.9\n2,0\n")
    score = score_submission(path, ["dog", "cat", "cat"], "dog")
    assert score.value == pytest.approx(-(math.log(0.9) + math.log(0.5)) / 3)
    assert score.accuracy == 1.0
    assert score.error == pytest.approx(np.std([-math.log(0.9), 0, -math.log(0.5)]) / math.sqrt(3), rel=0.1)


def test_a_submission_of_classes_is_scored_by_accuracy(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n1,frog\n2,ship\n3,ship\n4,ship\n")
    score = score_submission(path, ["frog", "ship", "cat", "ship"], None)
    assert (score.value, score.accuracy) == (0.75, 0.75)


def test_a_submission_about_other_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n1,frog\n5,ship\n")
    with pytest.raises(ValueError, match="2 held-out"):
        score_submission(path, ["frog", "ship"], None)


def test_the_error_of_equal_values_is_zero() -> None:
    assert bootstrap_error(np.ones(50)) == 0.0


def test_fastai_has_a_run_for_each_mark() -> None:
    assert group_marks("fastai", [60, 180], apart=False) == [[60], [180]]
    assert group_marks("search", [60, 180], apart=False) == [[60, 180]]
    assert group_marks("search", [60, 180], apart=True) == [[60], [180]]


def test_fastai_takes_the_largest_images_for_which_there_is_time() -> None:
    plans = [plan_epochs(60 * minutes, 10.0, 145.0, 720) for minutes in (1, 3, 7, 20, 200)]
    assert plans == sorted(plans)
    assert plans[0] == (96, 1)
    assert plans[2] == (224, 2)
    assert plans[-1] == (224, MOST_EPOCHS)
    assert plan_epochs(1.0, 10.0, 145.0, 720) == (96, 1), "it has to do something"


@pytest.mark.parametrize("side", ["probes", "search", "search-no-probes", "optuna"])
def test_every_side_gets_the_same_folder_and_weights(side: str, tmp_path: Path) -> None:
    held = HeldOut(tmp_path / "held", ("cat",))
    bench = Bench(CASES["dogs-vs-cats"], held, tmp_path, tmp_path / "weights", cores=2, seed=3, stretch=1.0)
    command = bench.build_command(side, [60.0, 420.0], tmp_path / "runs" / "own" / "submission.csv")
    assert str(held.root) in command
    assert command[command.index("--weights") + 1] == str(tmp_path / "weights")
    assert command[command.index("--seed") + 1] == "3"
    if side != "optuna":
        assert "210s" in command, "420 CPU seconds on two cores"


def test_the_table_has_a_line_for_each_side_and_says_where_nothing_stood() -> None:
    case = CASES["dogs-vs-cats"]
    score = {"value": 0.03, "error": 0.004, "accuracy": 0.99}
    records = [
        {"side": "search", "seed": 0, "mark_s": None, "cpu_s": 41.0, **score},
        {"side": "search", "seed": 0, "mark_s": 60, "cpu_s": 60.1, **score},
        {"side": "search", "seed": 1, "mark_s": 60, "cpu_s": 60.1},
        {"side": "optuna", "seed": 0, "mark_s": None, "cpu_s": None},
        {"side": "optuna", "seed": 0, "mark_s": 60, "cpu_s": 60.2},
    ]
    lines = build_table(case, records, ["search", "optuna"], [60.0]).splitlines()
    assert lines[0].endswith("| first submission | its score | 1 CPU min |")
    shown = "0.0300 ± 0.0040 (99.0%)"
    assert lines[2] == f"| {SIDES['search']} | 41 CPU s | {shown} | {shown}, nothing in 1 of 2 |"
    assert lines[3] == f"| {SIDES['optuna']} |  |  | nothing |"


def test_a_run_that_ended_by_itself_is_told_once() -> None:
    run = {"side": "search", "seed": 0, "returncode": 4, "ended_s": 17.2, "wall_s": 9.0}
    stopped = {"side": "optuna", "seed": 0, "returncode": None, "ended_s": 60.1, "wall_s": 31.0}
    assert describe_ends([run, run, stopped]) == ["- search, seed 0, ended with 4 after 17 CPU s, 9 s on the wall"]


def test_seeds_are_averaged_and_their_errors_shrink() -> None:
    records = [
        {"side": "search", "seed": seed, "mark_s": 60, "cpu_s": 60.0, "value": value, "error": 0.02, "accuracy": 0.5}
        for seed, value in enumerate((0.5, 0.6))
    ]
    table = build_table(CASES["cifar-10"], records, ["search"], [60.0])
    assert "0.5500 ± 0.0141" in table


def test_a_plain_script_reads_labels_from_names_and_answers_with_probabilities(tmp_path: Path) -> None:
    for name in ("train/cat.1.jpg", "train/dog.7.jpg", "test1/2.jpg", "test1/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,0\n2,0\n")
    folder = read_folder(tmp_path)
    assert (folder.classes, folder.labels) == (("cat", "dog"), (0, 1))
    write_submission(folder, np.array([[0.25, 0.75], [1.0, 0.0]]), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines() == ["id,label", "1,0.75", "2,0.0"]


def test_a_plain_script_reads_a_table_and_answers_with_classes(tmp_path: Path) -> None:
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "trainLabels.csv").write_text("id,label\n2,ship\n1,frog\n")
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,cat\n")
    folder = read_folder(tmp_path)
    assert (folder.classes, folder.labels) == (("frog", "ship"), (0, 1))
    write_submission(folder, np.array([[0.25, 0.75]]), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines() == ["id,label", "1,ship"]


def test_a_fifth_of_the_rows_validates() -> None:
    train, valid = split_rows(720, 0)
    assert (len(train), len(valid)) == (576, 144)
    assert sorted([*train, *valid]) == list(range(720))


def test_pairs_are_all_backbones_at_all_sizes() -> None:
    assert list_pairs(["a", "b"], [96, 128]) == [("a", 96), ("a", 128), ("b", 96), ("b", 128)]


def test_the_agreement_is_told_with_what_probes_and_trials_cost() -> None:
    pairs = [
        Pair("a", size, probe=probe, probe_error=0.01, trial=trial, trial_cpu_s=100.0)
        for size, probe, trial in ((96, 0.3, 0.25), (128, 0.2, 0.15), (160, 0.1, 0.2))
    ]
    text = describe_pairs(pairs, n_probes=3, probes_cpu_s=24.0, epochs=3)
    assert "Spearman's correlation of 3 pairs: 0.50" in text
    assert "3 probes: 24 CPU s; 3 trials of 3 epochs: 300 CPU s; ratio 0.080" in text
    assert "| a | 96 | 0.3000 ± 0.0100 | 0.2500 | 100 |" in text


def test_part_of_a_competition_can_be_held_out(tmp_path: Path) -> None:
    source = tmp_path / "dogs-vs-cats"
    for number in range(20):
        path = source / "train" / f"{'cat' if number % 2 else 'dog'}.{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_image(path, number)
    for number in (1, 2):
        path = source / "test1" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_image(path, 100 + number)
    (source / "sampleSubmission.csv").write_text("id,label\n1,0\n2,0\n")
    held = hold_out(source, tmp_path / "held", limit=10)
    assert len(held.labels) == 2
    assert len(list((held.root / "train").iterdir())) == 8
    assert len(list((held.root / "test").iterdir())) == 2


def _write_image(path: Path, seed: int) -> None:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_an_unknown_side_or_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--data", "dogs-vs-cats", "--sides", "search,magic"], ["--data", "elsewhere"]):
        monkeypatch.setattr(sys, "argv", ["first_minute", "--weights", "weights", *words])
        with pytest.raises(SystemExit):
            ask()
    told = capsys.readouterr().err
    assert "no side is called magic" in told
    assert "dogs-vs-cats or cifar-10" in told
