"""Tasktape under the relay benchmark: a real API process, on a real Kafka and a real PostgreSQL.

A worker runs only while users, inboxes and a list that all share are made. What is relayed then comes from
`relay_publisher`: as fast as it is wanted, and of the peers' size. The log has no records behind that, so
every API process starts with the positions at which the worker stopped.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.settings import Settings
from benchmarks.instance import VERB, free_port, is_setting
from benchmarks.parts import Parts, real_parts
from benchmarks.relay_load import Serving
from benchmarks.relay_peers import SECRET, process
from streams.producing import partition_of
from tasktape.local.processes import Launch, spawn, stop, wait_ready
from tasktape.local.stack import read_ready
from tasktape.local.tokens import mint

USERS = 100
TOKEN_TTL_S = 7_200
START_LIMIT_S = 60.0
PARTITIONS = 4
RAISED = {
    "TASKTAPE_CONNECTIONS_PER_USER": "0",
    "TASKTAPE_CONNECTIONS_PER_ADDRESS": "0",
    "TASKTAPE_SOCKET_MESSAGES_PER_S": "1000",
}
"""Limits that a benchmark from one address, with a hundred users, would run into (0 is none)."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The list that all users are members of, a task in it, and the positions of the log behind that."""

    list_id: str
    task_id: str
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Tasktape:
    """Our server; its parts run already, on the client's core."""

    parts: Parts
    shared: Shared
    features: Sequence[str]
    name: str = "Tasktape"
    first_deliveries_per_s: float = 20_000.0

    @contextmanager
    def running(self, core: int, part: str) -> Iterator[Serving]:  # noqa: ARG002
        """See `relay_peers.Server.running`."""
        port = free_port()
        launch = _launch(self.parts, "api", {"PORT": str(port)})
        with process(launch, core, lambda: _is_ready(port)) as pid:
            beside = (self.parts.broker_pid, self.parts.database_pid)
            yield Serving(pid, self._speak(port), beside)

    def _speak(self, port: int) -> list[str]:
        """How the load client connects: it authenticates, and subscribes to a task."""
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
            *("-pub", f"exec:{self._publisher()}", "-template", '{"sent_seq":{seq},"sent_ns":{ns}}'),
        ]

    def _tokens(self) -> Path:
        file = self.parts.folder / "tokens"
        if not file.exists():
            file.write_text("\n".join(_token(_user(number)) for number in range(USERS)))
        return file

    def _publisher(self) -> str:
        partition = partition_of(f"task:{self.shared.task_id}".encode(), PARTITIONS)
        first_offset = self.shared.positions.get(partition, -1) + 1
        return shlex.join(
            [
                *(sys.executable, "-m", "benchmarks.relay_publisher"),
                *("--brokers", self.parts.brokers, "--topic", "task-updates"),
                *("--partition", str(partition), "--first-offset", str(first_offset)),
                *("--list-id", self.shared.list_id, "--task-id", self.shared.task_id),
            ]
        )


@contextmanager
def tasktape(features: Sequence[str]) -> Iterator[Tasktape]:
    """Start the parts, let the users come in and share a list, and stop the parts in the end."""
    with real_parts() as parts:
        yield Tasktape(parts, _set_up(parts), features)


def _set_up(parts: Parts) -> Shared:
    port, ready_file = free_port(), parts.folder / "worker.ready"
    with ExitStack() as stack:
        migrate = _launch(parts, "migrate", {})
        if spawn(migrate).wait(START_LIMIT_S):
            raise SystemExit(f"tasktape migrate failed: {migrate.log.read_text()[-600:]}")
        for verb, ready in (("worker", ready_file.exists), ("api", lambda: _is_ready(port))):
            launch = _launch(parts, verb, {"PORT": str(port), "TASKTAPE_READY_FILE": str(ready_file)})
            child = spawn(launch)
            stack.callback(stop, child, launch)
            wait_ready(child, launch, ready, START_LIMIT_S)
        return _share(f"http://127.0.0.1:{port}")


def _share(url: str) -> Shared:
    """Make the list and the task, and let every user in; each gets an inbox with the first request."""
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
        positions = http.get("/readyz").json()["positions"]
    return Shared(list_id, task_id, {int(partition): offset for partition, offset in positions.items()})


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
    return read_ready(f"http://127.0.0.1:{port}") is not None
