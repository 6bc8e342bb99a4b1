"""Where Kaggle's client looks for credentials, and what to say where it finds none that are accepted.

Files are only asked whether they are there: what is in them is the client's business. Not responsible for: signing in
(automl.kaggle.client).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from automl.errors import UnfitEnvironmentError

# Source: kaggle 2.2.4, KaggleApi.authenticate; kagglesdk 0.1.37, get_access_token_from_env.
PLACES = (
    "KAGGLE_API_TOKEN",
    "~/.kaggle/access_token",
    "KAGGLE_USERNAME with KAGGLE_KEY",
    "kaggle.json",
    "~/.kaggle/credentials.json of kaggle auth login",
)
HOW_TO = (
    "make a token at https://www.kaggle.com/settings/api and put it into KAGGLE_API_TOKEN or ~/.kaggle/access_token, "
    "or run kaggle auth login"
)
HIDDEN = "***"


def found_places() -> tuple[str, ...]:
    """Those of the places that hold something, in the order in which the client tries them."""
    return tuple(place for place, is_there in zip(PLACES, _presences(), strict=True) if is_there)


def missing_credentials() -> UnfitEnvironmentError:
    """What to say when the client has signed in with nothing."""
    found = found_places()
    if found:
        return refused_credentials()
    return UnfitEnvironmentError(f"there are no credentials for Kaggle: no {', no '.join(PLACES)}", hint=HOW_TO)


def refused_credentials() -> UnfitEnvironmentError:
    """What to say when Kaggle does not know who asks."""
    found = found_places()
    whose = f" of {' or '.join(found)}" if found else ""
    return UnfitEnvironmentError(f"Kaggle does not accept the credentials{whose}", hint=HOW_TO)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret in it hidden."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def secrets_of_environment() -> tuple[str, ...]:
    """What the environment holds that nobody may read."""
    return tuple(filter(None, (os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"))))


def _presences() -> tuple[bool, ...]:
    home = Path("~/.kaggle").expanduser()
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    legacy_folders = (os.environ.get("KAGGLE_CONFIG_DIR") or home, Path(config).expanduser() / "kaggle")
    return (
        bool(os.environ.get("KAGGLE_API_TOKEN")),
        any((home / name).is_file() for name in ("access_token", "access_token.txt")),
        bool(os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY")),
        any((Path(folder) / "kaggle.json").is_file() for folder in legacy_folders),
        (home / "credentials.json").is_file(),
    )
