"""The relay in memory, on our WebSocket protocol and on picows: started for the load client, side by side."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instance import free_port
from benchmarks.relay_load import Serving
from benchmarks.relay_peers import SECRET, listens, process
from tasktape.local.processes import Launch
from tasktape.local.tokens import mint

LIST_ID, TASK_ID = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000011"
USERS = 100
TOKEN_TTL_S = 7_200


@dataclass(frozen=True, slots=True)
class InMemory:
    """The relay in memory on one protocol: `ours` or `picows`."""

    protocol: str
    name: str
    first_deliveries_per_s: float = 40_000.0

    @contextmanager
    def running(self, core: int, part: str) -> Iterator[Serving]:
        """See `relay_peers.Server.running`."""
        del part
        port, publish_port = free_port(), free_port()
        with tempfile.TemporaryDirectory(prefix="tasktape-bench-") as name:
            folder = Path(name)
            tokens = folder / "tokens"
            tokens.write_text(
                "\n".join(mint(SECRET, f"user{n:03d}", admin=False, ttl_s=TOKEN_TTL_S) for n in range(USERS))
            )
            launch = Launch(
                name=self.protocol,
                argv=(
                    *(sys.executable, "-m", "benchmarks.peers.in_memory"),
                    *(self.protocol, str(port), str(publish_port)),
                ),
                log=folder / "log",
                env=dict(os.environ),
            )
            with process(launch, core, lambda: listens(port) and listens(publish_port)) as pid:
                yield Serving(pid, _speak(port, publish_port, tokens))


def _speak(port: int, publish_port: int, tokens: Path) -> list[str]:
    """Return the client's options: it authenticates, and subscribes to the task."""
    authenticate = {"id": 1, "type": "authenticate", "token": "{token}"}
    subscribe = {"id": 2, "type": "subscribe", "channel": f"task:{TASK_ID}"}
    return [
        *("-url", f"ws://127.0.0.1:{port}/ws", "-tokens", str(tokens)),
        *("-first", json.dumps(authenticate), "-await", '"type":"authenticated"'),
        *("-first", json.dumps(subscribe), "-await", '"type":"subscribed"'),
        *("-ping", '{"type":"ping"}', "-pong", '{"type":"pong"}'),
        *("-pub", f"http:http://127.0.0.1:{publish_port}/publish"),
        *("-template", '{"sent_seq":{seq},"sent_ns":{ns}}'),
    ]


def in_memory() -> InMemory:
    """Return the relay on our own protocol."""
    return InMemory("ours", "our protocol, in memory")


def picows() -> InMemory:
    """Return the relay on picows."""
    return InMemory("picows", "picows, in memory")
