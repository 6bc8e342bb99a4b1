"""The dashboard's guard: this machine alone may read, and nobody may write."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from automl.errors import UnfitEnvironmentError
from automl.reports.dashboard import guard_local_reads, serve_dashboard


def request(host: str | None, method: str) -> tuple[str, bytes]:
    """Status and body of a guarded application that answers anything."""
    statuses: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"the study"]

    environ = {"REQUEST_METHOD": method} | ({} if host is None else {"HTTP_HOST": host})
    body = guard_local_reads(app)(environ, lambda status, headers: statuses.append(status))
    return statuses[0], b"".join(body)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "localhost"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_this_machine_may_read(host: str, method: str) -> None:
    assert request(host, method) == ("200 OK", b"the study")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nobody_may_write(method: str) -> None:
    assert request("localhost:8080", method) == ("405 Method Not Allowed", b"read-only\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", None])
def test_another_host_is_refused_even_for_reading(host: str | None) -> None:
    assert request(host, "GET") == ("403 Forbidden", b"only for this machine\n")


def test_the_file_is_opened_read_only_on_this_machine_and_a_port_that_is_taken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls: list[str] = []
    monkeypatch.setitem(sys.modules, "optuna_dashboard", SimpleNamespace(wsgi=urls.append))
    with serve_dashboard(StudyFiles(tmp_path), port=0) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(UnfitEnvironmentError, match=f"port {server.server_port} cannot be opened") as refused:
            serve_dashboard(StudyFiles(tmp_path), port=server.server_port)
    assert "--port" in refused.value.hint
    assert set(urls) == {f"sqlite:///file:{tmp_path / 'study.db'}?mode=ro&uri=true"}
