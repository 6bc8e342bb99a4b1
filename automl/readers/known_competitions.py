"""The table of competitions whose metric, groups and flips are known by name, as no file in their folder tells them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from automl.errors import UsageError, join_names
from automl.tasks import Task

MAX_SUGGESTIONS = 3
MIN_SIMILARITY = 0.5  # of difflib, 0 to 1; below it a slug is no likely misspelling of another

# What file managers, unpackers and people append to a folder's name: "-data", " (1)", "-2". Three digits and more stay,
# as they tell competitions apart: cifar-100 is not cifar-10.
_COPY_SUFFIX = re.compile(r"-(data|dataset|input|\(\d+\)|\d{1,2})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCompetition:
    """Facts about a competition; None or empty where its folder tells them.

    Attributes:
        slug: Kaggle's name of it.
        metric: a name of automl.metrics.registry.
        metric_weights: (class or column, weight) for a weighted metric, or (head, weight) where there are several.
        task: where labels alone would be taken for another one.
        group: the column whose equal values belong together.
        flips: whether a mirrored image keeps its label.
        labels, label: file and column of the labels, where several would do.
        negative: the class that is 0 in the one probability that is submitted, where its name does not say it.
        remarks: what to know before trusting a score: leaks, noise, hidden tests; a sentence each.
    """

    slug: str
    metric: str
    metric_weights: tuple[tuple[str, float], ...] | None = None
    task: Task | None = None
    group: str | None = None
    flips: bool = True
    labels: str | None = None
    label: str | None = None
    negative: str | None = None
    remarks: tuple[str, ...] = ()


def get_known_competition(slug: str) -> KnownCompetition:
    """Return the known competition of that slug; upper and lower case are alike.

    Raises:
        UsageError: none has that name; the problem names those that come close.
    """
    known = _BY_NAME.get(slug.strip().lower())
    if known is not None:
        return known
    names = _find_close_slugs(slug.strip().lower())
    raise UsageError(
        f"there is no known competition '{slug}'" + (f"; close to it are {join_names(names)}" if names else ""),
        hint="use one of these, or leave --competition out and say --metric" if names else "say --metric instead",
    )


def find_known_competition(name: str) -> KnownCompetition | None:
    """Return the competition that a folder of that name holds, or None.

    Case, underscores, blanks and what is appended to a copy are tolerated: "Dogs_vs_Cats", "leaf-classification (1)".
    """
    words = re.sub(r"[\s_-]+", "-", name.strip().lower())
    while words not in _BY_NAME:
        shorter = _COPY_SUFFIX.sub("", words)
        if shorter == words:
            return None
        words = shorter
    return _BY_NAME[words]


def _find_close_slugs(slug: str) -> list[str]:
    """List the slugs that contain this one, else those that are spelt much like it."""
    parts = [name for name in _BY_NAME if slug and slug in name]
    close = parts or difflib.get_close_matches(slug, _BY_NAME, n=MAX_SUGGESTIONS, cutoff=MIN_SIMILARITY)
    return list(dict.fromkeys(_BY_NAME[name].slug for name in close))


# Source of every entry: the competitions' files and evaluation pages, and the graders of openai/mle-bench and MLE-Dojo.
_COMPETITIONS = (
    KnownCompetition(slug="dogs-vs-cats", metric="accuracy", negative="cat"),
    KnownCompetition(
        slug="dogs-vs-cats-redux-kernels-edition",
        metric="log_loss",
        negative="cat",
        remarks=("A few training images are mislabelled or show no animal, so probabilities near 0 and 1 cost much.",),
    ),
    KnownCompetition(
        slug="aerial-cactus-identification",
        metric="roc_auc",
        remarks=("The top tenth of the leaderboard scores 1.0.",),
    ),
    KnownCompetition(
        slug="histopathologic-cancer-detection",
        metric="roc_auc",
        remarks=(
            "The label is that of the centre 32x32 pixels alone: strong crops and shifts destroy it.",
            "Patches of one slide are alike, and the slide is not given.",
        ),
    ),
    KnownCompetition(slug="invasive-species-monitoring", metric="roc_auc"),
    KnownCompetition(
        slug="siim-isic-melanoma-classification",
        metric="roc_auc",
        group="patient_id",
        remarks=(
            "diagnosis and benign_malignant give the label away, and the test images have neither.",
            "Hundreds of images are duplicates.",
        ),
    ),
    KnownCompetition(
        slug="isic-2024-challenge",
        metric="partial_auc",
        group="patient_id",
        remarks=("One image in a thousand is positive.", "45 columns of train-metadata.csv exist for training alone."),
    ),
    KnownCompetition(
        slug="rsna-breast-cancer-detection",
        metric="pf1",
        group="patient_id",
        remarks=(
            "A row of the submission is a breast, of which there are about two images.",
            "site_id and machine_id tell where an image comes from.",
        ),
    ),
    KnownCompetition(
        slug="rsna-miccai-brain-tumor-radiogenomic-classification",
        metric="roc_auc",
        remarks=(
            "There is nearly no signal: scores differ by chance more than by merit.",
            "The cases 00109, 00123 and 00709 are faulty.",
        ),
    ),
    KnownCompetition(
        slug="statoil-iceberg-classifier-challenge",
        metric="log_loss",
        remarks=("Some test rows are made by machine and not scored.",),
    ),
    KnownCompetition(
        slug="seti-breakthrough-listen",
        metric="roc_auc",
        remarks=("The folder old_leaky_data comes from before the relaunch and must not be trained on.",),
    ),
    KnownCompetition(
        slug="alaska2-image-steganalysis",
        metric="weighted_auc",
        group="file name",
        negative="Cover",
        remarks=(
            "The signal is in single pixels: resizing and lossy augmentation destroy it.",
            "The images of one name in the four folders show the same scene.",
        ),
    ),
    KnownCompetition(
        slug="cassava-leaf-disease-classification",
        metric="accuracy",
        remarks=(
            "The labels are noisy, and the data of 2019 has duplicates of these images.",
            "About 15,000 test images are hidden.",
        ),
    ),
    KnownCompetition(slug="paddy-disease-classification", metric="accuracy", label="label"),
    KnownCompetition(slug="plant-seedlings-classification", metric="f1_micro"),
    KnownCompetition(
        slug="plant-pathology-2020-fgvc7",
        metric="roc_auc",
        remarks=("91 images have multiple_diseases, and that column dominates the score's variance.",),
    ),
    KnownCompetition(
        slug="plant-pathology-2021-fgvc8",
        metric="f1_samples",
        remarks=("Some duplicates have different labels.", "About 5,000 test images are hidden."),
    ),
    KnownCompetition(
        slug="aptos2019-blindness-detection",
        metric="qwk",
        task=Task.ORDINAL,
        remarks=(
            "The size of an image tells much of its label here, and less in the hidden test of about 13,000 images.",
            "There are duplicates, and the private leaderboard was a shake-up.",
        ),
    ),
    KnownCompetition(slug="diabetic-retinopathy-detection", metric="qwk", task=Task.ORDINAL),
    KnownCompetition(
        slug="prostate-cancer-grade-assessment",
        metric="qwk",
        task=Task.ORDINAL,
        label="isup_grade",
        remarks=("The noise of the labels differs by data_provider.", "The test images are hidden."),
    ),
    KnownCompetition(
        slug="dog-breed-identification",
        metric="log_loss",
        remarks=("The images are part of ImageNet: pretrained weights have seen the test images.",),
    ),
    KnownCompetition(
        slug="state-farm-distracted-driver-detection",
        metric="log_loss",
        group="subject",
        flips=False,
        remarks=("There are 26 drivers, and the test has others.",),
    ),
    KnownCompetition(
        slug="the-nature-conservancy-fisheries-monitoring",
        metric="log_loss",
        remarks=(
            "Images of one boat are alike, and the boat is not given; stage 2 has other boats.",
            "Clipping the probabilities gains places.",
        ),
    ),
    KnownCompetition(
        slug="datasciencebowl", metric="log_loss", remarks=("Plankton has no upright: views may be turned.",)
    ),
    KnownCompetition(
        slug="leaf-classification",
        metric="log_loss",
        label="species",
        remarks=("The columns margin, shape and texture beat the images.",),
    ),
    KnownCompetition(
        slug="intel-mobileodt-cervical-cancer-screening",
        metric="log_loss",
        remarks=("There are near duplicates of one patient, and the patient is not given.",),
    ),
    KnownCompetition(
        slug="humpback-whale-identification",
        metric="map@5",
        remarks=("Half of the whales have one or two images.", "The test has unknown whales: new_whale."),
    ),
    KnownCompetition(slug="whale-categorization-playground", metric="map@5", remarks=("Many whales have one image.",)),
    KnownCompetition(
        slug="happy-whale-and-dolphin",
        metric="map@5",
        label="individual_id",
        remarks=(
            "Many individuals have one image.",
            "The test has unknown individuals: new_individual.",
            "Some names of species are misspelt.",
        ),
    ),
    KnownCompetition(
        slug="hotel-id-2021-fgvc8",
        metric="map@5",
        label="hotel_id",
        remarks=("train.csv names ce27d36c9147cc19.jpg twice.", "Most test images are hidden."),
    ),
    KnownCompetition(
        slug="inaturalist-2019-fgvc6", metric="top1_error", remarks=("Only the first id of a row is scored.",)
    ),
    KnownCompetition(
        slug="iwildcam-2019-fgvc6",
        metric="f1_macro",
        group="location",
        label="category_id",
        remarks=("Training and test come from other regions, and some classes have no training images.",),
    ),
    KnownCompetition(
        slug="iwildcam-2020-fgvc7",
        metric="accuracy",
        group="location",
        remarks=("Training and test come from other locations.",),
    ),
    KnownCompetition(slug="herbarium-2022-fgvc9", metric="f1_macro"),
    KnownCompetition(
        slug="imaterialist-challenge-furniture-2018", metric="top1_error", remarks=("Some URLs no longer work.",)
    ),
    KnownCompetition(slug="tpu-getting-started", metric="f1_macro"),
    KnownCompetition(slug="digit-recognizer", metric="accuracy", flips=False, label="label"),
    KnownCompetition(slug="Kannada-MNIST", metric="accuracy", flips=False, labels="train.csv", label="label"),
    KnownCompetition(
        slug="cifar-10",
        metric="accuracy",
        remarks=("290,000 of the 300,000 test images are not scored.",),
    ),
    KnownCompetition(
        slug="human-protein-atlas-image-classification",
        metric="f1_macro",
        remarks=("There are duplicates.", "The rarest label has 9 images: thresholds decide the score."),
    ),
    KnownCompetition(
        slug="planet-understanding-the-amazon-from-space",
        metric="f2_samples",
        remarks=(
            "An image has exactly one of the weather labels.",
            "Tiles that were neighbours on the ground are alike.",
        ),
    ),
    KnownCompetition(
        slug="imet-2020-fgvc7", metric="f1_micro", remarks=("The labels are noisy.", "The test images are hidden.")
    ),
    KnownCompetition(
        slug="ranzcr-clip-catheter-line-classification",
        metric="roc_auc",
        group="PatientID",
        remarks=("About 14,000 test images are hidden.",),
    ),
    KnownCompetition(
        slug="rsna-intracranial-hemorrhage-detection",
        metric="weighted_log_loss",
        metric_weights=(("any", 2.0),),
        task=Task.MULTILABEL,
        remarks=("Images of one patient are alike; PatientID is in the DICOM files.",),
    ),
    KnownCompetition(
        slug="rsna-2022-cervical-spine-fracture-detection",
        metric="weighted_log_loss",
        metric_weights=(("patient_overall", 7.0),),
        task=Task.MULTILABEL,
        remarks=("Positive rows weigh more than negative ones.",),
    ),
    KnownCompetition(
        slug="bengaliai-cv19",
        metric="balanced_accuracy",
        metric_weights=(("grapheme_root", 2.0),),
        task=Task.MULTIOUTPUT,
        flips=False,
        remarks=(
            "The score is the mean of the macro recalls of grapheme_root, vowel_diacritic and consonant_diacritic, "
            "weighted 2:1:1.",
            "The test has graphemes that training has not.",
        ),
    ),
    KnownCompetition(
        slug="UBC-OCEAN",
        metric="balanced_accuracy",
        label="label",
        remarks=(
            "The test has a class that training has not: Other.",
            "About half of the test images are tissue microarrays, and 25 of the 538 training images.",
            "The image 15583 is labelled wrongly; its class is MC.",
        ),
    ),
    KnownCompetition(
        slug="petfinder-pawpularity-score",
        metric="rmse",
        task=Task.REGRESSION,
        remarks=(
            "There are near duplicates.",
            "The test images in the folder are random noise; the real ones, about 6,800, are hidden.",
        ),
    ),
    KnownCompetition(
        slug="csiro-biomass",
        metric="weighted_r2",
        metric_weights=(
            ("Dry_Green_g", 0.1),
            ("Dry_Dead_g", 0.1),
            ("Dry_Clover_g", 0.1),
            ("GDM_g", 0.2),
            ("Dry_Total_g", 0.5),
        ),
        task=Task.REGRESSION,
        group="Sampling_Date",
        remarks=("With 357 images a score out of fold says little: one team had 0.88 there and 0.62 in the end.",),
    ),
    KnownCompetition(
        slug="cdiscount-image-classification-challenge",
        metric="accuracy",
        remarks=("A product has one to four images.", "The data was withdrawn."),
    ),
)

KNOWN_COMPETITIONS: dict[str, KnownCompetition] = {known.slug: known for known in _COMPETITIONS}
_ALIASES = {
    "rsna-miccai-brain-tumor-radiogenomic": "rsna-miccai-brain-tumor-radiogenomic-classification",
    "statoil-iceberg-classifier": "statoil-iceberg-classifier-challenge",
}
_BY_NAME = {slug.lower(): known for slug, known in KNOWN_COMPETITIONS.items()}
_BY_NAME |= {short: KNOWN_COMPETITIONS[slug] for short, slug in _ALIASES.items()}
