"""`automl kit`: the ensemble as one folder that predicts without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import print_line, report_errors
from automl.cli.options import DEFAULT_WORKDIR, Device, StudyName, Workdir, choose_device

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles


@report_errors
def kit(
    out: Annotated[Path | None, typer.Option(help="The kit's folder, instead of the study's own.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16, in half the bytes.")] = False,
    wheels: Annotated[
        bool, typer.Option("--wheels", help="Fetch the wheels of what Kaggle may have too old (timm, safetensors) too.")
    ] = False,
    slug: Annotated[
        str | None, typer.Option(help="Kaggle's name of the competition; by default from the folder's.")
    ] = None,
    device: Device = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Write the ensemble as a folder for a Kaggle notebook without internet: weights, code, script and notebook."""
    from automl.cli.workdir import find_study

    files = find_study(workdir, study)
    _build(files, out or files.kit, half=half, wheels=wheels, slug=slug, device=device)


def _build(files: StudyFiles, out: Path, *, half: bool, wheels: bool, slug: str | None, device: str | None) -> None:
    from automl.artifacts import count_bytes_below, require_plain_name
    from automl.cli.workdir import format_path
    from automl.data.competition import load_competition
    from automl.kit.building import KitRequest, build_kit

    competition = load_competition(files.competition)
    folder = competition.root
    name = _slug_of(folder.name) if slug is None else require_plain_name(slug, "competition")
    request = KitRequest(slug=name, out=out.absolute(), half=half, wheels=wheels)
    built = build_kit(files, request, device=choose_device(device), notify=print_line)
    print_line(f"wrote {format_path(built.root)}: {count_bytes_below(built.root) / 1e6:.1f} MB, for {name}")
    if competition.has_test_images:
        print_line(f"try it: python {format_path(built.script)} --input {format_path(folder)} --out submission.csv")
    else:
        print_line(f"try it: automl predict FOLDER --kit {format_path(built.root)}")


def _slug_of(folder: str) -> str:
    """Kaggle's name of the competition in a folder of that name, as far as that tells."""
    from automl.readers.known_competitions import find_known_competition

    known = find_known_competition(folder)
    return known.slug if known is not None else re.sub(r"[^A-Za-z0-9_.-]+", "-", folder).strip("-.") or "competition"
