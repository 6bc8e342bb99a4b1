"""Render a kit's documents: README.md on how to use it, MODEL_CARD.md on what to expect, and the notebook.

Every number stands in ensemble.json or follows from the study.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from automl.data.competition import Competition
from automl.data.folds import N_FOLDS
from automl.ensemble.ensemble_recipe import PROBE
from automl.errors import escape_control_characters, join_names
from automl.files.tables import format_count
from automl.kit.manifest import Manifest
from automl.kit.requirements import Requirement
from automl.metrics.custom import is_user_metric

N_NAMED = 20  # classes

README = """\
# {slug}: an ensemble that predicts without a network

On Kaggle:

1. Upload this folder as a dataset, its folders included:

       kaggle datasets init -p .        # then write your title and id into dataset-metadata.json
       kaggle datasets create -p . --dir-mode zip

2. Open `submit.ipynb` as a notebook, attach that dataset and the competition as inputs, turn the internet off, and
   submit. It finds both below `/kaggle/input` and writes `submission.csv`.

Anywhere else:

    python submit.py --input COMPETITION_FOLDER --out submission.csv

`--max-minutes 110` leaves out views, then members, that do not fit into the time; `--device cpu` forces the CPU. The
test set may have any number of images. One that is missing or broken gets the training images' frequencies.

Nothing is downloaded or installed for good: the package lies in `wheels/` and is used from there where the installed
one is another. `requirements.txt` names the versions with which this ensemble was made; older ones do down to the
bounds in `kit.json`, and may change the last digits. On the same kind of device with the same versions the submission
is the same byte for byte.

What the ensemble is and what to expect of it stands in `MODEL_CARD.md`.
"""

INTRODUCTION = """\
# {slug}

Writes `submission.csv` with the ensemble of an `automl` kit, without internet. Attach two inputs: the competition, and
the dataset that the kit was uploaded as. Of several kits the first is taken; name another by its folder below.
"""

RUN = """\
import subprocess
import sys
from pathlib import Path

INPUTS = Path("/kaggle/input")
kits = sorted(path.parent for depth in range(1, 5) for path in INPUTS.glob("*/" * depth + "kit.json"))
assert kits, f"no kit.json below {INPUTS}: attach the dataset that the kit was uploaded as"

command = [sys.executable, str(kits[0] / "submit.py"), "--out", "submission.csv"]  # + ["--max-minutes", "110"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in process.stdout:
    print(line, end="", flush=True)
assert process.wait() == 0, "the submission was not written; the reason stands above"
"""

SHOW = """\
with open("submission.csv") as file:
    for _, line in zip(range(5), file):
        print(line, end="")
"""


def render_readme(manifest: Manifest) -> str:
    """Render the kit's README.md."""
    return README.format(slug=manifest.slug)


def render_requirements(manifest: Manifest, requirements: Sequence[Requirement]) -> str:
    """Render the kit's requirements.txt; this package is not on the index, so it is not among them."""
    exact = [f"{required.package}=={required.version}\n" for required in requirements]
    return "".join([f"# automl itself is {manifest.wheel}, which submit.py uses without installing it\n", *exact])


def render_card(manifest: Manifest, competition: Competition, document: Mapping[str, Any], *, moved: str | None) -> str:
    """Render the kit's MODEL_CARD.md.

    Args:
        competition: the study's, with its training images.
        document: ensemble.json.
        moved: how far float16 moves the probabilities, in a line.
    """
    sections = {
        "Data": _format_data(competition),
        "Expected score": [*_format_scores(competition, document), *_format_caveats(document)],
        "Members": [*_format_members(document), *_format_soft_targets(document)],
        "How it predicts": _format_prediction(document, manifest),
        "Weights": _format_weights(manifest, moved),
        "Use and limits": _format_limits(competition, manifest),
        "Versions": [f"- {name} {version}" for name, version in manifest.versions.items()],
    }
    text = "".join(f"\n## {title}\n\n" + "".join(f"{line}\n" for line in lines) for title, lines in sections.items())
    return escape_control_characters(
        f"# Model card: {manifest.slug}\n\nMade on {manifest.made} by automl {manifest.versions['automl']}.\n{text}"
    )


def _format_data(competition: Competition) -> Iterator[str]:
    groups = competition.groups
    yield f"- task: {competition.task.value}"
    yield f"- training images: {len(competition.image_ids)}"
    if groups is not None:
        yield f"- groups: {len(np.unique(groups))}, by {competition.grouped_by}; images of a group share a fold"
    yield f"- {competition.target_kind.column_noun}: {competition.n_classes}: {_format_shares(competition)}"
    yield f"- folds: {N_FOLDS}, the same for all members"
    yield f"- test images at hand when this was made: {len(competition.test_ids)}"
    yield f"- mirrored images keep their label: {'yes' if competition.flips else 'no'}"
    yield from (f"- {line}" for line in competition.evidence)


def _format_shares(competition: Competition) -> str:
    """The first classes, with their shares of the training images."""
    named = list(zip(competition.classes, competition.prior.tolist(), strict=True))
    format_share = competition.target_kind.format_share
    return join_names([format_share(name, share) for name, share in named], at_most=N_NAMED)


def _format_scores(competition: Competition, document: Mapping[str, Any]) -> Iterator[str]:
    better = "greater" if competition.metric.greater_is_better else "lower"
    scored = f"{document['n_rows']} of {len(competition.image_ids)} training images"
    yield f"Metric: {_format_metric(document['metric'])}; {better} is better. Scored on {scored}, each predicted by"
    yield "networks that were not trained on it, and blended with weights and rules that were fitted without it."
    yield ""
    yield "| | score |"
    yield "| --- | --- |"
    yield f"| this ensemble | {document['score']:.5f} ± {document['score_error']:.5f} (standard error) |"
    if len(document["views"]) > 1:
        yield f"| without views | {document['score_without_tta']:.5f} |"
    number, score = document["best_single_number"], document["best_single_score"]
    yield f"| best single {_get_single_noun(document)}, number {number} | {score:.5f} |"


