"""Locate a kit's files, and read and write its kit.json, which is written last and makes a folder a kit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.artifacts import read_json
from automl.ensemble.ensemble_recipe import Recipe, RecipeMember, parse_recipe
from automl.errors import StorageError
from automl.training.network.shared_backbone import get_carried_path

FORMAT = 1


@dataclass(frozen=True, slots=True)
class KitFiles:
    """Paths of the files of a kit."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "kit.json"

    @property
    def competition(self) -> Path:
        return self.root / "competition.json"

    @property
    def metric(self) -> Path:
        """The user's own metric, where the competition has one."""
        return self.root / "metric.py"

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    @property
    def script(self) -> Path:
        return self.root / "submit.py"

    @property
    def notebook(self) -> Path:
        return self.root / "submit.ipynb"

    @property
    def requirements(self) -> Path:
        return self.root / "requirements.txt"

    @property
    def readme(self) -> Path:
        return self.root / "README.md"

    @property
    def card(self) -> Path:
        return self.root / "MODEL_CARD.md"

    def locate_weights(self, member: RecipeMember, fold: int) -> Path:
        return self.root / "weights" / f"{member.name}-fold{fold}.safetensors"

    def locate_backbone(self, digest: str) -> Path:
        """Return where a backbone lies that several heads share."""
        return get_carried_path(self.root / "weights", digest)

    def is_own(self, path: Path) -> bool:
        """Return whether a kit writes a file or folder of that name, directly below its root."""
        single = (self.manifest, self.competition, self.metric, self.script, self.notebook, self.requirements)
        own = {place.name for place in (*single, self.readme, self.card, self.wheels)}
        return path.name in own | {"weights", "__pycache__"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of kit.json.

    Attributes:
        slug: the competition's name on Kaggle.
        made: the day, as 2026-01-31.
        half: whether weights are float16.
        files: path below the kit -> SHA-256, of everything that predicting reads.
        code: digest of the package, by which an installed one is known to be the same.
        wheel: path of the package's wheel below the kit.
        needs: module, package and least version of what predicting imports.
        versions: package -> the version that the ensemble was made with.
        submission: SHA-256 of the submission that the ensemble wrote.
        test_digest: of the test images' ids.
        device: that it was computed on, and the kit repeats it on; None where that is not known.
    """

    slug: str
    made: str
    half: bool
    files: Mapping[str, str]
    code: str
    wheel: str
    needs: tuple[Mapping[str, str | None], ...]
    versions: Mapping[str, str]
    submission: str
    test_digest: str
    device: str | None
    recipe: Recipe

    def to_json(self) -> dict[str, Any]:
        return {"kit": FORMAT, **asdict(self), "needs": list(self.needs), "recipe": self.recipe.to_json()}


def read_manifest(files: KitFiles) -> Manifest:
    """Read the kit's kit.json.

    Raises:
        StorageError: it is missing, damaged, or of another version of this package.
    """
    document = read_json(files.manifest)
    try:
        values = dict(document)
        if values.pop("kit") != FORMAT:
            raise ValueError(f"format {document['kit']}")
        recipe = parse_recipe(values.pop("recipe"))
        return Manifest(**{**values, "needs": tuple(values["needs"]), "recipe": recipe})
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{files.manifest} cannot be understood: {error}", hint="make the kit again: automl kit"
        ) from error


def is_kit(folder: Path) -> bool:
    """Return whether the folder is a whole kit."""
    try:
        return bool(read_json(KitFiles(folder).manifest)["kit"])
    except (StorageError, KeyError, TypeError):
        return False
