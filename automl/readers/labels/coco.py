"""Training labels in JSON files: COCO-style annotations, a mapping of images to labels, or a list of records.

The labels are the categories' ids as text, or their names where the sample submission uses names. Not responsible for:
the files' form (automl.readers.labels.json_records), what finds their images (automl.readers.labels.coco), or what an
image that is missing leads to (automl.readers.labels.csv_rows).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from automl.errors import DataError, listed
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_of_test
from automl.files.tables import Table, counted
from automl.readers.labels.csv_rows import labels_of_rows
from automl.readers.labels.json_records import (
    ImageRecords,
    category_names,
    image_records,
    is_coco,
    labels_of_images,
    plain_labels,
    read_document,
)
from automl.readers.labels.source import Labels, NotOfThisKindError, Source
from automl.readers.submission_template import Sample


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


LABEL_WORDS = ("train", "label", "annot")  # in the name of a file that must be whole
FEW = 0.05  # of the images; where no more of them have several labels, an image has one, and these are no use
MOST = 0.5  # of the images; a mapping that names fewer of them is of something else


def labels_from_json(source: Source) -> Labels:
    """From images and annotations in one or several JSON files, or from a plain mapping of images to labels.

    Several categories of an image are joined by blanks, as in a table; where the sample has a column for each
    category, they become a 0 or 1 for each.

    Raises:
        NotOfThisKindError: no JSON file holds labels.
        DataError: one does, and it is at fault, or its images are still to be downloaded.
    """
    lookup = ImageLookup(source.files.train, source.files.other)
    documents = {name: document for name in _names(source) if (document := _read(name, source)) is not None}
    coco = {name: document for name, document in documents.items() if is_coco(document)}
    if coco:
        images, used, evidence = annotated_images(coco, source.sample, lookup)
        read = _labels_of(images, _in_words(used), lookup, source)
        return replace(read, evidence=(*read.evidence, *evidence))
    for name, document in documents.items():
        plain = plain_labels(document, name)
        if plain and _names_most(list(plain), lookup, source):
            images = [Annotated(image_id=image, query=image, url="", labels=labels) for image, labels in plain.items()]
            return _labels_of(images, name, lookup, source)
    raise NotOfThisKindError(f"{listed(list(documents))} holds no labels" if documents else "there is no JSON file")


def _names(source: Source) -> list[str]:
    asked = source.labels_name
    if asked is not None and asked in source.documents:
        return [asked]
    return [name for name in sorted(source.documents) if not is_of_test(name)]


def _read(name: str, source: Source) -> Any:
    """The document, or None where it is damaged and no file of labels by its name."""
    try:
        return read_document(source.documents[name])
    except DataError:
        if name == source.labels_name or any(word in name.lower() for word in LABEL_WORDS):
            raise
        return None


def _in_words(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _names_most(images: Sequence[str], lookup: ImageLookup, source: Source) -> bool:
    """Whether most of these name images, and most training images are named."""
    n_named = sum(1 for image in images if lookup.candidates(image))
    return n_named > MOST * len(images) and n_named > MOST * len(source.trainable)


def _labels_of(images: Sequence[Annotated], name: str, lookup: ImageLookup, source: Source) -> Labels:
    _require_images(images, name, lookup, source)
    labelled = [image for image in images if image.labels]
    kept, evidence = _one_or_several(labelled, name, source)
    if len(labelled) < len(images):
        unlabelled = [image.query for image in images if not image.labels]
        n_images = counted(len(unlabelled), "image")
        evidence.append(f"labels: {n_images} of {name} without an annotation left out: {listed(unlabelled)}")
    table, n_labels = _as_table(kept, name, source)
    read = labels_of_rows(table, 0, tuple(range(1, 1 + n_labels)), lookup, source)
    first = f"labels: {len(read.ids)} images, from the annotations of {name}"
    return replace(read, ids=_own_ids(read.ids, kept), evidence=(first, *evidence, *read.evidence[1:]))


def _require_images(images: Sequence[Annotated], name: str, lookup: ImageLookup, source: Source) -> None:
    """One image at least is in the folder, or could be had from the web."""
    if any(lookup.candidates(image.query) for image in images):
        return
    place = source.files.train_place
    first = next((image for image in images if image.url), None)
    if first is None:
        raise NotOfThisKindError(f"{name} names no image in {place}, but {listed([image.query for image in images])}")
    raise DataError(
        f"{name} names {counted(len(images), 'image')} by addresses on the web, and none of them is in {place}: "
        f"{listed([first.url])}",
        hint=f"download them under their ids, this one as train/{PurePosixPath(first.query).name}.jpg",
    )


def _one_or_several(images: Sequence[Annotated], name: str, source: Source) -> tuple[list[Annotated], list[str]]:
    """The images that fit: all where several labels are usual or the sample lists them, else those with one."""
    several = [image for image in images if len(image.labels) > 1]
    lengths = {len(value.split()) for value in source.sample.values}
    if not several or len(several) > FEW * len(images) or len(lengths) > 1:
        return list(images), []
    queries = [image.query for image in several]
    line = f"labels: {counted(len(several), 'image')} of {name} with several categories left out: {listed(queries)}"
    return [image for image in images if len(image.labels) == 1], [line]


def _as_table(images: Sequence[Annotated], name: str, source: Source) -> tuple[Table, int]:
    """A row for each image: its query, its labels, its other fields; and how many columns the labels take."""
    fields = list(
        dict.fromkeys(field for names in dict.fromkeys(image.others[0] for image in images) for field in names)
    )
    columns = [column.strip() for column in source.sample.target_columns]
    several = any(len(image.labels) > 1 for image in images)
    wide = several and len(columns) > 1 and {label for image in images for label in image.labels} <= set(columns)
    if several and not wide:
        _require_no_blanks(images, name)
    rows = []
    for image in images:
        joined = [" ".join(image.labels)]
        cells = ["1" if column in image.labels else "0" for column in columns] if wide else joined
        rows.append((image.query, *cells, *(image.other(field) for field in fields)))
    header = ("file", *(columns if wide else ["label"]), *fields)
    numbers = tuple(range(1, 1 + len(rows)))
    return Table(name=name, delimiter=",", header=header, rows=tuple(rows), lines=numbers), len(columns) if wide else 1


def _require_no_blanks(images: Sequence[Annotated], name: str) -> None:
    blank = sorted({label for image in images for label in image.labels if " " in label})
    if blank:
        raise DataError(
            f"{name} gives images several categories, but the name of one holds a blank: {listed(blank)}",
            hint="write the categories with _ for the blanks, in the sample submission too",
        )


def _own_ids(queries: Sequence[str], images: Sequence[Annotated]) -> tuple[str, ...]:
    """The ids that the files give, unless two files give the same."""
    id_of = {image.query: image.image_id for image in images}
    ids = tuple(id_of[query] for query in queries)
    return ids if len(set(ids)) == len(ids) else tuple(queries)
