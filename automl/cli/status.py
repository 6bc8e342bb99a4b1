"""`automl status`, `automl dashboard` and `automl report`: three ways to look at a study without changing it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from automl.cli.console import open_console, report_errors
from automl.cli.options import DEFAULT_WORKDIR, StudyName, Workdir


@report_errors
def status(
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to show.")] = 10,
) -> None:
    """Show a study: its best trials, their states, the time they took, and what is running."""
    from automl.cli.workdir import find_study
    from automl.errors import UsageError
    from automl.reports.probe_table import render_probe_status
    from automl.reports.study_status import render_status
    from automl.study.lock import find_driver
    from automl.study.study import read_study

    files = find_study(workdir, study)
    console = open_console()
    try:
        parts = render_status(read_study(files), files, driver=find_driver(files), top=top)
    except UsageError:
        parts = iter(probed := list(render_probe_status(None, files, top=top)))
        if not probed:
            raise
    for part in parts:
        console.print(part, highlight=False, markup=False)


@report_errors
def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Show a study in the Optuna dashboard, on this machine only and without changing it."""
    from automl.cli.workdir import find_study
    from automl.reports.dashboard import serve_dashboard
    from automl.study.study import read_study

    files = find_study(workdir, study)
    read_study(files)
    server = serve_dashboard(files, port=port)
    typer.echo(f"dashboard of study '{files.root.name}': http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
    sys.stdout.flush()
    server.serve_forever()


@report_errors
def report(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Write a study as one HTML page that needs no network: scores, learning curves, parameters, the ensemble."""
    from automl.cli.workdir import find_study, format_path
    from automl.reports.study_page import write_report
    from automl.study.study import read_study

    files = find_study(workdir, study)
    write_report(read_study(files), files)
    typer.echo(f"wrote {format_path(files.report)}")
