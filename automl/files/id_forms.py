"""Forms in which one id is written: as paths of other systems, in other case, as a number without its zeros."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from automl.files.image_names import get_folder, strip_suffix

Rewrite = Callable[[str], str]  # of a name, so that it can be compared

QUOTES = "\"'`\u2018\u2019\u201c\u201d"
INVISIBLE = "\ufeff\u200b\u200e\u200f"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
ENCODED_SCHEMES = ("file", "http", "https")  # object stores write keys as they are
DRIVE = re.compile(r"(?:/*[?.]/+)?/*[A-Za-z]:/")  # C:/ or, as //?/C:/, one of any length
PARENTS = re.compile(r"(?:\.\./)+")
# 7, 007, 7.0, 1,234, and 1e+05 as R writes 100000; 1.2e+05 may have lost digits.
NUMBER = re.compile(r"(?P<whole>\d+)(?:\.0*)?|(?P<grouped>\d{1,3}(?:,\d{3})+)|(?P<digit>[1-9])e\+?(?P<zeros>\d{1,2})")
LONGEST_NUMBER = 40  # signs; longer ones are keys
FRACTION = re.compile(r"-?\d*\.\d*[1-9]\d*")


def normalize(text: str) -> str:
    """Return a name with its letters composed, as one of the two Unicode forms in which systems write names."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def clean_id(image_id: str, has_backslashes: bool = False) -> str:
    """Return the id as a plain path: without quotes and blanks, drive, scheme, needless slashes and dots around it.

    Args:
        has_backslashes: whether files have some in their names, so that they separate no folders.
    """
    text = normalize(image_id).strip().strip(QUOTES + INVISIBLE).strip()
    if not has_backslashes:
        text = text.replace("\\", "/")
    if "/" in text:
        text = _strip_machine(text)
        text = "/".join(part for part in text.split("/") if part not in ("", "."))
    return text if text.endswith("..") else text.removesuffix(".")


def ignore_case(text: str) -> str:
    """Return a name in lower case."""
    return normalize(normalize(text).casefold())


def ignore_width(text: str) -> str:
    """Return a name with letters of other widths and shapes as the usual ones."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def decode_url(text: str) -> str:
    """Return a name with what a web address encodes as it is: a blank for %20 or +."""
    return normalize(unquote(text.replace("+", " ")) if "%" in text or "+" in text else text)


def drop_parents(text: str) -> str:
    """Return a path without the way up from another folder: ../input/train/a.png."""
    return normalize(PARENTS.sub("", text, count=1) if text.startswith("../") else text)


def clean_text(text: str) -> str:
    """Return a name in lower case, with usual letters, decoded, and without the way up from another folder."""
    return normalize(ignore_width(decode_url(drop_parents(text))).casefold())


def drop_zeros(text: str) -> str:
    """Return a name that is a whole number but for its extension without zeros and signs around it: 0007.png as 7.png.

    What else it holds is written as by `clean_text`.
    """
    text = clean_text(text)
    folder = get_folder(text)
    stem = strip_suffix(text[len(folder) :])
    number = parse_whole_number(stem)
    return text if number is None else f"{folder}{number}{text[len(folder) + len(stem) :]}"


def parse_whole_number(text: str) -> str | None:
    """Return the digits of a whole number without zeros before it; None for anything else, and for what is no count."""
    match = NUMBER.fullmatch(text) if text.isascii() and len(text) <= LONGEST_NUMBER else None
    if match is None:
        return None
    if match["digit"]:
        return match["digit"] + "0" * int(match["zeros"])
    return (match["whole"] or match["grouped"].replace(",", "")).lstrip("0") or "0"


def get_stem(name: str) -> str:
    """Return what a path calls its file, without folders and extension."""
    return strip_suffix(name[len(get_folder(name)) :])


def is_fraction(text: str) -> bool:
    """Whether a text is a number with a fraction, which counts nothing."""
    return FRACTION.fullmatch(text) is not None


def has_one_width(numbers: Iterable[str]) -> bool:
    """Whether digits may all be padded with zeros to one width: 0007 and 12345, but not 0007 and 8."""
    numbers = list(numbers)
    width = max((len(text) for text in numbers if len(text) > 1 and text[0] == "0"), default=0)
    return all(len(text) >= width for text in numbers)


def is_shifted(names: Iterable[str], others: Iterable[str]) -> bool:
    """Whether the numbers of names count on beyond the last of the others and begin after the first, or both before."""
    wanted, there = (
        [int(number) for name in each if (number := parse_whole_number(get_stem(name))) is not None]
        for each in (names, others)
    )
    return not wanted or not there or (max(wanted) - max(there)) * (min(wanted) - min(there)) > 0


def _strip_machine(path: str) -> str:
    """Return a path without its scheme or its drive."""
    if scheme := SCHEME.match(path):
        path = path[scheme.end() :]
        if scheme[1].lower() in ENCODED_SCHEMES:
            path = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    return DRIVE.sub("", path, count=1) if DRIVE.match(path) else path
