"""Services of docker-compose.yml run as processes: commands, environments and health checks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.compose import ROOT, environment_of_service, read_compose, secret_files
from tests.places import dying_with_us
from tests.ports import free_port
from tests.waiting import eventually_sync

LIMIT_S = 60
BIN = str(Path(sys.executable).parent)


@dataclass
class Container:
    """One of our services as a process: with its environment and nothing else, and paths of this machine."""

    service: dict[str, Any]
    places: dict[str, str]
    image: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the image and the service."""
        own = {
            name: self.places.get(value, value)
            for name, value in environment_of_service(self.service).items()
        }
        return self.image | own | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def start(self) -> None:
        """Start its command, with an empty `/tmp`."""
        Path(self.places["/tmp/ready"]).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.service["command"],
                env=self.environment,
                cwd="/",
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_us(),  # noqa: PLW1509  # it takes no lock that another thread could hold
            )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as `docker compose exec` does."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def is_healthy(self) -> bool:
        """Run its health check."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        return self.run(*self._check()).returncode == 0

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Stop it as Compose does: it has to end in time."""
        if self.process is None:
            return 0
        self.send(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def _check(self) -> list[str]:
        if "healthcheck" not in self.service:
            found = re.search(
                r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
            )
            assert found is not None
            command: list[str] = json.loads(found[1])
            return command
        kind, command_line = self.service["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        for there, here in self.places.items():
            command_line = command_line.replace(there, here)
        return ["sh", "-c", command_line]


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """Return all of our services, not started, on a new Kafka and a new PostgreSQL."""
    folder = tmp_path_factory.mktemp("compose")
    kafka, postgres = EmbeddedKafka(folder / "kafka"), EmbeddedPostgres(folder / "postgres")
    found: dict[str, Container] = {}
    try:
        places = {"kafka:9092": kafka.start()}
        urls = {"database_url": postgres.start()}
        urls |= {"api_database_url": postgres.api_url, "sql_database_url": postgres.sql_url}
        places |= secret_files(folder, urls)
        for name, service in read_compose({"TASKTAPE_DRAIN_S": "1"})["services"].items():
            if service["image"] == "tasktape":
                own = places | {
                    "/tmp/ready": str(folder / f"{name}.ready"),
                    # In the volume that the workers share.
                    "/var/lib/tasktape/tree-head-keys": str(folder / "tree-head-keys"),
                }
                image = {"HOST": "127.0.0.1", "PORT": str(free_port())}
                found[name] = Container(service, own, image, folder / f"{name}.log")
        yield found
    finally:
        codes = {name: container.stop() for name, container in found.items()}
        kafka.stop()
        postgres.stop()
    assert codes == dict.fromkeys(codes, 0)


def test_services_become_healthy_and_unhealthy_when_they_hang(
    containers: dict[str, Container],
) -> None:
    migrate = containers.pop("migrate")
    for _ in range(2):  # it runs at each start
        done = migrate.run(*migrate.service["command"])
        assert done.returncode == 0, done.stderr
    for container in containers.values():
        container.start()
    for name, container in containers.items():
        eventually_sync(container.is_healthy, LIMIT_S, f"{name} is healthy")

    node = containers["api-2"]
    token = node.run("tasktape", "token", "--user", "alice", "--ttl", "30d").stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{node.image['PORT']}"
    made = httpx.post(f"{url}/api/tasks", json={"title": "A"}, headers=headers, trust_env=False)
    assert made.status_code == 201
    assert made.json()["created_by"] == "alice"

    stopped = [containers["worker-1"], containers["api-1"]]
    for container in stopped:
        container.send(signal.SIGSTOP)
    try:
        for container in stopped:
            eventually_sync(lambda each=container: not each.is_healthy())  # type: ignore[misc]
        assert containers["worker-2"].is_healthy()
    finally:
        for container in stopped:
            container.send(signal.SIGCONT)
    for container in stopped:
        eventually_sync(container.is_healthy, LIMIT_S)

    killed = containers["worker-1"]
    killed.send(signal.SIGKILL)
    assert killed.process is not None
    killed.process.wait()
    killed.start()
    eventually_sync(killed.is_healthy, LIMIT_S)
