"""A server on this machine that speaks the protocol of Kaggle's client, as kaggle 2.2.4 and 2.2.5 have it.

Calls are POSTs of JSON to /api/v1/SERVICE/METHOD; a submission is uploaded by PUT to an address that a call gives; a
bundle is reached by a redirect to a signed address, which serves ranges. What a test wants to go wrong it sets here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "KGAT_secret_0123456789"
SIGNATURE = "X-Goog-Signature=abcdef"
ETAG = '"version-1"'
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


class Platform:
    """What the pretended Kaggle holds and has been asked.

    Attributes:
        failures: by method, what the next calls of it answer: (status, message).
        outcomes: what GetSubmission answers in turn, the last one again and again.
        lost_answers: methods that do their work and then answer 500.
        put_status: what an upload answers.
        cut_at: the bundle's first answer breaks off after so many bytes.
        expires: the bundle's address is refused once an answer has broken off, until another is asked for.
        tells_ref: whether a submission's number is told.
        calls: the methods in order; ranges: of the bundle that were asked for.
    """

    def __init__(self) -> None:
        self.failures: dict[str, list[tuple[int, str]]] = {}
        self.outcomes: list[dict[str, Any]] = [{"status": "COMPLETE", "publicScore": "0.91234"}]
        self.lost_answers: set[str] = set()
        self.limits = {"numToday": 1, "numTotal": 7, "numAllowedNow": 4, "limitedByTotal": False}
        self.put_status = 200
        self.bundle = b""
        self.cut_at: int | None = None
        self.expires = self.expired = False
        self.tells_ref = True
        self.calls: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.ranges: list[str | None] = []
        self.authorizations: set[str | None] = set()
        self.uploads: list[bytes] = []
        self.submissions: list[dict[str, Any]] = []
        self.url = ""

    def answer(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(method)
        self.requests.append(request)
        document: dict[str, Any] = getattr(self, f"_{method}")(request)
        return document

    def _IntrospectToken(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"active": request["token"] == TOKEN, "username": "me"}

    def _GetSubmissionLimits(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self.limits

    def _StartSubmissionUpload(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"token": "blob", "createUrl": f"{self.url}/upload/1?{SIGNATURE}"}

    def _CreateSubmission(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert request["blobFileTokens"] == "blob"
        return self._submitted(request)

    def _CreateCodeSubmission(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._submitted(request)

    def _submitted(self, request: dict[str, Any]) -> dict[str, Any]:
        ref = 101 + len(self.submissions)
        made = datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"
        description = request.get("submissionDescription", "")
        self.submissions.insert(0, {"ref": ref, "description": description, "status": "PENDING", "date": made})
        return {"message": "Successfully submitted"} | ({"ref": ref} if self.tells_ref else {})

    def _GetSubmission(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        return {"ref": request["ref"], **outcome}

    def _ListSubmissions(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"submissions": self.submissions, "nextPageToken": ""}


@contextmanager
def running(platform: Platform) -> Iterator[Platform]:
    """The platform served at its url."""

    class Handler(_Handler):
        pass

    Handler.platform = platform
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    platform.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    platform: Platform

    def do_POST(self) -> None:
        self.platform.authorizations.add(self.headers.get("Authorization"))
        request = json.loads(self._body() or b"{}")
        method = self.path.rpartition("/")[2]
        assert self.path.startswith("/api/v1/"), self.path
        failures = self.platform.failures.get(method)
        if failures:
            status, message = failures.pop(0) if len(failures) > 1 else failures[0]
            self.platform.calls.append(method)
            self._send(status, {"code": status, "message": message})
        elif method == "DownloadDataFiles":
            self.platform.calls.append(method)
            self.platform.expired = False
            self.send_response(302)
            self.send_header("Location", f"{self.platform.url}/storage/archive.zip?{SIGNATURE}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            document = self.platform.answer(method, request)
            lost = method in self.platform.lost_answers
            self._send(500 if lost else 200, {"code": 500, "message": "Internal"} if lost else document)

    def do_PUT(self) -> None:
        self.platform.uploads.append(self._body())
        self._send(self.platform.put_status, {})

    def do_GET(self) -> None:
        whole, asked = self.platform.bundle, self.headers.get("Range")
        assert SIGNATURE in self.path
        self.platform.ranges.append(asked)
        if self.platform.expired:
            self._send(403, {"message": "ExpiredToken"})
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(whole) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", ETAG)
        self.send_header("Last-Modified", MODIFIED)
        self.end_headers()
        until, self.platform.cut_at = self.platform.cut_at, None
        self.platform.expired = self.platform.expires and until is not None
        self.wfile.write(whole[start:until])
        self.close_connection = True

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what was asked."""
