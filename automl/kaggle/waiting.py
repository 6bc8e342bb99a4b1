"""Waiting for a score: ask again and again, more and more seldom, through trouble that passes.

Not responsible for: asking (automl.kaggle.client).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from automl.deadline import duration
from automl.errors import AutomlError, UnfitEnvironmentError
from automl.kaggle.client import PENDING, Submission

# Source: kaggle 2.2.5 asks after 5 s first and once a minute at most; less than 5 s it does not allow.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 5.0, 60.0, 1.5


def wait_for_score(
    ask: Callable[[], Submission],
    *,
    ref: int,
    timeout_s: float,
    passing: tuple[type[AutomlError], ...],
    note: Callable[[str], None],
) -> Submission:
    """The submission once it is scored or refused.

    Args:
        passing: the errors after which it is asked again.

    Raises:
        UnfitEnvironmentError: it is not, in so many seconds; it can be asked for later.
    """
    until, pause_s, told = time.monotonic() + timeout_s, FIRST_PAUSE_S, ""
    while True:
        try:
            submission = ask()
        except passing as error:
            if error.problem != told:  # once for each kind of trouble, however long it lasts
                note(f"{error.problem}; asking again")
            told = error.problem
        else:
            if submission.status != PENDING:
                return submission
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise UnfitEnvironmentError(
                f"submission {ref} is not scored after {duration(timeout_s)}",
                hint=f"ask for its score later with automl submit --wait-for {ref}",
            )
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)
