"""Read training labels from JSON files: COCO-style annotations, a mapping of images to labels, or a list of records.

The labels are the categories' ids as text, or their names where the sample submission uses names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.tables import Table, format_count
from automl.readers.labels.csv_rows import build_labels
from automl.readers.labels.folder_labels import require_no_class_folders
from automl.readers.labels.json_records import (
    ImageRecords,
    is_coco,
    parse_annotations,
    parse_categories,
    parse_images,
    parse_plain_labels,
    read_document,
)
from automl.readers.labels.source import LabelOrigin, Labels, LabelSource, LayoutMismatchError
from automl.readers.submission_template import SampleSubmission

LABEL_WORDS = ("train", "label", "annot")  # in the name of a file that must be whole
MAX_SEVERAL_SHARE = 0.05  # of the images; where no more have several labels, one is usual, and these are left out
MIN_NAMED_SHARE = 0.5  # of the images; a mapping that names fewer of them is of something else


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """An image with its annotations in a JSON file.

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

    def get_field(self, field: str) -> str:
        names, values = self.others
        return values[names.index(field)] if field in names else ""


def read_json_labels(source: LabelSource) -> Labels:
    """Read labels from COCO-style annotations in JSON files, or from a plain mapping of images to labels.

    Several categories of an image are joined by blanks, as in a table; where the sample has a column for each
    category, they become a 0 or 1 for each.

    Raises:
        LayoutMismatchError: no JSON file holds labels.
        DataError: one does, and it is at fault, or its images are still to be downloaded.
    """
    _require_no_column(source)
    lookup = ImageLookup(source.files.train, source.files.other, source.files.copies)
    documents = {
        name: document for name in _list_documents(source) if (document := _read_or_skip(name, source)) is not None
    }
    coco = {name: document for name, document in documents.items() if is_coco(document)}
    if coco:
        images, used, evidence = collect_annotated_images(coco, source.sample, lookup)
        read = _build_labels(images, _join_in_words(used), lookup, source)
        return replace(read, evidence=(*read.evidence, *evidence))
    passed_over = []
    for name, document in documents.items():
        try:
            plain = _read_plain_labels(document, name, lookup, source)
        except LayoutMismatchError as reason:
            passed_over.append(f"{name} ({reason})")
            continue
        images = [AnnotatedImage(image_id=image, query=image, url="", labels=labels) for image, labels in plain.items()]
        read = _build_labels(images, name, lookup, source)
        if not _is_called(name, source):
            require_no_class_folders(read, name, source)
        return read
    raise LayoutMismatchError(
        f"{join_names(list(documents))} holds no labels" if documents else "there is no JSON file", passed_over
    )


def _require_no_column(source: LabelSource) -> None:
    """Require that no column is asked for of a document, which has none."""
    if source.settings.label is not None and source.settings.labels in source.documents:
        raise UsageError(
            f"--label {source.settings.label}: {source.settings.labels} is a document, which has no columns",
            hint="leave --label out, or name a table with --labels",
        )
    if source.settings.label is not None:
        raise LayoutMismatchError("--label asks for a column of a table")


def _read_plain_labels(
    document: Any, name: str, lookup: ImageLookup, source: LabelSource
) -> Mapping[str, tuple[str, ...]]:
    """Read a mapping or a list of records.

    Raises:
        LayoutMismatchError: it is plainly something else, such as the names of the labels.
        DataError: it is called as a file of labels, and names no image, or hardly any.
    """
    plain = parse_plain_labels(document, name)
    if not plain:
        raise LayoutMismatchError("it has no label for each image")
    n_named = len(plain) - len(lookup.match(list(plain)).missing)
    n_images = len(source.training_images)
    is_requested = name == source.labels_name
    if n_named > MIN_NAMED_SHARE * len(plain) and (is_requested or n_named > MIN_NAMED_SHARE * n_images):
        return plain
    has_as_many = len(plain) > MIN_NAMED_SHARE * n_images and len(set(plain.values())) < len(plain)
    if is_requested or n_named > MIN_NAMED_SHARE * len(plain) or (_is_called(name, source) and has_as_many):
        raise DataError(
            f"{name} has labels of {n_named} of {format_count(n_images, 'training image')}, and of "
            f"{len(plain) - n_named} that are not in {source.files.train_location}",
            hint="--labels FILE takes another file, --labels folders the folders; or move it away",
            seen=[lookup.describe_miss(lookup.match(list(plain)).missing or list(plain), name)],
        )
    raise LayoutMismatchError("it names no images")


def _list_documents(source: LabelSource) -> list[str]:
    labels_name = source.labels_name
    if labels_name is not None and labels_name in source.documents:
        return [labels_name]
    if source.settings.labels is not None:
        raise LayoutMismatchError(f"{source.settings.labels} is no JSON file")
    return [name for name in sorted(source.documents) if not is_test_name(name)]


