"""Verbs up, status, doctor and down, with the product itself on an embedded Kafka and PostgreSQL."""

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasktape.local.ports import LOOPBACK, pick_ports
from tests.fork_server import COMMAND_LINE, fork_server

FOREIGN = ("KAFKA_BROKERS", "DATABASE_URL", "JWT_SECRET", "TASKTAPE_TOKEN", "TASKTAPE_DATA")


class CommandLine:
    """The command line on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.port = pick_ports(folder / "ports.json", ("api",))["api"]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        env["LOG_FORMAT"] = "json"
        command = [fork_server(COMMAND_LINE).program, *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=env)


@pytest.fixture
def tasktape(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line("down")


def readiness(port: int) -> dict[str, Any]:
    """Return `/readyz` of the API process that accepts a new connection."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        return dict(json.load(answer))


def test_up_and_down(tasktape: CommandLine) -> None:
    """Detached: returns when ready, with a sign-in link; all checks pass; down keeps the data.

    Two API processes share the port.
    """
    up = tasktape("up", "--detach", "--port", str(tasktape.port), "--workers", "2", "--api", "2")
    assert up.returncode == 0, up.stderr
    link = re.search(rf"http://127\.0\.0\.1:{tasktape.port}/#token=(\S+)", up.stdout)
    assert link is not None
    request = urllib.request.Request(
        f"http://127.0.0.1:{tasktape.port}/api/me", headers={"Authorization": f"Bearer {link[1]}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    status = json.loads(tasktape("status", "--json").stdout)
    assert status["ready"] is True
    assert {"worker-0", "worker-1", "api-0", "api-1"} <= {process["name"] for process in status["processes"]}
    log = readiness(tasktape.port)["log"]
    doctor = json.loads(tasktape("doctor", "--json").stdout)
    assert [check for check in doctor["checks"] if check["status"] == "fail"] == []
    checks = {check["name"]: (check["status"], check["detail"]) for check in doctor["checks"]}
    assert checks["token"] == ("ok", "a fresh token is let in")
    assert checks["tree heads"][0] == "ok"
    assert checks["tree heads"][1].endswith(" records are signed")
    assert readiness(tasktape.port)["log"] == log, "doctor wrote to the log"
    assert len({readiness(tasktape.port)["node"] for _ in range(64)}) == 2
    down = tasktape("down")
    assert (down.returncode, down.stdout) == (0, f"Stopped. The data stay in {tasktape.data}\n")
    assert "killed" not in (tasktape.data / "logs" / "supervisor.log").read_text()
    assert (tasktape.data / "kafka" / "log" / "meta.properties").exists()
    for name in ("worker-0", "worker-1", "api-0", "api-1"):
        for line in (tasktape.data / "logs" / f"{name}.log").read_text().splitlines():
            assert json.loads(line)["event"], line


def test_failing_detached_start_is_reported(tasktape: CommandLine) -> None:
    """The reason comes from the background to the terminal, as one line, with exit status 1."""
    with socket.create_server((LOOPBACK, tasktape.port)):
        up = tasktape("up", "--detach", "--port", str(tasktape.port))
    assert up.returncode == 1
    assert up.stderr.splitlines()[-1].startswith(f"Error: Port {tasktape.port} on 127.0.0.1 is taken by")
    assert "Traceback" not in up.stderr
