"""Tell from a file's name whether it is an image, and whether it is of the training or the test set.

A name is a path from the competition's folder with slashes, whether it leads through folders or through an archive.
"""

from __future__ import annotations

import re

from automl.files.image_formats import CONTAINER_SUFFIXES, IMAGE_SUFFIXES

# What systems and network drives leave behind, in any case, and our own runs; hidden names are skipped too.
SKIPPED_NAMES = frozenset(
    {
        *("automl_runs", "__pycache__", "lost+found", "lost.dir"),
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb"),  # QNAP
    }
)
CHECKED_DISK = re.compile(r"found\.\d{3}")  # where Windows puts what it finds when it checks a disk
ZONE_MARK = ":zone.identifier"  # of a file that Windows marked as downloaded: a.jpg:Zone.Identifier
LOCK_MARK = "~$"  # of a table that is open in Excel
ARCHIVE_SUFFIX = ".zip"
WORDS = re.compile(r"[^\W\d_]+")
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")  # where one word ends and the next begins, as in ImagesTest
TABLE_WORD = re.compile(
    r"(?:^|[^a-zA-Z]|(?<=[a-z])(?=T))((?i:train|test))"
)  # in the name of a table, whatever follows: teststage1.csv
GLUED = (
    r"(?:ing)?(?:s?sets?|data(?:sets?)?|imgs?|images?|pics?|pictures?|photos?|files?|folders?|inputs?|samples?|stage|"
    r"phase|split|part|jpe?gs?|pngs?)?"
)
# A whole word alone tells what a folder is for: seg_train, Training, testset, but neither testis nor trainers.
ROLE_WORDS: dict[str, re.Pattern[str]] = {
    "train": re.compile(f"train{GLUED}|train(?:ing)?val"),
    "test": re.compile(f"test{GLUED}|tests"),
    "validation": re.compile("(?:val|valid|validation|validating|dev|eval|evaluation|holdout)(?:sets?|data|images?)?"),
    "unlabelled": re.compile("(?:unlabell?ed|pred|predict|predictions?|inference|submissions?)(?:sets?|data|images?)?"),
}
# Of these words beside train or test, none names a class.
GENERIC_TEXT = """images image imgs img pictures pics photos data dataset set files folder folders input inputs new
final full all part parts batch fold split public private original orig resized cropped raw clean noisy labeled labelled
unlabeled unlabelled extra additional external old mini small large big sample samples mask masks thumbnails labels
label annotations jpg jpeg png tif tiff webp bmp stg stage version px"""
MASK_TEXT = """mask masks trimap trimaps segmentation segmentations segmented annotation annotations groundtruth gt
heatmap heatmaps contour contours"""
ORIGINAL_TEXT = "color colour rgb original originals orig raw full"
DERIVED_TEXT = """gray grey grayscale greyscale bw segmented resized resize small mini tiny thumb thumbs thumbnail
thumbnails compressed scaled lowres cropped crop processed preprocessed augmented"""
GENERIC_WORDS, MASK_WORDS, ORIGINAL_WORDS, DERIVED_WORDS = (
    frozenset(text.split()) for text in (GENERIC_TEXT, MASK_TEXT, ORIGINAL_TEXT, DERIVED_TEXT)
)


def is_image_name(name: str) -> bool:
    """Whether the name has an image extension, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or left by an operating system, a network drive or automl's own runs."""
    if name.startswith((".", LOCK_MARK)):
        return True
    lowered = name.lower()
    return lowered in SKIPPED_NAMES or lowered.endswith(ZONE_MARK) or CHECKED_DISK.fullmatch(lowered) is not None


def strip_suffix(name: str) -> str:
    """Return the name without its image extension; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def get_folder(name: str) -> str:
    """Return the path of the folder that a file lies in, with its slash, or "" at the top."""
    return name[: name.rfind("/") + 1]


def get_split_folder(name: str) -> str:
    """Return the path of the training or test folder above an image, with its slash, or "" where there is none."""
    return "".join(f"{folder}/" for folder in name.split("/")[: _count_split_folders(name)])


def get_split(name: str) -> str:
    """Return "train", "test" or "other", by the first folder that begins so or, at the top, has such a word."""
    depth = _count_split_folders(name)
    return str(find_role(name.split("/")[depth - 1])) if depth else "other"


def find_role(folder: str, *, first_word: bool = False) -> str | None:
    """Return what a folder of that name is for, a key of ROLE_WORDS; None where its words say nothing, or two things.

    Args:
        first_word: the first word alone counts, so that toy_train is a class.
    """
    words = split_words(folder)
    roles = [next((role for role in ROLE_WORDS if ROLE_WORDS[role].fullmatch(word)), None) for word in words]
    if {"train", "test"} <= set(roles):
        return None
    counted = roles[:1] if first_word else roles
    return next((role for role in ROLE_WORDS if role in counted), None)


def has_own_word(name: str) -> bool:
    """Whether a word of the name stands behind train or test that may name a class, as in training_fake."""
    words = split_words(name)
    return find_role(name, first_word=True) is not None and any(
        len(word) > 1 and word not in GENERIC_WORDS and find_role(word) is None for word in words[1:]
    )


def split_words(name: str) -> list[str]:
    """Split a name into its words, lowered: at all that is no letter, and before a capital behind a small letter."""
    return [part.lower() for word in WORDS.findall(name) for part in CAPITAL.split(word)]


def is_test_name(name: str) -> bool:
    """Whether a table or document is named as one of the test: test.csv, sales_test2.csv, but not latest.csv."""
    match = TABLE_WORD.search(name)
    return match is not None and match[1].lower() == "test"


def strip_archive(name: str) -> str:
    """Return the path that a member has in its archive or file of many images; else the name itself."""
    folders = name.lower().split("/")[:-1]
    packed = (ARCHIVE_SUFFIX, *CONTAINER_SUFFIXES)
    depth = next((depth for depth, folder in enumerate(folders, 1) if folder.endswith(packed)), 0)
    return "/".join(name.split("/")[depth:])


def _count_split_folders(name: str) -> int:
    """Count the folders down to the training or test folder, itself included; 0 where there is none.

    Below the top the word must come first: a folder such as toy_train is a class there.
    """
    at_top = True
    for depth, folder in enumerate(name.split("/")[:-1], 1):
        is_file = folder.lower().endswith(CONTAINER_SUFFIXES)
        if find_role(folder, first_word=not at_top and not is_file) in ("train", "test"):
            return depth
        at_top = is_file or (at_top and folder.lower().endswith(ARCHIVE_SUFFIX))
    return 0