def _read_or_skip(name: str, source: LabelSource) -> Any:
    """Read a document; None where it is damaged and not named as a file of labels."""
    try:
        return read_document(source.documents[name])
    except DataError:
        if _is_called(name, source):
            raise
        return None


def _is_called(name: str, source: LabelSource) -> bool:
    """Whether a document is one of labels by its name, or as the user says."""
    return name == source.labels_name or any(word in name.lower() for word in LABEL_WORDS)


def _join_in_words(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def collect_annotated_images(
    coco: Mapping[str, Any], sample: SampleSubmission, lookup: ImageLookup
) -> tuple[list[AnnotatedImage], list[str], list[str]]:
    """Collect the images of all files, the files they are of, and evidence of what was left out.

    An id counts within its file. A file whose images are all absent is left out where another's are there.

    Raises:
        DataError: a file is at fault.
    """
    evidence: list[str] = []
    records = {name: _parse_records(document, name, evidence) for name, document in coco.items()}
    shared = _find_shared_ids([of_file for of_file, _ in records.values()])
    images = {}
    for name, (of_file, labels) in records.items():
        names = parse_categories(coco[name], name)
        translation = names if _uses_category_names(names, sample) else {}
        fitted = lookup.fit(of_file.file_names)
        queries = [
            _choose_query(image_id, file_name, PurePosixPath(name).stem, shared, fitted)
            for image_id, file_name in zip(of_file.ids, of_file.file_names, strict=True)
        ]
        images[name] = _make_annotated_images(of_file, queries, labels, translation)
    present = [name for name in images if _are_present(images[name], lookup)]
    used = present or list(images)
    evidence += [
        format_warning(f"labels: {name} left out: none of its {format_count(len(images[name]), 'image')} is there")
        for name in images
        if name not in used
    ]
    return [image for name in used for image in images[name]], used, evidence


def _are_present(images: Sequence[AnnotatedImage], lookup: ImageLookup) -> bool:
    """Whether one of the images at least is there."""
    queries = [image.query for image in images]
    return len(lookup.match(queries).missing) < len(queries)


def _parse_records(
    document: Mapping[str, Any], name: str, evidence: list[str]
) -> tuple[ImageRecords, dict[str, tuple[str, ...]]]:
    """Parse the images and labels of a file; annotations of unlisted images are added to the evidence."""
    labels = parse_annotations(document, name)
    records = parse_images(document, name) or _make_records(tuple(labels))
    known = set(records.ids)
    unlisted = [image_id for image_id in labels if image_id not in known]
    _require_annotations(labels, unlisted, name)
    if unlisted:
        n_unlisted = format_count(len(unlisted), "annotated image")
        line = f"labels: {n_unlisted} that {name} does not list left out: {join_names(unlisted)}"
        evidence.append(format_warning(line))
    return records, labels


def _require_annotations(labels: Collection[str], unlisted: Sequence[str], name: str) -> None:
    if not labels:
        raise DataError(f"{name}: 'annotations' is empty", hint="restore the file")
    if len(unlisted) == len(labels):
        raise DataError(
            f"{name}: no annotation is of one of its images: {join_names(list(unlisted))}", hint="restore the file"
        )


def _make_records(image_ids: tuple[str, ...]) -> ImageRecords:
    """Build records of annotated images where the file has no list of images."""
    blank = ("",) * len(image_ids)
    return ImageRecords(ids=image_ids, file_names=blank, urls=blank, others={})


def _find_shared_ids(records: Sequence[ImageRecords]) -> set[str]:
    """Return the ids without a file name that several files give to images of their own."""
    n_files_of_id = Counter(
        image_id
        for of_file in records
        for image_id, file_name in zip(of_file.ids, of_file.file_names, strict=True)
        if not file_name
    )
    return {image_id for image_id, n_files in n_files_of_id.items() if n_files > 1}


def _uses_category_names(names: Mapping[str, str], sample: SampleSubmission) -> bool:
    """Whether the sample submission writes categories by their names."""
    columns = {column.strip() for column in sample.target_columns}
    values = {value for value in sample.values if value}
    tokens = {token for value in values for token in value.split()}
    written = [columns] if len(columns) > 1 else [values, tokens]
    known = set(names.values())
    return any(part and part <= known and not part <= names.keys() for part in written)


def _choose_query(image_id: str, file_name: str, folder: str, shared: Collection[str], lookup: ImageLookup) -> str:
    """Return what finds the image: its path, its file name, its id in a folder named as the file, or its id."""
    if file_name and lookup.find(file_name):
        return file_name
    in_folder = f"{folder}/{image_id}"
    if image_id in shared and not file_name:
        return in_folder
    shorter = (PurePosixPath(file_name).name, in_folder, image_id)
    return next((query for query in shorter if query and lookup.find(query)), file_name or image_id)


def _make_annotated_images(
    records: ImageRecords, queries: Sequence[str], labels: Mapping[str, tuple[str, ...]], names: Mapping[str, str]
) -> list[AnnotatedImage]:
    fields = tuple(records.others)
    values = zip(*records.others.values(), strict=True) if fields else [()] * len(records.ids)
    return [
        AnnotatedImage(
            image_id=image_id,
            query=query,
            url=url,
            labels=tuple(names.get(label, label) for label in labels.get(image_id, ())),
            others=(fields, others),
        )
        for image_id, query, url, others in zip(records.ids, queries, records.urls, values, strict=True)
    ]


def _build_labels(images: Sequence[AnnotatedImage], name: str, lookup: ImageLookup, source: LabelSource) -> Labels:
    _require_images(images, name, lookup, source)
    labelled = [image for image in images if image.labels]
    kept, evidence = _drop_several_labels(labelled, name, source)
    if len(labelled) < len(images):
        unlabelled = [image.query for image in images if not image.labels]
        n_images = format_count(len(unlabelled), "image")
        line = f"labels: {n_images} of {name} without an annotation left out: {join_names(unlabelled)}"
        evidence.append(format_warning(line))
    table, n_labels = _build_table(kept, name, source)
    read = build_labels(table, (0,), tuple(range(1, 1 + n_labels)), lookup, source)
    first = f"labels: {len(read.ids)} images, from the annotations of {name}"
    return replace(
        read,
        ids=_restore_ids(read.ids, kept),
        evidence=(first, *evidence, *read.evidence[1:]),
        origin=LabelOrigin.DOCUMENT,
        place=f"the annotations of {name}",
    )


def _require_images(images: Sequence[AnnotatedImage], name: str, lookup: ImageLookup, source: LabelSource) -> None:
    """Require that one image at least is in the folder, or could be downloaded."""
    if _are_present(images, lookup):
        return
    place = source.files.train_location
    first = next((image for image in images if image.url), None)
    if first is None:
        queries = [image.query for image in images]
        if not _is_called(name, source):
            raise LayoutMismatchError(f"{name} names no image in {place}", [f"{name} (it names no image in {place})"])
        raise DataError(
            f"{name} names no image in {place}, but {join_names(queries)}",
            hint="unpack the images it names, or name their folder with --images; --labels FILE takes another file, "
            "--labels folders the folders",
            seen=[lookup.describe_miss(queries, name)],
        )
    raise DataError(
        f"{name} names {format_count(len(images), 'image')} by addresses on the web, and none of them is in {place}: "
        f"{join_names([first.url])}",
        hint=f"download them under their ids, this one as train/{PurePosixPath(first.query).name}.jpg",
    )


def _drop_several_labels(
    images: Sequence[AnnotatedImage], name: str, source: LabelSource
) -> tuple[list[AnnotatedImage], list[str]]:
    """Drop the few images with several labels where one is usual; return the others and the evidence."""
    several = [image for image in images if len(image.labels) > 1]
    lengths = {len(value.split()) for value in source.sample.values}
    if not several or len(several) > MAX_SEVERAL_SHARE * len(images) or len(lengths) > 1:
        return list(images), []
    queries = [image.query for image in several]
    n_images = format_count(len(several), "image")
    line = f"labels: {n_images} of {name} with several categories left out: {join_names(queries)}"
    return [image for image in images if len(image.labels) == 1], [format_warning(line)]


def _build_table(images: Sequence[AnnotatedImage], name: str, source: LabelSource) -> tuple[Table, int]:
    """Build a table with a row for each image: query, labels, other fields; and count the label columns."""
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
        rows.append((image.query, *cells, *(image.get_field(field) for field in fields)))
    header = ("file", *(columns if wide else ["label"]), *fields)
    numbers = tuple(range(1, 1 + len(rows)))
    return Table(name=name, delimiter=",", header=header, rows=tuple(rows), lines=numbers), len(columns) if wide else 1


def _require_no_blanks(images: Sequence[AnnotatedImage], name: str) -> None:
    blank = sorted({label for image in images for label in image.labels if " " in label})
    if blank:
        raise DataError(
            f"{name} gives images several categories, but the name of one holds a blank: {join_names(blank)}",
            hint="write the categories with _ for the blanks, in the sample submission too",
        )


def _restore_ids(queries: Sequence[str], images: Sequence[AnnotatedImage]) -> tuple[str, ...]:
    """Return the ids that the files give, unless two files give the same."""
    id_of = {image.query: image.image_id for image in images}
    ids = tuple(id_of[query] for query in queries)
    return ids if len(set(ids)) == len(ids) else tuple(queries)
