"""The machine on which figures were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil


@contextmanager
def measured(question: str) -> Iterator[None]:
    """Print the benchmark's question, the machine, and how busy it is before and after."""
    memory_gib = psutil.virtual_memory().total / 2**30
    print(f"## {question}")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {_processor()} · {os.cpu_count()} cores", end=" · ")
    print(f"{memory_gib:.0f} GiB · Linux {platform.release()} · Python {platform.python_version()}")
    print(f"load before: {_load()}\n", flush=True)
    yield
    print(f"\nload after: {_load()}\n", flush=True)


def _processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def _load() -> str:
    one, five, fifteen = os.getloadavg()
    return f"{one:.2f} {five:.2f} {fifteen:.2f}"


def cpu_s(pid: int, *, alone: bool = False) -> float:
    """Return the processor time of a process, and of its children unless `alone`."""
    process = psutil.Process(pid)
    if alone:
        times = process.cpu_times()
        return float(times.user + times.system)
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            times = member.cpu_times()
            # Children that have ended count too.
            total += times.user + times.system + times.children_user + times.children_system
    return total
