"""Parse JSON files about images: COCO-style annotations, or plain records and mappings.

    {"images": [{"id": 7, "file_name": "a/7.jpg", "location": 3}, ...],    "image_id" for "id", "url" for "file_name"
     "annotations": [{"image_id": 7, "category_id": 12}, ...],             "label_id" for "category_id"
     "categories": [{"id": 12, "name": "fox"}, ...]}

Numbers stay text as they are written. What no one asks for, such as boxes and outlines, is dropped while parsing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import DataError, join_names
from automl.files.addresses import read_bytes

ID_KEYS = ("id", "image_id", "imageId")  # of an image
FILE_KEYS = ("file_name", "filename", "file", "path", "image_path", "image")
URL_KEYS = ("url", "coco_url", "flickr_url")
IMAGE_KEYS = ("image_id", "imageId")  # of an annotation
CATEGORY_KEYS = ("category_id", "label_id", "labelId", "category", "label")
CATEGORY_ID_KEYS = ("id", "category_id", "label_id")  # of a category
NAME_KEYS = ("name", "category", "label", "scientificName", "scientific_name")
UNNEEDED_KEYS = frozenset(
    ("bbox", "segmentation", "keypoints", "polygon", "detections", "license", "rights_holder", "area", "iscrowd")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecords:
    """The images that a JSON file lists.

    Attributes:
        ids: (n,) each once.
        file_names: (n,) "" where it has none.
        urls: (n,) the first one, "" where it has none.
        others: the remaining fields by name, (n,) each, "" where an image lacks it.
    """

    ids: tuple[str, ...]
    file_names: tuple[str, ...]
    urls: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]]


def read_document(path: Path) -> Any:
    """Read a JSON file, its numbers as text.

    Raises:
        DataError: the file cannot be read, or is no JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_hook=_drop_unneeded,
            parse_int=sys.intern,
            parse_float=sys.intern,
            parse_constant=str,
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is damaged: {error}", hint="restore the file") from error


def is_coco(document: Any) -> bool:
    """Whether a document has annotations, and so labels."""
    return isinstance(document, dict) and "annotations" in document


def parse_images(document: Any, name: str) -> ImageRecords | None:
    """Parse the images of a COCO-style document or of a list of records; None where it lists none.

    Raises:
        DataError: an image has no id, or two have the same and differ.
    """
    if isinstance(document, dict) and "images" in document:
        entries, place = _get_objects(document, "images", name), "images"
    elif isinstance(document, list) and document and _find_key(document[0], (*ID_KEYS, *FILE_KEYS)):
        entries, place = _require_objects(document, name, "it"), "entry"
    else:
        return None
    return _build_records(_number_entries(entries, place), name)


