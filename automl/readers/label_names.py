"""Match how the labels are written with how the sample submission writes them: in its cells, its columns, its names.

Labels and sample are of one competition, but were written by different hands: 0.0 for 0, cat for Cat, a Mac's form of
an accent, prob_cat for cat. What is matched is matched one to one, or not at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from automl.errors import join_names
from automl.files.evidence import format_suggestion, format_warning
from automl.readers.labels.source import Labels
from automl.readers.whole_numbers import split_words

Respell = Callable[[str], str]

WHOLE_NUMBER = re.compile(r"([+-]?)0*([0-9]{1,18}?)(?:\.0*)?")
BLANKS = re.compile(r"[\s_-]+")
NEGATIONS = frozenset({"not", "non", "no", "without", "isnt", "isn"})
# Words beside a label in the name of a column of probabilities.
PROBABILITY_TEXT = (
    "chance class confidence has is label likelihood likely p pr pred predicted prediction prob proba probability score"
)
PROBABILITY_WORDS = frozenset(PROBABILITY_TEXT.split())
GLUED = ("probability", "proba", "prob", "pred", "is", "p")  # to a label without a sign between, such as isfake
BOOLEANS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("0", "1"))
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Matched:
    """Labels by what the submission calls them, where that differs, and the lines that say so."""

    renamed: Mapping[str, str]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedLabel:
    """The one label that a column is named after; negated where it is named after the opposite, as not_cat."""

    label: str
    negated: bool


def normalize_label(text: str) -> str:
    """Normalize what different hands write differently: letter case, Unicode forms, blanks and signs, 0.0 and 00."""
    number = WHOLE_NUMBER.fullmatch(text.strip())
    if number:
        return ("-" if number[1] == "-" and number[2] != "0" else "") + number[2]
    return BLANKS.sub(" ", unicodedata.normalize("NFC", text).casefold()).strip()


def merge_unicode_forms(labels: Labels) -> tuple[Labels, tuple[str, ...]]:
    """Merge labels that are the same but for their Unicode form to the composed one; also return what to tell."""
    cells = {cell for row in labels.cells for cell in row if not cell.isascii()}
    composed = {cell: unicodedata.normalize("NFC", cell) for cell in cells}
    twice = {cell: form for cell, form in composed.items() if cell != form and form in cells}
    if not twice:
        return labels, ()
    line = format_warning(
        f"labels in two Unicode forms, as of two systems, are taken for one: {join_names(sorted(twice.values()))}"
    )
    rows = tuple(tuple(twice.get(cell, cell) for cell in row) for row in labels.cells)
    return replace(labels, cells=rows), (line,)


def match_spelling(labels: Collection[str], written: Collection[str], *, source: str) -> Matched:
    """Match labels with how the sample's cells write some of them; all are then written in that way.

    Args:
        written: labels as the sample writes them, and maybe what stands for none.
        source: the name of the sample.
    """
    known = set(labels)
    folded = {normalize_label(label) for label in known}
    otherwise = {text for text in written if text not in known and normalize_label(text) in folded}
    if known == {"0", "1"}:
        otherwise = set()  # 0.0 is as good a probability
    if not otherwise:
        return _match_unicode_form(known, written, source) or _match_booleans(known, written, source)
    wanted = otherwise | (set(written) & known)
    for respell in _iterate_respellings(otherwise):
        renamed = {label: respell(label) for label in known}
        if wanted <= set(renamed.values()) and len(set(renamed.values())) == len(known):
            return _tell_spelling({own: text for own, text in renamed.items() if own != text}, written, source)
    by_fold = {normalize_label(text): text for text in wanted}
    if len(by_fold) == len(wanted) == len(known) == len(folded):
        return _tell_spelling({own: by_fold[normalize_label(own)] for own in known}, written, source)
    return Matched({})


def match_columns(columns: Sequence[str], labels: Collection[str]) -> Matched:
    """Match each label with the column that is called by it, but for what begins or ends all of them, as in prob_cat.

    Nothing where the columns hold every label as it is, or where columns and labels are no pairs.
    """
    if not set(labels) <= set(columns):
        for own, other, are_columns in ((columns, labels, True), (sorted(labels), columns, False)):
            for start, end, named in _match_affixed(own, other):
                if not are_columns and len(own) > len(named):
                    continue
                renamed = named if are_columns else {label: column for column, label in named.items()}
                return Matched(renamed, (_describe_affixes(start, end, renamed, are_columns=are_columns),))
    return Matched({})


def match_targets(columns: Sequence[str], targets: Sequence[str]) -> tuple[int, ...] | None:
    """Return (n_targets,) which of the label columns each target is, by name; None where the names are no pairs."""
    renamed = (
        {name: name for name in columns} if set(columns) == set(targets) else match_columns(targets, columns).renamed
    )
    if len(columns) != len(targets) or not renamed:
        return None
    position = {renamed[name]: at for at, name in enumerate(columns)}
    return tuple(position[target] for target in targets)


def _match_affixed(names: Sequence[str], bare: Collection[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield what begins and ends all names where a bare one is left of each, and bare name -> name.

    As many of both, or more names where nothing begins or ends them.
    """
    bare_of = {normalize_label(own): own for own in bare}
    if len(bare_of) < len(set(bare)):
        return
    for start, end in _iterate_affixes(names, bare_of):
        name_of = {normalize_label(name[len(start) : len(name) - len(end)]): name for name in names}
        fits = name_of.keys() == bare_of.keys() if start or end else name_of.keys() >= bare_of.keys()
        if fits and len(name_of) == len(names):
            yield start, end, {own: name_of[normal] for normal, own in bare_of.items()}


