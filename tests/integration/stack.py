"""A running Tasktape of real processes: topics and tables of its own, workers and API nodes."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from sqlalchemy import make_url

from app.merkle.notes import COSIGNATURE
from streams.tree_heads.keys import SigningKey
from tasktape.local.tokens import mint
from tests.fork_server import API, WORKER, ForkedProcess, fork_server
from tests.ports import free_port
from tests.waiting import eventually_sync

SECRET = "a secret of the tests, and of nothing else"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
WITNESS = SigningKey.of_seed("witness.example.com", datetime(2026, 1, 1, tzinfo=UTC), bytes(32))
"""The witness that API nodes know."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nothing: each client would read all certificates, for an address that has none."""


@dataclass
class Part:
    """One process of the stack."""

    name: str
    process: ForkedProcess
    log: Path

    def stop(self) -> None:
        """Stop it, and check that it ends."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop: {self.tail()}") from None

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)

    def tail(self) -> str:
        """Return its last output."""
        return self.log.read_text(errors="replace")[-2000:]


@dataclass
class Stack:
    """Parts that a test starts as needed; `urls` are those of the API nodes, in the order of their start."""

    brokers: str
    database_url: str
    folder: Path
    overrides: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: uuid4().hex[:12])
    urls: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of every process of the stack."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASKTAPE_", "KAFKA_", "DATABASE_", "JWT_"))
        }
        return inherited | {
            "KAFKA_BROKERS": self.brokers,
            "DATABASE_URL": self.database_url,
            "JWT_SECRET": SECRET,
            "TASKTAPE_EVENTS_TOPIC": f"task-events-{self.name}",
            "TASKTAPE_UPDATES_TOPIC": f"task-updates-{self.name}",
            "TASKTAPE_SIGNALS_TOPIC": f"task-signals-{self.name}",
            "TASKTAPE_TREE_HEADS_TOPIC": f"task-tree-heads-{self.name}",
            "TASKTAPE_TREE_HEAD_KEYS": str(self.folder / "tree-head-keys"),
            "TASKTAPE_WITNESSES": str(replace(WITNESS.public, type=COSIGNATURE)),
            "TASKTAPE_SCHEMA": f"t_{self.name}",
            "TASKTAPE_API_DATABASE_URL": self.url_of("api"),
            "TASKTAPE_SQL_DATABASE_URL": self.url_of("sql"),
            **self.overrides,
        }

    def url_of(self, role: str) -> str:
        """Return the address of the database for a role of this stack."""
        url = make_url(self.database_url).set(username=f"{role}_{self.name}", password=SECRET)
        return url.render_as_string(hide_password=False)

    def migrate(self) -> None:
        """Create the topics and tables."""
        log = self.folder / "migrate.log"
        process = fork_server(WORKER).start(("migrate",), self.environment, log)
        assert process.wait(START_LIMIT_S) == 0, log.read_text()

    def start_worker(self, slot: int = 0) -> Part:
        """Start a worker and wait until it has its partitions."""
        ready = self.folder / f"worker-{slot}-{uuid4().hex}.ready"
        part = self._start(
            f"worker-{slot}",
            "worker",
            {"TASKTAPE_WORKER_SLOT": str(slot), "TASKTAPE_READY_FILE": str(ready)},
        )
        self._await(part, ready.exists)
        return part

    def start_api(self, port: int | None = None) -> Part:
        """Start an API node and wait until it is ready."""
        port = port or free_port()
        url = f"http://127.0.0.1:{port}"
        part = self._start(f"api-{port}", "api", {"HOST": "127.0.0.1", "PORT": str(port)})
        self._await(part, lambda: _is_ready(url))
        if url not in self.urls:
            self.urls.append(url)
        return part

    def stop(self) -> None:
        """Stop everything, newest first."""
        for part in reversed(self.parts):
            part.stop()

    def token(self, user: str, *, admin: bool = False, auditor: bool = False, ttl_s: int = 3600) -> str:
        """Return a token of `user`."""
        return mint(SECRET, user, admin=admin, auditor=auditor, ttl_s=ttl_s)

    @asynccontextmanager
    async def client(
        self, user: str, node: int = 0, *, admin: bool = False, auditor: bool = False
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Return a client of one API node, signed in as `user`."""
        headers = {"Authorization": f"Bearer {self.token(user, admin=admin, auditor=auditor)}"}
        async with httpx.AsyncClient(
            base_url=self.urls[node],
            headers=headers,
            timeout=30,
            trust_env=False,
            verify=NO_TLS,
            # The server closes what idles for 5 s: a request must not meet that.
            limits=httpx.Limits(keepalive_expiry=2),
        ) as client:
            yield client

    def ws_url(self, node: int = 0) -> str:
        """Return the URL of a node's WebSocket."""
        return self.urls[node].replace("http", "ws", 1) + "/ws"

    def _start(self, name: str, verb: str, environment: dict[str, str]) -> Part:
        log = self.folder / f"{name}.log"
        server = fork_server(API if verb == "api" else WORKER)
        process = server.start((verb,), self.environment | environment, log)
        part = Part(name, process, log)
        self.parts.append(part)
        return part

    @staticmethod
    def _await(part: Part, condition: object) -> None:
        assert callable(condition)

        def ready() -> bool:
            assert part.process.poll() is None, f"{part.name} ended: {part.tail()}"
            return bool(condition())

        try:
            eventually_sync(ready, START_LIMIT_S)
        except AssertionError as error:
            raise AssertionError(f"{part.name}: {error}; {part.tail()}") from None


@contextmanager
def running(
    brokers: str, database_url: str, folder: Path, *, nodes: int = 2, **settings: str
) -> Iterator[Stack]:
    """Yield a stack with one worker and some API nodes."""
    stack = Stack(brokers, database_url, folder, settings)
    try:
        stack.migrate()
        stack.start_worker()
        for _ in range(nodes):
            stack.start_api()
        yield stack
    finally:
        stack.stop()


def _is_ready(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/readyz?lag=any", timeout=START_LIMIT_S, trust_env=False, verify=NO_TLS)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200