def parse_annotations(document: Mapping[str, Any], name: str) -> dict[str, tuple[str, ...]]:
    """Parse each annotated image's categories by its id; each category once, in the order of the file.

    Raises:
        DataError: an annotation lacks its image or category.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for place, entry in _number_entries(_get_objects(document, "annotations", name), "annotations"):
        image_id = _require_text(entry, IMAGE_KEYS, name, place)
        values = _get_value(entry, CATEGORY_KEYS)
        for value in values if isinstance(values, list) else [values]:
            category = _to_text(value, name, place)
            if not category:
                raise _make_missing_error(name, place, CATEGORY_KEYS)
            known = labels.get(image_id, ())
            labels[image_id] = known if category in known else (*known, sys.intern(category))
    return labels


def parse_categories(document: Mapping[str, Any], name: str) -> dict[str, str]:
    """Parse the name of each category that has one, by its id."""
    if "categories" not in document:
        return {}
    names = {}
    for place, entry in _number_entries(_get_objects(document, "categories", name), "categories"):
        category = _require_text(entry, CATEGORY_ID_KEYS, name, place)
        names[category] = _to_text(_get_value(entry, NAME_KEYS), name, place)
    return {category: text for category, text in names.items() if text}


def parse_plain_labels(document: Any, name: str) -> dict[str, tuple[str, ...]] | None:
    """Parse {"a.jpg": "cat"} or [{"id": "a.jpg", "label": "cat"}] to labels by image; None for anything else.

    Raises:
        DataError: an image has two different labels.
    """
    if isinstance(document, dict):
        pairs = [(str(key), value) for key, value in document.items()]
    elif isinstance(document, list):
        pairs = [pair for entry in document if (pair := _parse_pair(entry))]
    else:
        return None
    labels: dict[str, tuple[str, ...]] = {}
    for image, value in pairs:
        texts = [_to_text(part, name, image) for part in (value if isinstance(value, list) else [value])]
        if not texts or not all(texts):
            return None
        if labels.setdefault(image.strip(), tuple(texts)) != tuple(texts):
            raise DataError(
                f"{name}: {join_names([image])} has the labels {join_names([*labels[image.strip()], *texts])}",
                hint="leave the right one of these entries",
            )
    return labels or None


def _drop_unneeded(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in UNNEEDED_KEYS}


def _get_objects(document: Mapping[str, Any], key: str, name: str) -> Sequence[Mapping[str, Any]]:
    return _require_objects(document[key], name, f"'{key}'")


def _require_objects(entries: Any, name: str, what: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{name}: {what} is not a list of objects", hint="restore the file")
    return entries


def _number_entries(entries: Sequence[Mapping[str, Any]], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((f"{place}[{number}]", entry) for number, entry in enumerate(entries))


def _build_records(entries: Iterator[tuple[str, Mapping[str, Any]]], name: str) -> ImageRecords:
    by_id: dict[str, Mapping[str, Any]] = {}
    for place, entry in entries:
        image_id = _require_text(entry, (*ID_KEYS, *FILE_KEYS), name, place)
        if by_id.setdefault(image_id, entry) != entry:
            raise DataError(
                f"{name}: {place} has the id {join_names([image_id])}, as another", hint="leave one of both"
            )
    used = {*ID_KEYS, *FILE_KEYS, *URL_KEYS}
    fields = dict.fromkeys(key for entry in by_id.values() for key in entry if key not in used)
    return ImageRecords(
        ids=tuple(by_id),
        file_names=_collect_column(by_id, FILE_KEYS, name),
        urls=_collect_column(by_id, URL_KEYS, name),
        others={field: _collect_column(by_id, (field,), name) for field in fields},
    )


def _collect_column(by_id: Mapping[str, Mapping[str, Any]], keys: Sequence[str], name: str) -> tuple[str, ...]:
    """Collect the first of these fields that each image has, (n,) with equal texts kept once; "" for none."""
    texts = []
    for image_id, entry in by_id.items():
        value = _get_value(entry, keys)
        text = _to_text(value[0] if isinstance(value, list) and value else value, name, image_id)
        texts.append(sys.intern(text))
    return tuple(texts)


def _parse_pair(entry: Any) -> tuple[str, Any] | None:
    """Return (image, label) of a record with both."""
    if not isinstance(entry, dict):
        return None
    image = _get_value(entry, (*ID_KEYS, *FILE_KEYS))
    label = _get_value(entry, (*CATEGORY_KEYS, "labels", "class"))
    return (image, label) if isinstance(image, str) and label is not None else None


def _find_key(entry: Any, keys: Sequence[str]) -> str | None:
    return next((key for key in keys if key in entry), None) if isinstance(entry, dict) else None


def _get_value(entry: Mapping[str, Any], keys: Sequence[str]) -> Any:
    for key in keys:
        if key in entry:
            return entry[key]
    return None


def _require_text(entry: Mapping[str, Any], keys: Sequence[str], name: str, place: str) -> str:
    text = _to_text(_get_value(entry, keys), name, place)
    if not text:
        raise _make_missing_error(name, place, keys)
    return text


def _make_missing_error(name: str, place: str, keys: Sequence[str]) -> DataError:
    return DataError(
        f"{name}: {place} has no text or number at '{keys[0]}' (nor at {', '.join(keys[1:])})", hint="restore the file"
    )


def _to_text(value: Any, name: str, place: str) -> str:
    """Return a value as text without surrounding blanks; "" where it is neither text nor a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a pair of surrogates, which no file of ours could hold
        raise DataError(
            f"{name}: {join_names([place])} holds {value!r}, which is no text", hint="fix the file"
        ) from error
    return value.strip()
