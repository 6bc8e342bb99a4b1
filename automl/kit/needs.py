"""What predicting needs of other packages: less than searching does, and named once.

Not responsible for: having it (automl.kit.submit checks it before anything else is imported).
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from dataclasses import dataclass
from functools import cache

# Import name -> the package's own name on the index. A test predicts with these alone.
PREDICTING = {
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface_hub",
    "numpy": "numpy",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
}
UNVERSIONED = ("cv2",)  # it comes by several names, of which any will do

# What moves faster than a notebook's image does. Their wheels fit every Python 3 of the same kind of machine.
CARRIED = ("timm", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A package that predicting imports.

    Attributes:
        least: the lowest version that will do; None where any will.
        version: the one that is installed here.
    """

    module: str
    package: str
    least: str | None
    version: str


@cache
def needs() -> tuple[Need, ...]:
    """What predicting imports, as it is installed here."""
    required, distributions = _least_versions(), importlib.metadata.packages_distributions()
    found = []
    for module, package in PREDICTING.items():
        own_name = next(iter(distributions.get(module, ())), package)
        least = None if module in UNVERSIONED else required.get(_normal(package))
        found.append(Need(module=module, package=own_name, least=least, version=_version(own_name)))
    return tuple(found)


def versions() -> dict[str, str]:
    """The versions of Python, of automl and of what predicting needs, by the names in PREDICTING."""
    of_modules = {PREDICTING[need.module]: need.version for need in needs()}
    return {"python": platform.python_version(), "automl": _version("automl")} | of_modules


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _least_versions() -> dict[str, str]:
    """package -> the lowest version that automl requires."""
    least = {}
    for line in importlib.metadata.requires("automl") or []:
        name = re.match(r"[A-Za-z0-9_.-]+", line)
        bound = re.search(r">=\s*([0-9.]+)", line)
        if name and bound and "extra ==" not in line:
            least[_normal(name[0])] = bound[1]
    return least


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