def _format_caveats(document: Mapping[str, Any]) -> Iterator[str]:
    """What makes the scores look better than they are."""
    yield ""
    if document["n_trials"] > 1:
        single = f"The best single {_get_single_noun(document)}"
        yield f"- {single} is the best of {document['n_trials']} by this very score: about"
        yield f"  {document['luck']:.5f} of it is luck."
    yield "- The trials were searched for by their scores on some or all of these images, which flatters each of them,"
    yield "  and so the ensemble, by what is not known."
    if document["is_trimmed"]:
        yield "- Parts were left out to save time. Which ones, all of these images have told, which flatters the"
        yield "  ensemble a little."
    elif len(document["views"]) > 1:
        yield "- Where views were not asked for by name, all of these images have told whether to look through any."
    if any(member["kind"] == "distilled" for member in document["members"]):
        yield "- Labels of the distilled members come in part from models that have seen the images that are scored."
        yield "  That may flatter the ensemble a little."


def _get_single_noun(document: Mapping[str, Any]) -> str:
    return PROBE if document.get("best_single_kind") == PROBE else "trial"


def _format_members(document: Mapping[str, Any]) -> Iterator[str]:
    yield "| trial | weight | backbone | pixels | folds | views | score alone | adds |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for member in document["members"]:
        adds = "" if member["adds"] is None else f"{member['adds']:+.5f}"
        cells = (
            member["name"],
            f"{member['weight']:.3f}",
            member["backbone"],
            str(member["image_size"]),
            _join_all(member["folds"]),
            str(len(member["views"])),
            f"{member['score']:.5f}",
            adds,
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "Folds are those whose networks predict new images, by their mean. Score alone is with the image as it is;"
    yield "adds is by how much the ensemble is worse without the member."
    if any(member["kind"] == PROBE for member in document["members"]):
        yield "The members called probe are light heads on networks that were left as others have trained them."


def _format_soft_targets(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what members were trained on beside the labels."""
    refit_kinds = {member["kind"] for member in document["members"]}
    if "pseudo" in refit_kinds:
        yield ""
        yield "The members called pseudo were also trained on test images of the competition, with labels that models"
        yield "gave them; not every competition allows that."
    if "distilled" in refit_kinds:
        yield ""
        yield "The members called distilled were trained on labels that were moved towards predictions."


def _format_prediction(document: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    recipe = manifest.recipe
    views = dict.fromkeys(view for member in recipe.members for view in member.views)
    yield f"- views of an image: {_join_all(tuple(views))}"
    then = "then their ranks over members" if recipe.by_rank else "then over members"
    yield f"- probabilities are averaged over views and folds, {then} by weight"
    temperatures = [member.temperature for member in recipe.members]
    if any(temperature != 1.0 for temperature in temperatures):
        yield f"- temperatures of the members: {', '.join(f'{temperature:.3f}' for temperature in temperatures)}"
    if document["decided"]:
        yield f"- {document['decided']}"
    yield f"- rule: {json.dumps(recipe.rule)}"
    where = f" on {manifest.device}" if manifest.device else ""
    yield f"- seconds per image, of everything: {recipe.cost:.2g}{where}, where it was made"
    yield from (f"- {note}" for note in document["notes"])


def _format_weights(manifest: Manifest, moved: str | None) -> Iterator[str]:
    form = "float16, but for batch norm's statistics" if manifest.half else "float32, as trained"
    yield f"- {form}; safetensors, which hold no code"
    if moved is not None:
        yield f"- {moved}"
    n_shared = sum(PurePosixPath(name).match("weights/backbone-*.safetensors") for name in manifest.files)
    if n_shared:
        yield f"- {format_count(n_shared, 'backbone')} that training left unchanged, stored once for all heads"
    pretrained = sorted({member.config.model.backbone for member in manifest.recipe.members if _is_pretrained(member)})
    if pretrained:
        how = "built on" if n_shared else "fine-tuned from"
        yield f"- {how} weights that others have trained: {_join_all(pretrained)}; their licences hold on"


def _is_pretrained(member: Any) -> bool:
    return bool(member.config.model.pretrained)


def _format_limits(competition: Competition, manifest: Manifest) -> Iterator[str]:
    yield f"- Made for the submission to {manifest.slug}, and for images that are taken as its training images are."
    yield "- Each image gets one of the classes above, or shares of them, even where it shows something else."
    if competition.target_kind.has_classes and not manifest.recipe.by_rank:
        yield "- Probabilities are those of the training images' frequencies. Where classes are rarer or more frequent,"
        yield "  they are off."
    yield "- The expected score holds for images like those out of fold; a hidden test set may be harder."
    yield "- Nobody has examined it for anything but the competition: not for people, and not for decisions on them."


def _format_metric(name: str) -> str:
    """Without the folder where somebody's own metric lies."""
    return Path(name).name if is_user_metric(name) else name


def _join_all(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))


def render_notebook(slug: str) -> str:
    """Render the notebook as JSON.

    Source: the notebook format 4.5, nbformat.readthedocs.io/en/latest/format_description.html.
    """
    document = {
        "cells": [
            _build_cell("introduction", "markdown", INTRODUCTION.format(slug=slug)),
            _build_cell("run", "code", RUN),
            _build_cell("show", "code", SHOW),
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1) + "\n"


def _build_cell(name: str, cell_type: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "id": name,
        "cell_type": cell_type,
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if cell_type == "code" else {})
