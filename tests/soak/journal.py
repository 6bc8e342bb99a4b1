"""What the trials of a soak wrote down as they ran, and how often they did the same work again."""

from __future__ import annotations

from dataclasses import dataclass, field

from automl.artifacts import StudyFiles
from tests.soak.task import JOURNAL


@dataclass(slots=True)
class Journal:
    """Attributes: attempts: trial -> the epochs that each of its attempts began, an empty list for none."""

    attempts: dict[int, list[list[int]]] = field(default_factory=dict)
    trial_of_process: dict[int, int] = field(default_factory=dict)

    @property
    def n_epochs(self) -> int:
        """Epochs that were begun."""
        return sum(len(epochs) for attempts in self.attempts.values() for epochs in attempts)

    @property
    def n_repeated(self) -> int:
        """Epochs that were begun by more than one attempt, counted once for each further attempt."""
        distinct = {(trial, epoch) for trial, each in self.attempts.items() for epochs in each for epoch in epochs}
        return self.n_epochs - len(distinct)

    @property
    def n_lost_attempts(self) -> int:
        """Attempts that were followed by another one of the same trial."""
        return sum(len(attempts) - 1 for attempts in self.attempts.values())


def read_journal(files: StudyFiles) -> Journal:
    """The journal of a study, empty where nothing has run yet."""
    journal = Journal()
    path = files.root / JOURNAL
    for line in path.read_text().splitlines() if path.exists() else ():
        word, *numbers = line.split()
        trial, process = int(numbers[0]), int(numbers[-1])
        attempts = journal.attempts.setdefault(trial, [])
        journal.trial_of_process[process] = trial
        if word == "attempt":
            attempts.append([])
        else:
            attempts[-1].append(int(numbers[1]))
    return journal
