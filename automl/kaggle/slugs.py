"""Which of Kaggle's competitions is meant: its slug, as it stands in the address of its page.

Not responsible for: what is known of a competition by that name (automl.readers.known_competitions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from automl.errors import UsageError
from automl.readers.known_competitions import known_folder

SITE = "https://www.kaggle.com"
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?kaggle\.com/(?:c|competitions)/([^/?#]+)")
_UNDERSTOOD = re.compile(r"competition: (\S+), ")  # what automl.readers.read says of it


def slug_of(text: str) -> str:
    """The slug that a user gives, by itself or as the address of the competition's page.

    Raises:
        UsageError: it is none.
    """
    address = _ADDRESS.match(text.strip())
    slug = address[1] if address else text.strip()
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            f"'{text}' is not the name of a competition of Kaggle's",
            hint="give the last word of its page's address, such as dogs-vs-cats",
        )
    return slug


def slug_of_study(root: Path, evidence: Sequence[str], asked: str | None) -> tuple[str, str]:
    """The slug of a study's competition and where it is from, in words.

    Args:
        root: the competition's folder.
        evidence: what was understood when the study was begun.
        asked: what the user says now.

    Raises:
        UsageError: nobody says it, and the folder's name cannot be one.
    """
    if asked is not None:
        return slug_of(asked), "as asked"
    understood = [found[1] for line in evidence if (found := _UNDERSTOOD.match(line))]
    if understood:
        return understood[0], "as the study has it"
    known = known_folder(root.name)
    if known is not None:
        return known.slug, f"known by the folder's name {root.name}"
    if not _SLUG.fullmatch(root.name):
        raise UsageError(
            f"the folder's name '{root.name}' is not that of a competition of Kaggle's",
            hint="name the competition with --competition",
        )
    return root.name, "from the folder's name; --competition names another"


def page_of(slug: str, part: str = "") -> str:
    """The address of the competition's page, or of a part of it: "rules", "submissions"."""
    return f"{SITE}/competitions/{slug}" + (f"/{part}" if part else "")
