"""`automl probe`: light heads on frozen features of every pretrained backbone, and what each scores and costs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from automl.cli.console import convert_runner_errors, open_console, print_line, report_errors
from automl.cli.options import (
    COMPETITION_FLAGS,
    DEFAULT_WORKDIR,
    HERE,
    CacheGb,
    Choices,
    Fix,
    Folder,
    SpaceFlags,
    SpaceName,
    StudyName,
    Weights,
    Workdir,
    build_deadline,
    build_placement,
    expand_flags,
    resolve_weights_folder,
    resource_flags,
    runner_flags,
)
from automl.readers.settings import CompetitionSettings

INTERRUPTED = "interrupted; probes that are done stay, the same command goes on"


@report_errors
@expand_flags(settings=COMPETITION_FLAGS, resources=resource_flags("probe"), workers=runner_flags("probe"))
def probe(
    *,
    folder: Folder = HERE,
    settings: CompetitionSettings,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
    budget: Annotated[str, typer.Option(help="Time for all probes, such as 3m; auto is the twelve first.")] = "auto",
    resources: dict[str, Any],
    weights: Weights = None,
    cache_gb: CacheGb = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
    workers: dict[str, Any],
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Fit light heads on frozen features of a space's backbones, and print what each scores and costs.

    A submission is written after the first one and replaced by better ones. A search begins with the same, goes on with
    what is there, and fine-tunes first what probed best.
    """
    from automl.cli.workdir import format_path, get_study_files
    from automl.probing.entry_point import run_probes
    from automl.reports.probe_table import build_probe_table
    from automl.search.current_submission import describe_summary, read_summary
    from automl.search.run_probes import ProbeRequest, run_probe_command
    from runners.devices import count_cpus

    files = get_study_files(workdir, study or folder.resolve().name)
    placement = build_placement(resources, workers, storage=files.runner)
    request = ProbeRequest(
        folder=folder.resolve(),
        files=files,
        space=SpaceFlags(name=space, fix=fix, choices=choices).load_space(),
        settings=settings,
        weights_dir=resolve_weights_folder(weights),
        seed=seed,
        probe_budget=budget,
        deadline=build_deadline(resources),
        devices=placement.list_devices(),
        n_threads=count_cpus(),
        is_local=placement.ray_address is None,
        cache_gb=cache_gb,
    )
    with convert_runner_errors(print_line, interrupted=INTERRUPTED):
        completed, skipped = run_probe_command(request, run_probes, placement.build_runner(), notify=print_line)
    open_console().print(build_probe_table(completed), highlight=False, markup=False)
    if skipped:
        print_line(f"{len(skipped)} skipped: {', '.join(str(report.candidate) for report in skipped)}")
    if (summary := read_summary(files)) is not None:
        print_line(describe_summary(summary))
        print_line(f"wrote {format_path(files.submission)}")
