"""`automl predict`: the ensemble on new images, as a table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import print_line, report_errors
from automl.cli.options import DEFAULT_WORKDIR, Device, StudyName, Workdir, choose_device
from automl.errors import UsageError

if TYPE_CHECKING:
    from automl.ensemble.predict_images import TrainedEnsemble

ALL_VIEWS, NO_VIEWS = "auto", "none"


@report_errors
def predict(
    images: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images, or a single image.")],
    out: Annotated[Path, typer.Option(help="The table: image, a column for each class, label.")] = Path(
        "predictions.csv"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace any file; a table of such predictions is replaced anyway.")
    ] = False,
    tta: Annotated[
        str, typer.Option(help="auto for the views of the ensemble; none, to be quick, for the images as they are.")
    ] = ALL_VIEWS,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Leave out views, then members, that there is no time for.")
    ] = None,
    kit: Annotated[Path | None, typer.Option(help="Take the ensemble of this kit instead of a study's.")] = None,
    device: Device = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Predict new images with the study's ensemble and write a table; broken images are named and left out."""
    started = time.monotonic()
    if tta not in (ALL_VIEWS, NO_VIEWS):
        raise UsageError(f"--tta {tta} is not {ALL_VIEWS} or {NO_VIEWS}", hint="the ensemble has chosen its views")
    from automl.cli.workdir import format_path
    from automl.ensemble.predict_images import PredictRequest, predict_images

    ensemble = _ensemble(kit, study, workdir)
    request = PredictRequest(
        images=images,
        out=out.absolute(),
        device=choose_device(device),
        views=tta == ALL_VIEWS,
        max_minutes=max_minutes,
        overwrite=overwrite,
        started=started,
    )
    n_images = predict_images(ensemble, request, notify=print_line)
    print_line(f"wrote {format_path(request.out)}: {n_images} {'image' if n_images == 1 else 'images'}")


def _ensemble(kit: Path | None, study: str | None, workdir: Path) -> TrainedEnsemble:
    from automl.cli.workdir import find_study
    from automl.ensemble.predict_images import load_ensemble
    from automl.kit.running import load_kit_ensemble

    if kit is None:
        return load_ensemble(find_study(workdir, study))
    if study is not None:
        raise UsageError("--kit and --study were both given", hint="leave one of them out")
    return load_kit_ensemble(kit.absolute())
