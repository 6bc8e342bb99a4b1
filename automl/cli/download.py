"""`automl download`: a competition's files from Kaggle, unpacked."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from automl.cli.console import print_line, report_errors


@report_errors
def download(
    competition: Annotated[str, typer.Argument(metavar="SLUG", help="Kaggle's name of the competition.")],
    into: Annotated[Path | None, typer.Option(help="The folder to make.", show_default="SLUG, here")] = None,
) -> None:
    """Fetch a competition's files from Kaggle and unpack them; the same command again goes on where it stopped.

    Needs Kaggle's own client: pip install 'automl[kaggle]'.
    """
    from automl.kaggle.client import sign_in
    from automl.kaggle.downloading import download_competition
    from automl.kaggle.slugs import parse_slug

    slug = parse_slug(competition)
    folder = into or Path(slug)
    download_competition(slug, folder, lambda: sign_in(slug), notify=print_line)
    print_line(f"next: cd {shlex.quote(str(folder))}; automl inspect")
