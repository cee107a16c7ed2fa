"""Load on one server at a time: the assignment of cores, the wait for a quiet machine, the client's rows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

Row = dict[str, Any]
"""The client's measurements of one step, by name; see `peers/README.md`."""

QUIET_CORES = 0.12
QUIET_SAMPLES = 2
SAMPLE_S = 1.0
GRACE_S = 60.0
"""The time that the client may take beyond its own bound, which starts once it is connected."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The server's core, and the core of the client and all other processes."""

    server: int
    client: int


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: its process, the client's options for it, and the processes that it needs."""

    pid: int
    speak: Sequence[str]
    beside: Sequence[int] = ()


@contextmanager
def two_cores() -> Iterator[Cores]:
    """Stay on the second core meanwhile, and allow processes as many files as the system permits."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        raise SystemExit("the relay benchmark needs two cores: one for the server, one for the client")
    server, client = sorted(allowed)[:2]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {client})
    try:
        yield Cores(server, client)
    finally:
        os.sched_setaffinity(0, allowed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run the processes that are started meanwhile on one core, which they inherit."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_for_quiet(limit_s: float) -> None:
    """Wait until the machine is idle, or the limit has passed: the rows show the load."""
    deadline_s, quiet = time.monotonic() + limit_s, 0
    while quiet < QUIET_SAMPLES and time.monotonic() < deadline_s:
        busy = psutil.cpu_percent(SAMPLE_S) / 100 * (psutil.cpu_count() or 1)
        quiet = quiet + 1 if busy < QUIET_CORES else 0


@dataclass(frozen=True, slots=True)
class Client:
    """The load client."""

    program: Path

    def run(self, serving: Serving, mode: str, limit_s: float, *options: object) -> list[Row]:
        """Return the rows of one run. A failed run returns none, and prints why."""
        command = [str(self.program), "-mode", mode, "-pid", str(serving.pid), "-max", f"{limit_s}s"]
        command += ["-beside", ",".join(map(str, serving.beside)), *serving.speak, *map(str, options)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=limit_s + GRACE_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"{mode}: given up after {limit_s + GRACE_S:.0f} s", file=sys.stderr, flush=True)
            return []
        for line in done.stderr.decode().splitlines():
            print(f"  {line}", file=sys.stderr, flush=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
