"""Write what a study's trials and probes share: the competition, the folds, the sizes of files, decoded images."""

from __future__ import annotations

from typing import Any

from automl.artifacts import StudyFiles
from automl.data.cache import PixelCache
from automl.data.changed import describe_change, record_file_sizes
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import find_rare_classes, load_folds, make_folds, save_folds
from automl.errors import AutomlError, Notify, StorageError, UsageError, join_names


def require_unchanged(files: StudyFiles, competition: Competition) -> None:
    """Refuse what has changed since the study was begun; where that is not known any more, its terms decide.

    Raises:
        UsageError: labels, metric or another part of the competition is not as it was.
    """
    if not files.study_db.exists():
        return
    try:
        begun = load_competition(files.competition)
    except (AutomlError, KeyError, TypeError, ValueError):  # gone, damaged, or of another version; written again below
        return
    if change := describe_change(begun, competition):
        raise UsageError(
            f"study '{files.root.name}' was begun with another {change}",
            hint="give the same flags as before to go on with it, or begin another with --study",
        )


def write_study_files(
    files: StudyFiles, competition: Competition, *, seed: int, has_trials: bool, notify: Notify
) -> None:
    """Write competition, folds and the sizes of the image files, before the first trial or probe.

    Raises:
        StorageError: the folds are gone on which trials were trained.
    """
    if files.folds.exists():
        load_folds(files.folds, competition)
    elif has_trials:
        raise StorageError(
            f"{files.folds} is missing, but the study has trials that were trained on its folds",
            hint="restore the file from a backup, or begin another study with --study",
        )
    else:
        folds = make_folds(competition, seed=seed)
        if rare := find_rare_classes(competition, folds):
            several = competition.task == "multilabel"
            fate = "be in every fold" if several else "be validated, so used for training only"
            notify(f"too few images to {fate}: {join_names(rare)}")
        save_folds(folds, competition, files.folds)
    save_competition(competition, files.competition)
    record_file_sizes(competition, "train", files.train_sizes)
    record_file_sizes(competition, "test", files.test_sizes)


def decode_images(
    files: StudyFiles, competition: Competition, image_size: int, *, n_threads: int, notify: Notify
) -> None:
    """Decode every image once, at the size of the first trial.

    Raises:
        DataError: images are missing or unreadable.
        StorageError: the cache cannot be written.
    """
    cache = PixelCache(competition, files.cache)
    n_unreadable: dict[Any, int] = {"train": 0, "test": len(competition.unreadable_test)}
    for split, n_left_out in n_unreadable.items():

        def report(n_done: int, n_images: int, split: str = split, n_left_out: int = n_left_out) -> None:
            if n_done == n_images:
                notify(f"decoded {n_images - n_left_out} {split} images at {image_size} px")

        cache.load_pixels(split, image_size, interpolation="bicubic", n_threads=n_threads, on_progress=report)
