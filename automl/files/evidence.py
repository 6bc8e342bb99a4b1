"""Lines of evidence: what was understood of a folder, what is doubtful, and which flag decides otherwise.

A line is plain text, so that it is printed and kept as it is; what it begins with says which of the three it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WARNING, SUGGESTION = "warning: ", "suggestion: "
FLAG_AND_REASON = re.compile(r"suggestion: (?P<flag>.+?) \((?P<reason>.+)\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Lines by what they say.

    Attributes:
        understood: what was inferred, and from what.
        warnings: what was left out, is doubtful or contradicts itself, without the prefix.
        suggestions: (flag, reason) of what would decide otherwise.
    """

    understood: tuple[str, ...]
    warnings: tuple[str, ...]
    suggestions: tuple[tuple[str, str], ...]


def format_warning(text: str) -> str:
    """Format a line about something that was left out, is doubtful or contradicts itself."""
    return f"{WARNING}{text}"


def format_suggestion(flag: str, reason: str) -> str:
    """Format a line about a flag that decides otherwise, such as --task regression, and why one might want it."""
    return f"{SUGGESTION}{flag} ({reason})"


def sort_evidence(lines: Iterable[str]) -> Evidence:
    """Sort lines into what was understood, warnings and suggestions, each in its order."""
    understood, warnings, suggestions = [], [], []
    for line in lines:
        if match := FLAG_AND_REASON.fullmatch(line):
            suggestions.append((match["flag"], match["reason"]))
        elif line.startswith(WARNING):
            warnings.append(line.removeprefix(WARNING))
        else:
            understood.append(line)
    return Evidence(understood=tuple(understood), warnings=tuple(warnings), suggestions=tuple(suggestions))
