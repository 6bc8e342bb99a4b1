"""All fifty miniatures, by their number in the reference."""

from __future__ import annotations

from tests.automl_tests.competitions import (
    by_document,
    by_file_name,
    by_folder,
    by_id,
    by_sets,
    in_containers,
    several_files,
)
from tests.automl_tests.competitions.miniatures import MINIATURES

# Importing the builders fills MINIATURES.
BUILDERS = (by_document, by_file_name, by_folder, by_id, by_sets, in_containers, several_files)
ALL = tuple(MINIATURES[row] for row in sorted(MINIATURES))
