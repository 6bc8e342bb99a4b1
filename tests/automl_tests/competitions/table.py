"""The documentation's table of what is recognised, from the miniatures that prove it."""

from __future__ import annotations

from automl.readers.known_competitions import get_known_competition
from tests.automl_tests.competitions.everything import ALL
from tests.automl_tests.competitions.miniatures import Miniature

HEADER = ("competition", "labels and images", "task: submission", "metric", "to say where its name is not known")


def table() -> str:
    """One line for each competition of the reference, in Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *[_row(one) for one in ALL]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(one: Miniature) -> tuple[str, ...]:
    known = get_known_competition(one.slug)
    remark = ", ".join(_flag(need) for need in one.needs)
    layout = one.layout.replace("<", "&lt;")  # else Markdown takes <image_id> for a tag
    return one.slug, layout, f"{one.task}: {one.submission}", known.metric, remark


def _flag(need: str) -> str:
    return f"`{need}`" if need.startswith("--") else f"`{need}` in automl.toml"
