"""The whole soak: `python -m tests.soak [--kills 24] [--seeds 0 1]`; ends with 1 where anything is amiss."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from automl.artifacts import StudyFiles
from tests.soak.killer import Plan, soak
from tests.soak.verdict import check, search_in_peace


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--kills", type=int, default=24, help="in each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for seed in options.seeds:
        for n_slots, sampler in ((2, "random"), (1, "tpe")):
            plan = Plan(n_trials=options.trials, n_slots=n_slots, n_kills=options.kills, seed=seed, sampler=sampler)
            print(f"\nseed {seed}, {n_slots} slot{'s' * (n_slots > 1)}, sampler {sampler}", flush=True)
            show(plan)


def show(plan: Plan) -> None:
    """Soak by a plan and print its figures."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        disturbed, undisturbed = StudyFiles(Path(folder, "disturbed")), StudyFiles(Path(folder, "peace"))
        search_in_peace(undisturbed, plan)
        story = soak(disturbed, plan)
        figures = check(disturbed, undisturbed, plan, story)
    for name, figure in figures.items():
        print(f"  {name:18}{figure}")
    if len(story.kills) < plan.n_kills:
        sys.exit(f"only {len(story.kills)} of {plan.n_kills} kills landed before the search had ended")


if __name__ == "__main__":
    main()
