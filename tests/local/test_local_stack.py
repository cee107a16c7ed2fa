"""What each process of an instance is told, and how an instance is asked."""

import http.server
import threading
from collections.abc import Iterator
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


def test_a_worker_knows_its_slot(tmp_path: Path) -> None:
    """Slots count from 0; the file that says \"ready\" is gone before each start."""
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


def test_a_foreign_issuers_instance_gets_no_secret(tmp_path: Path) -> None:
    """Whoever trusts another issuer's keys alone must not accept tokens signed here."""
    launch = stack(tmp_path, JWT_JWKS_URL="https://issuer/keys").specs()[-1].prepare()
    assert "JWT_SECRET" not in launch.env
    assert not (tmp_path / "secret").exists()


def test_addresses_for_people() -> None:
    """An address that a browser on this machine can open."""
    assert instance_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert instance_url("::1", 80) == "http://[::1]:80"
    assert instance_url("example.org", 80) == "http://example.org:80"


def test_passwords_are_hidden() -> None:
    """The rest of the address stays."""
    assert hide_password("postgresql://u:p@h:1/d?x=y") == "postgresql://u:***@h:1/d?x=y"
    assert hide_password("postgresql://u@h/d") == "postgresql://u@h/d"
    assert hide_password(None) is None


def test_asking_ignores_proxies(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment cannot reach this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert read_ready(page) == b"-"
    assert ask(f"{page}/readyz", {"X-Test": "yes"}) == (200, b"yes")
    assert ask(f"{page}/other")[0] == 503
    assert ask("http://127.0.0.1:1") == (None, b"")
