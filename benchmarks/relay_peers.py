"""The compared servers: how each is started, and the load client's options for it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks import relay_builds
from benchmarks.instance import free_port
from benchmarks.relay_load import Serving, on_core
from tasktape.local.processes import Launch, spawn, stop, wait_ready

SECRET = "a secret for this benchmark alone, of 32 bytes or more"
START_LIMIT_S = 20.0


class Server(Protocol):
    """A server, not started yet."""

    @property
    def name(self) -> str:
        """Return its name in tables."""

    @property
    def first_deliveries_per_s(self) -> float:
        """Return the rate at which to start the search for the maximum."""

    def running(self, core: int, part: str) -> AbstractContextManager[Serving]:
        """Run it on a core, for one part of the benchmark."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The special needs of one part of the benchmark."""

    env: Mapping[str, str] = field(default_factory=dict)
    speak: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """Another project's server; `{port}` is filled in."""

    name: str
    argv: Sequence[str]
    speak: Sequence[str]
    first_deliveries_per_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)

    @contextmanager
    def running(self, core: int, part: str) -> Iterator[Serving]:
        """See `Server.running`."""
        port = free_port()
        variant = self.variants.get(part, Variant())
        with tempfile.TemporaryDirectory(prefix="tasktape-bench-") as folder:
            launch = Launch(
                name=self.name,
                argv=tuple(word.format(port=port) for word in self.argv),
                log=Path(folder) / "log",
                env={**os.environ, **self.env, **variant.env, "PORT": str(port)},
            )
            with process(launch, core, lambda: listens(port)) as pid:
                yield Serving(pid, [word.format(port=port) for word in (*self.speak, *variant.speak)])


@contextmanager
def process(launch: Launch, core: int, ready: Callable[[], bool]) -> Iterator[int]:
    """Run a server on a core; yield its process id once it is ready."""
    with on_core(core):
        child = spawn(launch)
    try:
        wait_ready(child, launch, ready, START_LIMIT_S)
        yield child.pid
    finally:
        stop(child, launch)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rawlimit() -> Peer:
    """Return the server in bare C."""
    return Peer(
        "bare C",
        (str(relay_builds.rawlimit()), "{port}"),
        ("-url", "ws://127.0.0.1:{port}/", "-pub", "http:http://127.0.0.1:{port}/publish"),
        60_000,
    )


def socketio() -> Peer:
    """Return Socket.IO, with tokens for counting connections, and with state recovery for reconnects."""
    address = "ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    return Peer(
        "Socket.IO 4.8",
        ("node", str(relay_builds.socketio())),
        ("-proto", "socketio", "-url", address, "-pub", "http:http://127.0.0.1:{port}/publish"),
        30_000,
        env={"NODE_ENV": "production"},
        variants={
            "connect": Variant({"JWT_SECRET": SECRET}, ("-jwt", SECRET)),
            "recover": Variant({"CSR": "1"}),
        },
    )


def naive() -> Peer:
    """Return the example of broadcaster's README."""
    options = ("--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning", "--backlog", "4096")
    return Peer(
        "broadcaster's README",
        (sys.executable, "-m", "uvicorn", "benchmarks.peers.naive:app", "--no-access-log", *options),
        ("-url", "ws://127.0.0.1:{port}/ws", "-pub", "http:http://127.0.0.1:{port}/publish"),
        12_000,
    )
