"""Serve the Optuna dashboard on a study's file, read-only and for this machine's browser.

optuna-dashboard has no authentication, answers any Host header, and can delete a study. So it is bound to 127.0.0.1,
gets the file read-only, and is wrapped so that a page on another site can neither read it (DNS rebinding) nor change
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from automl.artifacts import StudyFiles
from automl.errors import UnfitEnvironmentError

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
LOCAL_NAMES = ("127.0.0.1", "localhost")
READ_METHODS = ("GET", "HEAD")


def serve_dashboard(files: StudyFiles, *, port: int) -> WSGIServer:
    """Build a server for the study on 127.0.0.1, ready for `serve_forever`; port 0 takes a free one.

    Raises:
        UnfitEnvironmentError: the port is taken.
    """
    import optuna_dashboard

    app = optuna_dashboard.wsgi(f"sqlite:///file:{files.study_db}?mode=ro&uri=true")
    try:
        return make_server("127.0.0.1", port, guard_local_reads(app), server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise UnfitEnvironmentError(
            f"port {port} cannot be opened: {error.strerror}", hint="choose another with --port"
        ) from error


def guard_local_reads(app: WSGIApp) -> WSGIApp:
    """Close the application to foreign Host headers (403) and to all but reading (405)."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").rsplit(":", 1)[0]
        if host not in LOCAL_NAMES:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"only for this machine\n"]
        if environ["REQUEST_METHOD"] not in READ_METHODS:
            start_response(
                "405 Method Not Allowed", [("Content-Type", "text/plain"), ("Allow", ", ".join(READ_METHODS))]
            )
            return [b"read-only\n"]
        return app(environ, start_response)

    return guarded


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal belongs to the address."""
