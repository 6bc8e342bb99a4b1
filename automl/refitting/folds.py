"""Which folds of a trial are missing, and what each is trained with: what the search gave the trial, and no more.

Not responsible for: which trials are meant (automl.refitting.plan), or training (automl.training.refold).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from automl.artifacts import TrialFiles, read_json, write_json
from automl.config import TrialConfig
from automl.data.folds import N_FOLDS
from automl.errors import StorageError, UnfitEnvironmentError, UsageError
from automl.refitting.loop import PLAIN, WantedFold
from automl.refitting.plan import EndedTrials
from automl.training.refold import forget_fold, has_weights, whole_fold


def missing_folds(ended: EndedTrials, number: int, kind: str) -> list[int]:
    """The trial's folds of that kind that are not there, or of which a part is missing or cut short."""
    own = ended.files.trial(number)
    searched = ended.terms.train_folds if kind == PLAIN else 0
    return [
        fold
        for fold in range(N_FOLDS)
        if not (fold < searched and has_weights(own, fold)) and whole_fold(own.retrained(kind), fold) is None
    ]


def of_unknown_origin(ended: EndedTrials, wanted: Sequence[WantedFold]) -> list[int]:
    """The trials of wanted folds of which an older search did not write down what they began with."""
    numbers = dict.fromkeys(fold.number for fold in wanted)
    return [number for number in numbers if not ended.files.trial(number).origin.exists()]


def wanted_folds(
    ended: EndedTrials, number: int, kind: str, *, lesson: Path | None, weights_dir: Path | None
) -> Iterator[WantedFold]:
    """The trial's missing folds, to be trained.

    Args:
        weights_dir: of pretrained weights, instead of the folder that the search had.

    Raises:
        UnfitEnvironmentError: the folder of pretrained weights is gone.
        UsageError: the trial whose weights it began with is gone.
        StorageError: the trial's files are damaged.
    """
    files, config = ended.files.trial(number), ended.config(number)
    if lesson is not None:
        _begin_lesson(files.retrained(kind), lesson)
    seconds = float(ended.trial(number).user_attrs.get("seconds", 0.0))
    for fold in missing_folds(ended, number, kind):
        if kind == PLAIN:
            # Cut short if there at all; as long as it is there, the ensemble takes it for the fold's.
            files.weights(fold).unlink(missing_ok=True)
        payload = {
            "trial": number,
            "study_dir": str(ended.files.root),
            "config": config.to_json(),
            "seed": ended.terms.seed,
            "fold": fold,
            "kind": kind,
            "lesson": None if lesson is None else str(lesson),
            **_origin(files, number, config, weights_dir),
        }
        yield WantedFold(number=number, fold=fold, payload=payload, expected_s=seconds / ended.terms.train_folds)


def _begin_lesson(files: TrialFiles, lesson: Path) -> None:
    """Forget what was trained with another lesson."""
    origin = {"lesson": lesson.name}
    with suppress(StorageError):  # missing or damaged: nobody knows what the folds were taught
        if read_json(files.origin) == origin:
            return
    for fold in range(N_FOLDS):
        forget_fold(files, fold)
    write_json(files.origin, origin)


def _origin(files: TrialFiles, number: int, config: TrialConfig, weights_dir: Path | None) -> dict[str, str | None]:
    """What the trial began with: weights_dir and init_from of a payload."""
    origin = read_json(files.origin) if files.origin.exists() else {}
    if not isinstance(origin, dict):
        raise StorageError(f"{files.origin} is damaged: it holds no object", hint="restore the file, or remove it")
    init_from, own = origin.get("init_from"), origin.get("weights_dir")
    if init_from is not None and not Path(init_from).is_dir():
        raise UsageError(
            f"trial {number} began with the weights of {init_from}, which is gone",
            hint="restore that folder, or name other trials with --trials",
        )
    folder = own if weights_dir is None else str(weights_dir)
    if config.model.pretrained and folder is not None and not Path(folder).is_dir():
        raise UnfitEnvironmentError(
            f"trial {number} began with pretrained weights in {folder}, which is gone",
            hint="say with --weights where they are now",
        )
    return {"weights_dir": folder, "init_from": init_from}
