"""Tasktape under the relay benchmark: a real API process, on a real Kafka and a real PostgreSQL.

A worker runs only while users, inboxes and a list that all share are created. Updates then come from
`relay_publisher`, at any rate, and of the peers' size. The log has no records for them, so
every API process starts with the positions at which the worker stopped. Only in the part `FROM_THE_LOG`
the worker runs too, as in production.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic_core import from_json

from app.settings import Settings
from benchmarks.instance import VERB, free_port, is_setting
from benchmarks.parts import Parts, real_parts
from benchmarks.relay_load import Serving
from benchmarks.relay_peers import SECRET, process
from streams.producing import partition_of
from tasktape.local.processes import Launch, gist, spawn, stop, wait_ready
from tasktape.local.stack import ask
from tasktape.local.tokens import mint

USERS = 100
TOKEN_TTL_S = 7_200
START_LIMIT_S = 60.0
PARTITIONS = 4
FROM_THE_LOG = "from the log"
RAISED = {
    "TASKTAPE_CONNECTIONS_PER_USER": "0",
    "TASKTAPE_CONNECTIONS_PER_ADDRESS": "0",
    "TASKTAPE_SOCKET_MESSAGES_PER_S": "1000",
}
"""Limits that a benchmark from one address, with a hundred users, would run into (0 is none)."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The list that all users are members of, and a task in it."""

    list_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Tasktape:
    """Our server; its parts already run, on the client's core."""

    parts: Parts
    shared: Shared
    features: Sequence[str]
    name: str = "Tasktape"
    first_deliveries_per_s: float = 40_000.0

    @contextmanager
    def running(self, core: int, part: str) -> Iterator[Serving]:
        """See `relay_peers.Server.running`."""
        port = free_port()
        beside = [self.parts.broker_pid, self.parts.database_pid]
        with ExitStack() as stack:
            if part == FROM_THE_LOG:
                beside.append(stack.enter_context(_worker(self.parts)))
            launch = _launch(self.parts, "api", {"PORT": str(port)})
            pid = stack.enter_context(process(launch, core, lambda: _is_ready(port)))
            first = self._first_version(port) if part == FROM_THE_LOG else self._first_offset(port)
            if part == "recover":
                first = [*first, "--database-url", self.parts.database_url]
            yield Serving(pid, self._speak(port, first), beside)

    def _speak(self, port: int, first: Sequence[str]) -> list[str]:
        """Return the client's options: it authenticates, and subscribes to a task."""
        authenticate = {"id": 1, "type": "authenticate", "token": "{token}", "features": list(self.features)}
        # The placeholder stands for an object, not for a text.
        resume = json.dumps(authenticate | {"since": 0}).replace('"since": 0', '"since": {since}')
        subscribe = {"id": 2, "type": "subscribe", "channel": f"task:{self.shared.task_id}"}
        return [
            *("-url", f"ws://127.0.0.1:{port}/ws", "-tokens", str(self._tokens())),
            *("-first", json.dumps(authenticate), "-await", '"type":"authenticated"'),
            *("-first", json.dumps(subscribe), "-await", '"type":"subscribed"'),
            *("-resume-first", resume),
            *("-ping", '{"type":"ping"}', "-pong", '{"type":"pong"}'),
            *("-pub", f"exec:{self._publisher(first)}", "-template", '{"sent_seq":{seq},"sent_ns":{ns}}'),
        ]

    def _tokens(self) -> Path:
        file = self.parts.folder / "tokens"
        if not file.exists():
            file.write_text("\n".join(_token(_user(number)) for number in range(USERS)))
        return file

    def _publisher(self, first: Sequence[str]) -> str:
        return shlex.join(
            [
                *(sys.executable, "-m", "benchmarks.relay_publisher"),
                *("--brokers", self.parts.brokers, "--partition", str(self._partition)),
                *("--list-id", self.shared.list_id, "--task-id", self.shared.task_id),
                *("--user", _user(0), *first),
            ]
        )

    @property
    def _partition(self) -> int:
        return partition_of(f"task:{self.shared.task_id}".encode(), PARTITIONS)

    def _first_offset(self, port: int) -> list[str]:
        """Return the offset after that of the read models, where the API expects an update."""
        positions = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json()["positions"]
        return ["--first-offset", str(positions.get(str(self._partition), -1) + 1)]

    def _first_version(self, port: int) -> list[str]:
        """Return the version after the task's own."""
        path, headers = f"/api/tasks/{self.shared.task_id}", {"Authorization": f"Bearer {_token(_user(0))}"}
        task = httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, trust_env=False).json()
        return ["--first-version", str(task["version"] + 1)]


