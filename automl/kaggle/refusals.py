"""What Kaggle's client raises, prints or exits with, turned into one line and a hint.

Not responsible for: what a scorer says of a submission's content (automl.kaggle.submitting).
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from automl.errors import AutomlError, StorageError, UnfitEnvironmentError, UsageError
from automl.kaggle.credentials import missing_credentials, refused_credentials, without_secrets
from automl.kaggle.slugs import page_of

LONGEST_REASON = 300  # letters; a platform in trouble may answer with a whole page
_QUERY = re.compile(r"\?[^\s'\")]*")  # of an address: uploads and downloads are signed in it
_NOTEBOOKS_ONLY = re.compile(r"notebook|kernel|code competition", re.IGNORECASE)
_ALLOWANCE = re.compile(r"allowance|limit|midnight|per day|daily", re.IGNORECASE)


class UnclearError(UnfitEnvironmentError):
    """There is no answer that can be read: what was asked for may be done, or not."""


class TransientError(UnclearError):
    """The network or Kaggle cannot serve at this moment; the same question may have an answer later."""


class NotFoundError(UsageError):
    """Kaggle does not have what was named, or not yet."""


@contextlib.contextmanager
def told_plainly(slug: str, *, secrets: Sequence[str] = (), progress: bool = False) -> Iterator[None]:
    """Around every use of the client: what it prints goes nowhere, what it raises becomes an AutomlError.

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
            raise missing_credentials() from error
        except Exception as error:  # the client lets through whatever its libraries raise
            raise _refusal(error, slug, secrets) from error


def _refusal(error: Exception, slug: str, secrets: Sequence[str]) -> AutomlError:
    status = _status_of(error)
    reason = _reason(error, secrets)
    if status is not None:
        return _refusal_of_status(status, reason, slug)
    of_network = type(error).__module__.partition(".")[0] in ("requests", "urllib3")
    if of_network or isinstance(error, ConnectionError | TimeoutError):
        hint = "check the network, then run the same command again"
        return TransientError(f"Kaggle cannot be reached ({type(error).__name__})", hint=hint)
    if isinstance(error, OSError):
        hint = "mend the permissions" if error.errno != errno.ENOSPC else "free some space"
        return StorageError(f"Kaggle's client met an error: {reason}", hint=f"{hint}, then run the same command again")
    hint = "pip install --upgrade 'automl[kaggle]', or do it by hand at " + page_of(slug)
    return UnclearError(f"Kaggle's client failed: {type(error).__name__}: {reason}", hint=hint)


def _refusal_of_status(status: int, reason: str, slug: str) -> AutomlError:
    match status:
        case 401:
            return refused_credentials()
        case 403:
            return UnfitEnvironmentError(
                f"Kaggle denies access to {slug}: {reason}",
                hint=f"join the competition and accept its rules at {page_of(slug, 'rules')}; check its name too",
            )
        case 404:
            return NotFoundError(
                f"Kaggle does not find it for {slug}: {reason}",
                hint=f"check the name at {page_of(slug)}, and that the competition is open to this",
            )
        case 429:
            hint = "wait some minutes, then run the same command again"
            return TransientError(f"Kaggle asks for patience: {reason}", hint=hint)
        case _ if status >= 500:
            hint = "run the same command again later"
            return TransientError(f"Kaggle has trouble at this moment ({status}): {reason}", hint=hint)
        case _:
            return _refusal_of_content(reason, slug)


def _refusal_of_content(reason: str, slug: str) -> AutomlError:
    """What a 400 means: only its words tell.

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
    return UsageError(problem, hint=f"check that you have joined the competition at {page_of(slug)}")


def _status_of(error: Exception) -> int | None:
    """The status of an answer; where it says success, the code that its JSON holds."""
    response = getattr(error, "response", None)
    if response is None:  # never by its truth: a response is false for every refusal
        return None
    status = int(response.status_code)
    return status if status >= 400 else int(_body(response).get("code", status))


def _reason(error: Exception, secrets: Sequence[str]) -> str:
    """What the platform says, else what the client says: one line without secrets and signatures."""
    body = _body(getattr(error, "response", None))
    said = body.get("message") or (body.get("error") if isinstance(body.get("error"), str) else None)
    text = " ".join(str(said or error or type(error).__name__).split())
    return without_secrets(_QUERY.sub("", text), secrets)[:LONGEST_REASON]


def _body(response: Any) -> dict[str, Any]:
    try:
        document = response.json()
    except Exception:  # no response, no JSON, or a stream that is closed
        return {}
    return document if isinstance(document, dict) else {}
