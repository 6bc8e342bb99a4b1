"""Find where Kaggle's client takes its credentials from, and explain missing or refused ones.

Only the presence of files is checked: what is in them is the client's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from automl.errors import UnfitEnvironmentError

# Source: kaggle 2.2.4, KaggleApi.authenticate; kagglesdk 0.1.37, get_access_token_from_env.
CREDENTIAL_PLACES = (
    "KAGGLE_API_TOKEN",
    "~/.kaggle/access_token",
    "KAGGLE_USERNAME with KAGGLE_KEY",
    "kaggle.json",
    "~/.kaggle/credentials.json of kaggle auth login",
)
CREDENTIALS_HINT = (
    "make a token at https://www.kaggle.com/settings/api and put it into KAGGLE_API_TOKEN or ~/.kaggle/access_token, "
    "or run kaggle auth login"
)
HIDDEN = "***"


def find_credentials() -> tuple[str, ...]:
    """Return the places that hold credentials, in the order in which the client tries them."""
    return tuple(place for place, is_there in zip(CREDENTIAL_PLACES, _check_places(), strict=True) if is_there)


def make_missing_credentials_error() -> UnfitEnvironmentError:
    """Build the error for a client that has signed in without credentials."""
    found = find_credentials()
    if found:
        return make_refused_credentials_error()
    return UnfitEnvironmentError(
        f"there are no credentials for Kaggle: no {', no '.join(CREDENTIAL_PLACES)}", hint=CREDENTIALS_HINT
    )


def make_refused_credentials_error() -> UnfitEnvironmentError:
    """Build the error for credentials that Kaggle does not accept."""
    found = find_credentials()
    origin = f" of {' or '.join(found)}" if found else ""
    return UnfitEnvironmentError(f"Kaggle does not accept the credentials{origin}", hint=CREDENTIALS_HINT)


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text by asterisks."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def list_environment_secrets() -> tuple[str, ...]:
    """List the secrets in the environment."""
    return tuple(filter(None, (os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"))))


def _check_places() -> tuple[bool, ...]:
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
