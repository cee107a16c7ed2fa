"""Commands of docs/how-to/back-up.md, run as written, restore what was backed up."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.fork_server import WORKER, fork_server
from tests.integration.documents import Home, blocks
from tests.integration.stack import Stack

PAGE = "docs/how-to/back-up.md"
LIMIT_S = 60
VERB = 'docker compose run --rm --no-deps -T --user "$(id -u)" -v "$PWD:/backup" worker-1 tasktape '


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.run("tasktape down; ! test -d ~/restored || tasktape down --data ~/restored")


def titles(home: Home, options: str = "") -> set[str]:
    return {task["title"] for task in json.loads(home.run(f"tasktape list --json {options}"))["items"]}


def test_local_instance_is_backed_up_and_restored(home: Home) -> None:
    """While it runs, into another folder, and in its place; its tokens can be kept."""
    full, increment, check = blocks(PAGE, "Back up while everything runs")
    elsewhere, in_place = blocks(PAGE, "Restore")
    home.run("tasktape up --detach && tasktape add one")
    home.run(full)
    home.run("tasktape add two")
    home.run(increment)
    home.run("tasktape add three")
    assert home.run(check).count("It is sound.") == 2
    *restore, show, down = elsewhere.splitlines()
    home.run("\n".join(restore))
    assert titles(home, "--data ~/restored") == {"one", "two"}
    shown = home.run(show)
    assert "two" in shown
    assert "three" not in shown
    home.run(down)
    assert titles(home) == {"one", "two", "three"}
    home.run(in_place)
    assert titles(home) == {"one", "two"}
    home.run("tasktape add four")
    assert titles(home) == {"one", "two", "four"}


def test_folder_of_a_local_instance_is_copied_and_restored(home: Home) -> None:
    back_up, restore = blocks(PAGE, "Copy the whole folder")
    home.run("tasktape up --detach && tasktape add one")
    home.run(back_up)
    assert (home.folder / "tasktape-backup.tgz").stat().st_mode & 0o077 == 0
    home.run("tasktape add two")
    home.run(restore)
    assert titles(home) == {"one"}
    assert [path.name for path in (home.folder / ".local" / "share").iterdir()] == ["tasktape"]
    assert not (home.folder / ".local" / "share" / "tasktape" / "tasktape").exists()
    assert len(list(home.folder.glob("tasktape-before-*"))) == 1


class Containers:
    """Services of the Compose file as processes; volumes are folders."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.volumes = {name: folder / f"tasktape_{name}" for name in ("kafka", "postgres")}
        self.project.mkdir()
        self._folder = folder
        self._stack: Stack | None = None

    def follow(self, block: str) -> None:
        """Execute each line of a block; an unknown one is an error."""
        for line in block.splitlines():
            if line.startswith(VERB):
                asyncio.run(self._tasktape(line.removeprefix(VERB)))
            elif line in {"docker compose stop", "docker compose down"}:
                self.stop()
            elif line == "docker volume rm tasktape_kafka tasktape_postgres":
                for volume in self.volumes.values():
                    shutil.rmtree(volume)
            elif line == "docker compose up --detach --wait kafka postgres":
                self._start_stores()
            elif line == "docker compose up --detach --wait":
                self.start()
            else:
                assert "docker" not in line, line
                self._shell(line)

    def start(self) -> None:
        """Start the services with their data, or new ones."""
        stack = self._start_stores()
        stack.migrate()
        stack.start_worker()
        stack.start_api()

    def _start_stores(self) -> Stack:
        if self._stack is None:
            self._kafka = EmbeddedKafka(self.volumes["kafka"])
            self._postgres = EmbeddedPostgres(self.volumes["postgres"])
            self._stack = Stack(self._kafka.start(), self._postgres.start(), self._folder, name="only")
        return self._stack

    async def _tasktape(self, arguments: str) -> None:
        """Run a verb in a container of a worker, with the project's folder at /backup."""
        assert self._stack is not None
        words = arguments.replace("/backup/", f"{self.project}/").split()
        status, _, err = await fork_server(WORKER).run(tuple(words), self._stack.environment)
        assert (status, err) == (0, "")

    def stop(self) -> None:
        """Stop the services in order."""
        if self._stack is not None:
            self._stack.stop()
            self._kafka.stop()
            self._postgres.stop()
            self._stack = None

    def client(self) -> httpx.Client:
        """Return a client of the node."""
        assert self._stack is not None
        headers = {"Authorization": f"Bearer {self._stack.token('alice')}"}
        return httpx.Client(base_url=self._stack.urls[0], headers=headers, trust_env=False, timeout=30)

    def _shell(self, line: str) -> None:
        subprocess.run(["bash", "-ec", line], cwd=self.project, check=True, timeout=LIMIT_S)


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    containers = Containers(tmp_path)
    yield containers
    containers.stop()


def test_compose_deployment_is_backed_up_and_restored(containers: Containers) -> None:
    """Changes after the backup are gone, settings are unchanged, and it accepts commands."""
    back_up, restore = blocks(PAGE, "With the Compose file")
    settings = containers.project / ".env"
    settings.write_text("KAFKA_CLUSTER_ID=first\n")
    (containers.project / "secrets").mkdir(mode=0o700)
    containers.start()
    with containers.client() as client:
        kept = client.post("/api/tasks", json={"title": "kept"}).json()
        client.post(f"/api/tasks/{kept['id']}/complete")
    containers.follow(back_up)
    settings.write_text("KAFKA_CLUSTER_ID=second\n")
    with containers.client() as client:
        assert client.post("/api/tasks", json={"title": "lost"}).status_code == 201
    containers.follow(restore)
    assert settings.read_text() == "KAFKA_CLUSTER_ID=first\n"
    with containers.client() as client:
        found = client.get(f"/api/tasks/{kept['id']}").json()
        assert (found["title"], found["status"], found["version"]) == ("kept", "done", 2)
        assert client.post("/api/tasks", json={"title": "new"}).status_code == 201
        items = client.get("/api/tasks").json()["items"]
        assert {task["title"] for task in items} - {"kept"} == {"new"}