@contextmanager
def tasktape(features: Sequence[str]) -> Iterator[Tasktape]:
    """Start the parts, sign the users in and share a list, and stop the parts at the end."""
    with real_parts() as parts:
        yield Tasktape(parts, _set_up(parts), features)


def _set_up(parts: Parts) -> Shared:
    port = free_port()
    migrate = _launch(parts, "migrate", {})
    if spawn(migrate).wait(START_LIMIT_S):
        raise SystemExit(f"tasktape migrate failed: {gist(migrate.log)}")
    with _worker(parts), _started(_launch(parts, "api", {"PORT": str(port)}), lambda: _is_ready(port)):
        return _share(f"http://127.0.0.1:{port}")


@contextmanager
def _worker(parts: Parts) -> Iterator[int]:
    """Run a worker; yield its process id once it has its partitions."""
    ready_file = parts.folder / "worker.ready"
    ready_file.unlink(missing_ok=True)
    launch = _launch(parts, "worker", {"TASKTAPE_READY_FILE": str(ready_file)})
    with _started(launch, ready_file.exists) as pid:
        yield pid


@contextmanager
def _started(launch: Launch, ready: Callable[[], bool]) -> Iterator[int]:
    child = spawn(launch)
    try:
        wait_ready(child, launch, ready, START_LIMIT_S)
        yield child.pid
    finally:
        stop(child, launch)


def _share(url: str) -> Shared:
    """Create the list and the task, and sign every user in; each gets an inbox with the first request."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30.0) as http:

        def ask(user: str, method: str, path: str, body: object = None) -> dict[str, object]:
            headers = {"Authorization": f"Bearer {_token(user)}"}
            answer = http.request(method, path, json=body, headers=headers)
            answer.raise_for_status()
            found: dict[str, object] = answer.json()
            return found

        owner = _user(0)
        list_id = str(ask(owner, "POST", "/api/lists", {"name": "Relay"})["id"])
        task_id = str(ask(owner, "POST", "/api/tasks", {"title": "Relay", "list_id": list_id})["id"])
        for user in map(_user, range(1, USERS)):
            ask(user, "GET", "/api/tasks")
            ask(owner, "PUT", f"/api/lists/{list_id}/members/{user}", {"role": "editor"})
    return Shared(list_id, task_id)


def _launch(parts: Parts, verb: str, extra: Mapping[str, str]) -> Launch:
    known = {field.alias for field in Settings.model_fields.values()}
    settings = {
        "KAFKA_BROKERS": parts.brokers,
        "DATABASE_URL": parts.database_url,
        "JWT_SECRET": SECRET,
        "LOG_LEVEL": "warning",
        "TASKTAPE_PARTITIONS": str(PARTITIONS),
        "TASKTAPE_DATA": str(parts.folder),
    }
    settings |= {name: value for name, value in RAISED.items() if name in known}
    return Launch(
        name=verb,
        argv=(*VERB, verb),
        log=parts.folder / f"{verb}.log",
        env={
            **{name: value for name, value in os.environ.items() if not is_setting(name)},
            **settings,
            **extra,
        },
        cwd=parts.folder,
    )


def _user(number: int) -> str:
    return f"user{number:03d}"


def _token(user: str) -> str:
    return mint(SECRET, user, admin=False, ttl_s=TOKEN_TTL_S)


def _is_ready(port: int) -> bool:
    # Without a worker `/readyz` is a 503, also when it has positions.
    status, body = ask(f"http://127.0.0.1:{port}/readyz")
    return status in {200, 503} and "positions" in from_json(body)
