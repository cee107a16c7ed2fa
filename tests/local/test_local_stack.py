"""Environments of an instance's processes, and requests to an instance."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasktape.local.data_dir import DataDir
from tasktape.local.running import hide_password
from tasktape.local.stack import Options, Stack, ask, instance_url, read_ready

STORES = {"KAFKA_BROKERS": "kafka:9092", "DATABASE_URL": "postgresql://me:secret@db/tasktape"}


def stack(folder: Path, **env: str) -> Stack:
    data = DataDir(folder)
    data.create()
    return Stack(Options(data, "0.0.0.0", 8000, 2, STORES | env))


@pytest.fixture
def page() -> Iterator[str]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()
            self.wfile.write(self.headers.get("X-Test", "-").encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_worker_has_its_slot(tmp_path: Path) -> None:
    """Slots count from 0; the ready file is removed before each start."""
    specs = {spec.name: spec for spec in stack(tmp_path, JWT_SECRET="s").specs()}
    assert list(specs) == ["migrate", "worker-0", "worker-1", "api"]
    (tmp_path / "worker-1.ready").touch()
    launch = specs["worker-1"].prepare()
    assert launch.argv[-1] == "worker"
    assert launch.env["TASKTAPE_WORKER_SLOT"] == "1"
    assert launch.env["TASKTAPE_READY_FILE"] == str(tmp_path / "worker-1.ready")
    assert launch.env["JWT_SECRET"] == "s"
    assert launch.env["KAFKA_BROKERS"] == "kafka:9092"
    assert specs["worker-1"].is_ready is not None
    assert not specs["worker-1"].is_ready()


def test_single_api_process_does_not_share_the_port(tmp_path: Path) -> None:
    """It has a ready file; its stop delay is the environment's, if set."""
    spec = stack(tmp_path).specs()[-1]
    (tmp_path / "api.ready").touch()
    launch = spec.prepare()
    assert (spec.name, launch.argv[-1], launch.log.name) == ("api", "api", "api.log")
    assert launch.env["TASKTAPE_READY_FILE"] == str(tmp_path / "api.ready")
    assert "TASKTAPE_REUSE_PORT" not in launch.env
    assert launch.env["TASKTAPE_DRAIN_S"] == "1"
    assert spec.is_ready is not None
    assert not spec.is_ready()
    patient = stack(tmp_path, TASKTAPE_DRAIN_S="3").specs()[-1].prepare()
    assert patient.env["TASKTAPE_DRAIN_S"] == "3"


def test_several_api_processes_share_the_port(tmp_path: Path) -> None:
    """Each has a name, a log and a ready file of its own."""
    options = replace(stack(tmp_path).options, apis=3)
    specs = [spec for spec in Stack(options).specs() if spec.name.startswith("api")]
    assert [spec.name for spec in specs] == ["api-0", "api-1", "api-2"]
    launches = [spec.prepare() for spec in specs]
    assert {launch.env["PORT"] for launch in launches} == {"8000"}
    assert {launch.env["TASKTAPE_REUSE_PORT"] for launch in launches} == {"on"}
    assert len({launch.env["TASKTAPE_READY_FILE"] for launch in launches}) == 3
    assert len({launch.log for launch in launches}) == 3


def test_instance_with_another_issuer_has_no_secret(tmp_path: Path) -> None:
    """It must not accept tokens signed here."""
    launch = stack(tmp_path, JWT_JWKS_URL="https://issuer/keys").specs()[-1].prepare()
    assert "JWT_SECRET" not in launch.env
    assert not (tmp_path / "secret").exists()


def test_urls_for_users_open_in_a_local_browser() -> None:
    assert instance_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert instance_url("::1", 80) == "http://[::1]:80"
    assert instance_url("example.org", 80) == "http://example.org:80"


def test_passwords_are_hidden() -> None:
    """The rest of the URL stays."""
    assert hide_password("postgresql://u:p@h:1/d?x=y") == "postgresql://u:***@h:1/d?x=y"
    assert hide_password("postgresql://u@h/d") == "postgresql://u@h/d"
    assert hide_password(None) is None


def test_requests_ignore_proxies(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment cannot reach this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert read_ready(page) == b"-"
    assert ask(f"{page}/readyz", {"X-Test": "yes"}) == (200, b"yes")
    assert ask(f"{page}/other")[0] == 503
    assert ask("http://127.0.0.1:1") == (None, b"")
