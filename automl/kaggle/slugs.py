"""Resolve which Kaggle competition is meant: its slug, as in the address of its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from automl.errors import UsageError
from automl.readers.known_competitions import find_known_competition

SITE = "https://www.kaggle.com"
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_PAGE_URL = re.compile(r"(?:https?://)?(?:www\.)?kaggle\.com/(?:c|competitions)/([^/?#]+)")
_SLUG_IN_EVIDENCE = re.compile(r"competition: (\S+), ")  # as automl.readers.read writes it


def parse_slug(text: str) -> str:
    """Parse a competition's slug, given by itself or as the address of its page.

    Raises:
        UsageError: it is none.
    """
    address = _PAGE_URL.match(text.strip())
    slug = address[1] if address else text.strip()
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            f"'{text}' is not the name of a competition of Kaggle's",
            hint="give the last word of its page's address, such as dogs-vs-cats",
        )
    return slug


def resolve_slug(root: Path, evidence: Sequence[str], given: str | None) -> tuple[str, str]:
    """Return the slug of a study's competition and its source, in words.

    Args:
        root: the competition's folder.
        evidence: that of the competition when the study was begun.
        given: what the user gives now.

    Raises:
        UsageError: it is not given, and the folder's name cannot be one.
    """
    if given is not None:
        return parse_slug(given), "as asked"
    in_evidence = [found[1] for line in evidence if (found := _SLUG_IN_EVIDENCE.match(line))]
    if in_evidence:
        return in_evidence[0], "as the study has it"
    known = find_known_competition(root.name)
    if known is not None:
        return known.slug, f"known by the folder's name {root.name}"
    if not _SLUG.fullmatch(root.name):
        raise UsageError(
            f"the folder's name '{root.name}' is not that of a competition of Kaggle's",
            hint="name the competition with --competition",
        )
    return root.name, "from the folder's name; --competition names another"


def build_page_url(slug: str, part: str = "") -> str:
    """Build the URL of the competition's page, or of a part of it: "rules", "submissions"."""
    return f"{SITE}/competitions/{slug}" + (f"/{part}" if part else "")
