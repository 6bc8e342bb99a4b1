"""Translate what Kaggle's client raises, prints or exits with into one line and a hint."""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from automl.errors import AutomlError, StorageError, UnfitEnvironmentError, UsageError
from automl.kaggle.credentials import hide_secrets, make_missing_credentials_error, make_refused_credentials_error
from automl.kaggle.slugs import build_page_url

MAX_REASON_LENGTH = 300  # letters; a platform in trouble may answer with a whole page
_QUERY = re.compile(r"\?[^\s'\")]*")  # of an address: uploads and downloads are signed in it
_NOTEBOOKS_ONLY = re.compile(r"notebook|kernel|code competition", re.IGNORECASE)
_ALLOWANCE = re.compile(r"allowance|limit|midnight|per day|daily", re.IGNORECASE)


class UnclearError(UnfitEnvironmentError):
    """The answer cannot be read: what was requested may be done, or not."""


class TransientError(UnclearError):
    """The network or Kaggle cannot serve at this moment; the same request may succeed later."""


class NotFoundError(UsageError):
    """Kaggle does not have what was named, or not yet."""


@contextlib.contextmanager
def translate_errors(slug: str, *, secrets: Sequence[str] = (), progress: bool = False) -> Iterator[None]:
    """Silence Kaggle's client, and turn whatever it raises into an AutomlError.

    Args:
        progress: leave standard error to it, for its bar.

    Raises:
        TransientError: the network, too many requests, or trouble at Kaggle's.
        UnclearError: the client does not understand the answer.
        UnfitEnvironmentError: credentials, or rules that were not accepted.
        UsageError: there is no such competition, or it does not take this.
        StorageError: the disk.
    """
    with contextlib.ExitStack() as silence:
        silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if not progress:
            silence.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            yield
        except AutomlError:
            raise
        except SystemExit as error:  # how the client ends where it has no credentials
            raise make_missing_credentials_error() from error
        except Exception as error:  # the client lets through whatever its libraries raise
            raise _translate(error, slug, secrets) from error


def _translate(error: Exception, slug: str, secrets: Sequence[str]) -> AutomlError:
    status = _get_status(error)
    reason = _get_reason(error, secrets)
    if status is not None:
        return _translate_status(status, reason, slug)
    of_network = type(error).__module__.partition(".")[0] in ("requests", "urllib3")
    if of_network or isinstance(error, ConnectionError | TimeoutError):
        hint = "check the network, then run the same command again"
        return TransientError(f"Kaggle cannot be reached ({type(error).__name__})", hint=hint)
    if isinstance(error, OSError):
        hint = "fix the permissions" if error.errno != errno.ENOSPC else "free some space"
        return StorageError(f"Kaggle's client met an error: {reason}", hint=f"{hint}, then run the same command again")
    hint = "pip install --upgrade 'automl[kaggle]', or do it by hand at " + build_page_url(slug)
    return UnclearError(f"Kaggle's client failed: {type(error).__name__}: {reason}", hint=hint)


def _translate_status(status: int, reason: str, slug: str) -> AutomlError:
    match status:
        case 401:
            return make_refused_credentials_error()
        case 403:
            return UnfitEnvironmentError(
                f"Kaggle denies access to {slug}: {reason}",
                hint=f"join the competition and accept its rules at {build_page_url(slug, 'rules')}; "
                "check its name too",
            )
        case 404:
            return NotFoundError(
                f"Kaggle does not find it for {slug}: {reason}",
                hint=f"check the name at {build_page_url(slug)}, and that the competition is open to this",
            )
        case 429:
            hint = "wait some minutes, then run the same command again"
            return TransientError(f"Kaggle asks for patience: {reason}", hint=hint)
        case _ if status >= 500:
            hint = "run the same command again later"
            return TransientError(f"Kaggle has trouble at this moment ({status}): {reason}", hint=hint)
        case _:
            return _translate_bad_request(reason, slug)


def _translate_bad_request(reason: str, slug: str) -> AutomlError:
    """Translate status 400 by the words of its reason.

    Source: Kaggle/kaggle-cli, issues 400, 414, 419: not joined, wrong name, allowance used.
    """
    problem = f"{slug} refuses this: {reason}"
    if _NOTEBOOKS_ONLY.search(reason):
        return UsageError(
            problem,
            hint="run what automl kit makes in a notebook there, then automl submit --kernel OWNER/NAME --version N",
        )
    if _ALLOWANCE.search(reason):
        return UnfitEnvironmentError(problem, hint="run the same command again after midnight UTC")
    return UsageError(problem, hint=f"check that you have joined the competition at {build_page_url(slug)}")


def _get_status(error: Exception) -> int | None:
    """Return the status of a response; where it is a success, the code in its JSON."""
    response = getattr(error, "response", None)
    if response is None:  # never by its truth: a response is false for every refusal
        return None
    status = int(response.status_code)
    return status if status >= 400 else int(_parse_body(response).get("code", status))


def _get_reason(error: Exception, secrets: Sequence[str]) -> str:
    """Return Kaggle's message, else the client's: one line without secrets and signatures."""
    body = _parse_body(getattr(error, "response", None))
    message = body.get("message") or (body.get("error") if isinstance(body.get("error"), str) else None)
    text = " ".join(str(message or error or type(error).__name__).split())
    return hide_secrets(_QUERY.sub("", text), secrets)[:MAX_REASON_LENGTH]


def _parse_body(response: Any) -> dict[str, Any]:
    try:
        document = response.json()
    except Exception:  # no response, no JSON, or a stream that is closed
        return {}
    return document if isinstance(document, dict) else {}
