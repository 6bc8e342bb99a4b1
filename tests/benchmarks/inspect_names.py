"""What `automl inspect --names-only` takes as the folder grows: python -m tests.benchmarks.inspect_names

Empty files by the tens of thousands and a table with a row for each, read by the command in a process of its own;
CPU seconds and the most memory, for several ways in which ids may be written, and for class folders.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LAYOUTS: dict[str, Callable[[int], str] | None] = {
    "ids are stems": lambda number: f"{number:07d}",
    "ids lost their zeros": str,
    "paths of Windows": lambda number: f"C:\\data\\train\\{number:07d}.jpg",
    "a folder for each class": None,
}
N_CLASSES = 10
COMMAND = "import sys; sys.argv[0] = 'automl'; from automl.cli.app import main; main()"


def build(root: Path, n_images: int, write_id: Callable[[int], str] | None) -> None:
    """Fill the folder with so many training images, and a tenth as many test images."""
    for number in range(n_images):
        below = f"c{number % N_CLASSES}/" if write_id is None else ""
        path = root / f"train/{below}{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ids = [f"t{number:07d}" for number in range(n_images // 10)]
    (root / "test").mkdir(parents=True)
    for image_id in ids:
        (root / f"test/{image_id}.jpg").touch()
    (root / "sample_submission.csv").write_text("id,label\n" + "".join(f"{image_id},c0\n" for image_id in ids))
    if write_id is not None:
        rows = "".join(f"{write_id(number)},c{number % N_CLASSES}\n" for number in range(n_images))
        (root / "train.csv").write_text("id,label\n" + rows)


def measure(root: Path) -> tuple[float, float]:
    """Return CPU seconds and gigabytes of the command on the folder."""
    words = [sys.executable, "-W", "ignore", "-c", COMMAND, "inspect", str(root), "--names-only", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"inspect ended with {process.returncode} on {root}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * resource.getpagesize() / 4096 / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.inspect_names", description=__doc__)
    parser.add_argument("--sizes", default="25000,50000,100000", help="numbers of training images, joined by commas")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    sizes = [int(word) for word in given.sizes.split(",")]
    print(f"| layout | {' | '.join(f'{size:,} images' for size in sizes)} |")
    print("| --- |" + " --- |" * len(sizes))
    for layout, write_id in LAYOUTS.items():
        cells = []
        for size in sizes:
            with tempfile.TemporaryDirectory() as place:
                root = Path(place) / "folder"
                build(root, size, write_id)
                runs = [measure(root) for _ in range(given.repeats)]
            seconds, gigabytes = (statistics.median(column) for column in zip(*runs, strict=True))
            cells.append(f"{seconds:.1f} s, {gigabytes:.2f} GB")
        print(f"| {layout} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
