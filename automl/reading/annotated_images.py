"""The images that COCO-style files annotate: what finds each of them, and what it is called.

Not responsible for: the files' form (automl.reading.annotations), or what becomes of the labels
(automl.reading.label_json).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from automl.errors import DataError, listed
from automl.files.images import ImageLookup
from automl.files.tables import counted
from automl.reading.annotations import ImageRecords, category_names, image_records, labels_of_images
from automl.reading.templates import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """An image in a file of labels.

    Attributes:
        query: what finds the image: its file name, or its id.
        labels: each once; empty where it has no annotation.
        others: names and texts of its other fields; the images of one file share the names.
    """

    image_id: str
    query: str
    url: str
    labels: tuple[str, ...]
    others: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def other(self, field: str) -> str:
        names, values = self.others
        return values[names.index(field)] if field in names else ""


def annotated_images(
    coco: Mapping[str, Any], sample: Sample, lookup: ImageLookup
) -> tuple[list[Annotated], list[str], list[str]]:
    """The images of all these files together, the files that they are of, and what was left out.

    An id counts within its file. A file whose images are all absent is left out where another's are there.

    Raises:
        DataError: a file is at fault.
    """
    evidence: list[str] = []
    records = {name: _records(document, name, evidence) for name, document in coco.items()}
    shared = _shared_ids([of_file for of_file, _ in records.values()])
    images = {}
    for name, (of_file, labels) in records.items():
        names = category_names(coco[name], name)
        translation = names if _sample_uses(names, sample) else {}
        queries = [
            _query(image_id, file_name, PurePosixPath(name).stem, shared, lookup)
            for image_id, file_name in zip(of_file.ids, of_file.file_names, strict=True)
        ]
        images[name] = _annotated(of_file, queries, labels, translation)
    present = [name for name in images if any(lookup.candidates(image.query) for image in images[name])]
    used = present or list(images)
    evidence += [
        f"labels: {name} left out: none of its {counted(len(images[name]), 'image')} is there"
        for name in images
        if name not in used
    ]
    return [image for name in used for image in images[name]], used, evidence


def _records(
    document: Mapping[str, Any], name: str, evidence: list[str]
) -> tuple[ImageRecords, dict[str, tuple[str, ...]]]:
    """The images of a file and their labels; annotations of others are added to the evidence."""
    labels = labels_of_images(document, name)
    records = image_records(document, name) or _records_of(tuple(labels))
    known = set(records.ids)
    loose = [image_id for image_id in labels if image_id not in known]
    _require_annotations(labels, loose, name)
    if loose:
        n_loose = counted(len(loose), "annotated image")
        evidence.append(f"labels: {n_loose} that {name} does not list left out: {listed(loose)}")
    return records, labels


def _shared_ids(records: Sequence[ImageRecords]) -> set[str]:
    """The ids without a file name that several files give to images of their own."""
    nameless = Counter(
        image_id
        for of_file in records
        for image_id, file_name in zip(of_file.ids, of_file.file_names, strict=True)
        if not file_name
    )
    return {image_id for image_id, n_files in nameless.items() if n_files > 1}


def _require_annotations(labels: Collection[str], loose: Sequence[str], name: str) -> None:
    if not labels:
        raise DataError(f"{name}: 'annotations' is empty", hint="restore the file")
    if len(loose) == len(labels):
        raise DataError(
            f"{name}: no annotation is of one of its images: {listed(list(loose))}", hint="restore the file"
        )


def _records_of(image_ids: tuple[str, ...]) -> ImageRecords:
    """Annotated images without a list of images."""
    blank = ("",) * len(image_ids)
    return ImageRecords(ids=image_ids, file_names=blank, urls=blank, others={})


def _sample_uses(names: Mapping[str, str], sample: Sample) -> bool:
    """Whether the sample submission writes categories by their names."""
    columns = {column.strip() for column in sample.target_columns}
    values = {value for value in sample.values if value}
    tokens = {token for value in values for token in value.split()}
    written = [columns] if len(columns) > 1 else [values, tokens]
    known = set(names.values())
    return any(part and part <= known and not part <= names.keys() for part in written)


def _annotated(
    records: ImageRecords, queries: Sequence[str], labels: Mapping[str, tuple[str, ...]], names: Mapping[str, str]
) -> list[Annotated]:
    fields = tuple(records.others)
    values = zip(*records.others.values(), strict=True) if fields else [()] * len(records.ids)
    return [
        Annotated(
            image_id=image_id,
            query=query,
            url=url,
            labels=tuple(names.get(label, label) for label in labels.get(image_id, ())),
            others=(fields, others),
        )
        for image_id, query, url, others in zip(records.ids, queries, records.urls, values, strict=True)
    ]


def _query(image_id: str, file_name: str, folder: str, shared: Collection[str], lookup: ImageLookup) -> str:
    """What finds the image: its path, its name without folders, its id in the folder called as the file, or its id."""
    if file_name and lookup.candidates(file_name):
        return file_name
    in_folder = f"{folder}/{image_id}"
    if image_id in shared and not file_name:
        return in_folder
    shorter = (PurePosixPath(file_name).name, in_folder, image_id)
    return next((query for query in shorter if query and lookup.candidates(query)), file_name or image_id)