def find_named_label(column: str, labels: Collection[str]) -> NamedLabel | None:
    """Find the one label that a column is named after, such as fake in is_fake; None where it is none or several."""
    if column.strip() in labels:
        return NamedLabel(column.strip(), negated=False)
    words = [word for part in BLANKS.split(unicodedata.normalize("NFC", column)) for word in _split_part(part)]
    found = [(label, at) for label in labels for at in _find_words(words, split_label(label)) if split_label(label)]
    found = [(label, at) for label, at in found if not _is_inside(label, at, found)]
    if len({label for label, _ in found}) != 1:
        return None
    label, at = found[0]
    rest = [*words[:at], *words[at + len(split_label(label)) :]]
    if normalize_label(label).lstrip("-").isdigit() and (not rest or not PROBABILITY_WORDS.issuperset(rest)):
        return None  # target_0 is the first of several targets
    n_negations = sum(word in NEGATIONS for word in words[:at])
    return NamedLabel(label, negated=n_negations % 2 == 1)


def order_two_classes(
    ordered: tuple[str, ...], column: str, sample_name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Order two sorted classes so that 1 stands for the second; also return why, in lines.

    By the name of the sample's column, by numbers, or by a yes and a no; else they stay as they are, which is no
    reason, and so a warning.
    """
    named = find_named_label(column, ordered)
    if named is not None:
        is_first = (named.label == ordered[0]) is not named.negated
        classes = ordered[::-1] if is_first else ordered
        line = f"classes: 1 stands for {classes[1]}, as column {join_names([column])} of {sample_name} is called"
        return classes, (format_warning(line) if named.negated else line,)
    booleans = sort_booleans(ordered)
    if booleans is not None or set(ordered) == {"-1", "1"}:
        return booleans or ordered, ()
    first, second = ordered
    line = f"nothing says which class 1 stands for: {second} is taken, the later in order, and 0 for {first}"
    flag = format_suggestion(f"--negative {second}", f"takes 1 for {first}, and 0 for {second}")
    return ordered, (format_warning(line), flag)


def split_label(label: str) -> list[str]:
    """Split a label into the words that a column's name would have of it."""
    normal = unicodedata.normalize("NFC", label)
    return [word for part in BLANKS.split(normal) for word in _split_part(part)]


def sort_booleans(labels: Collection[str]) -> tuple[str, ...] | None:
    """Sort two labels that say no and yes, the no first; None where they say something else."""
    folded = {normalize_label(label): label for label in labels}
    pair = next((pair for pair in BOOLEANS if set(pair) == folded.keys()), None)
    return (folded[pair[0]], folded[pair[1]]) if pair and len(labels) == 2 else None


def find_boolean_words(values: Collection[str]) -> tuple[str, str] | None:
    """Find the words for a no and a yes, of which a sample holds one or both; None of other words and of numbers."""
    folded = {normalize_label(value) for value in values}
    pair = next((pair for pair in BOOLEANS[:-1] if folded and folded <= set(pair)), None)
    example = next(iter(values), "")
    return (_copy_case(pair[0], example), _copy_case(pair[1], example)) if pair else None


def _split_part(part: str) -> list[str]:
    if part.isascii():
        return split_words(part)
    return [word for word in re.split(r"\W+", part.casefold()) if word]


def _find_words(words: Sequence[str], wanted: Sequence[str]) -> Iterator[int]:
    """Yield where the wanted words stand one behind the other; one word also glued to is or prob."""
    is_word = len(wanted) == 1 and len(wanted[0]) > 1
    for at in range(len(words) - len(wanted) + 1):
        if list(words[at : at + len(wanted)]) == list(wanted) or (is_word and _is_glued(words[at], wanted[0])):
            yield at


def _is_glued(word: str, label: str) -> bool:
    return any(word in (f"{glue}{label}", f"{label}{glue}") for glue in GLUED)


def _is_inside(label: str, at: int, found: Collection[tuple[str, int]]) -> bool:
    """Whether a longer label stands there: cat in wild_cat."""
    end = at + len(split_label(label))
    return any(
        other != label and start <= at and end <= start + len(split_label(other)) and len(split_label(other)) > end - at
        for other, start in found
    )


def _match_unicode_form(labels: set[str], written: Collection[str], source: str) -> Matched | None:
    """Labels in two Unicode forms, where the sample writes those that it shows in one of them."""
    shown = [text for text in written if text in labels and not text.isascii()]
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        renamed = {label: unicodedata.normalize(form, label) for label in labels}  # type: ignore[arg-type]
        changed = {label: text for label, text in renamed.items() if label != text}
        is_shown = any(unicodedata.normalize(other, text) != text for text in shown)  # type: ignore[arg-type]
        if changed and is_shown and not changed.keys() & set(shown) and len(set(renamed.values())) == len(labels):
            return _tell_spelling(changed, written, source)
    return None


def _match_booleans(labels: set[str], written: Collection[str], source: str) -> Matched:
    """Two labels of a yes and a no, where the sample writes another such pair; numbers are for the form to choose."""
    own, pair = sort_booleans(labels), find_boolean_words(written)
    if own is None or pair is None or set(written) & labels:
        return Matched({})
    return _tell_spelling(dict(zip(own, pair, strict=True)), written, source)


def _copy_case(text: str, example: str) -> str:
    if example.isupper():
        return text.upper()
    return text.capitalize() if example[0].isupper() else text


def _tell_spelling(renamed: Mapping[str, str], written: Collection[str], source: str) -> Matched:
    """Tell it; warn where the sample does not show each of them, and they differ by more than numbers do."""
    if all(unicodedata.normalize("NFC", own) == unicodedata.normalize("NFC", text) for own, text in renamed.items()):
        names = join_names(sorted(renamed.values()))
        return Matched(
            renamed, (f"classes: in the Unicode form of {source}, which is not that of the labels: {names}",)
        )
    pairs = [f"{own} as {text}" for own, text in sorted(renamed.items())]
    line = f"classes: written as {source} writes them: {join_names(pairs, at_most=MAX_SHOWN)}"
    is_known_form = set(renamed.values()) <= set(written) or all(map(WHOLE_NUMBER.fullmatch, renamed))
    return Matched(renamed, (line if is_known_form else format_warning(line),))


def _iterate_respellings(written: Collection[str]) -> Iterator[Respell]:
    """Yield ways to write a label, the likeliest first."""
    widths = {len(text) for text in written}
    numbers: list[Respell] = [_drop_fraction, _add_fraction, *(partial(_pad_number, width=width) for width in widths)]
    yield from numbers
    for normalize in (_keep, partial(unicodedata.normalize, "NFC"), partial(unicodedata.normalize, "NFD")):
        for change_case in (_keep, str.lower, str.upper, str.capitalize, str.title):
            for old, new in (("", ""), (" ", "_"), ("_", " "), (" ", "-"), ("-", " "), ("_", "-"), ("-", "_")):
                yield partial(_respell, normalize=normalize, change_case=change_case, old=old, new=new)


def _respell(text: str, *, normalize: Respell, change_case: Respell, old: str, new: str) -> str:
    return normalize(change_case(text.replace(old, new) if old else text))


def _keep(text: str) -> str:
    return text


def _drop_fraction(text: str) -> str:
    return normalize_label(text) if WHOLE_NUMBER.fullmatch(text) else text


def _add_fraction(text: str) -> str:
    return f"{normalize_label(text)}.0" if WHOLE_NUMBER.fullmatch(text) else text


def _pad_number(text: str, *, width: int) -> str:
    return normalize_label(text).zfill(width) if WHOLE_NUMBER.fullmatch(text) else text


def _iterate_affixes(columns: Sequence[str], label_of: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what may begin and end all columns: nothing, then as much as leaves a label of the first column."""
    yield "", ""
    first = columns[0]
    n_start, n_end = _count_common(columns), _count_common([column[::-1] for column in columns])
    for at in range(n_start, -1, -1):
        for end in range(min(n_end, len(first) - at), -1, -1):
            if (at or end) and normalize_label(first[at : len(first) - end]) in label_of:
                yield first[:at], first[len(first) - end :] if end else ""


def _count_common(texts: Sequence[str]) -> int:
    """Count the letters that begin all texts."""
    low, high = min(texts), max(texts)
    return next((at for at, (own, other) in enumerate(zip(low, high, strict=False)) if own != other), len(low))


def _describe_affixes(start: str, end: str, renamed: Mapping[str, str], *, are_columns: bool) -> str:
    parts = [part for part in (start, "a label" if are_columns else "a column of the sample", end) if part]
    if len(parts) > 1:
        subject = "column of the sample" if are_columns else "label"
        return f"classes: each {subject} is called {' and '.join(parts)}"
    pairs = [f"{label} is column {column}" for label, column in sorted(renamed.items()) if label != column]
    return f"classes: columns of the sample are written otherwise: {join_names(pairs, at_most=MAX_SHOWN)}"
