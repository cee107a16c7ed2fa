"""A benchmark of the duration of `tasktape up`, and of the cost of an idle instance.

Run it with `python -m benchmarks resources`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from benchmarks.instance import Instance, begin, new_instance, stop
from benchmarks.machine import measured
from benchmarks.tables import table

TARGET_S = 15.0
SETTLE_S = 15.0
POLL_S = 0.01
MIB = 2**20
_PASSED = {"starting": 1, "ready": 2, "done": 2}
"""Status of a process → how many of its two times have passed."""


class Start(NamedTuple):
    """The duration of a start, and the times when each process was started and ready."""

    seconds: float
    steps: Mapping[str, Sequence[float]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks resources", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="Starts on new data, and as many on old.")
    parser.add_argument("--seconds", type=float, default=30.0, help="How long to watch it idle.")
    options = parser.parse_args(arguments)
    with measured("Starting an instance, and what it costs when idle"):
        firsts, agains = [], []
        for run in range(options.runs):
            with tempfile.TemporaryDirectory(prefix="tasktape-bench-") as folder:
                instance = new_instance(Path(folder) / "data")
                try:
                    firsts.append(_start(instance))
                    stop(instance)
                    agains.append(_start(instance))
                    if run == options.runs - 1:
                        _print_idle(instance, options.seconds)
                finally:
                    stop(instance)
        _print_starts(firsts, agains)


def _start(instance: Instance) -> Start:
    """Run `tasktape up --detach`, and note when each process was started and ready."""
    steps: dict[str, list[float]] = {}
    started_s = time.monotonic()
    with begin(instance) as up:
        while up.poll() is None:
            now_s = time.monotonic() - started_s
            for process in instance.data.read_run().get("processes", ()):
                times = steps.setdefault(process["name"], [])
                if len(times) < _PASSED.get(process["status"], 0):
                    times.append(now_s)
            time.sleep(POLL_S)
    if up.returncode:
        raise SystemExit("the instance did not start")
    return Start(time.monotonic() - started_s, steps)


def _print_idle(instance: Instance, seconds: float) -> None:
    time.sleep(SETTLE_S)
    before = instance.cpu_s()
    started_s = time.monotonic()
    time.sleep(seconds)
    after, took_s = instance.cpu_s(), time.monotonic() - started_s
    rows: list[tuple[str, float, float, float]] = []
    for name, pid in instance.pids().items():
        rss, pss = _memory_mib(pid, alone=name == "supervisor")
        rows.append((name, rss, pss, (after[name] - before[name]) / took_s * 100))
    rss, pss, cpu = (sum(figures) for figures in list(zip(*rows, strict=True))[1:])
    rows.append(("together", rss, pss, cpu))
    lines = [(name, f"{rss:.0f}", f"{pss:.0f}", f"{cpu:.2f} %") for name, rss, pss, cpu in rows]
    heads = (f"idle for {seconds:.0f} s", "RSS MiB", "PSS MiB", "CPU of one core")
    print(table(heads, lines), flush=True)


def _memory_mib(pid: int, *, alone: bool) -> tuple[float, float]:
    """Return RSS and PSS of a process, and of its children unless `alone`; PSS counts shared pages once."""
    process = psutil.Process(pid)
    family = [process] if alone else [process, *process.children(recursive=True)]
    found = [member.memory_full_info() for member in family]
    return sum(each.rss for each in found) / MIB, sum(each.pss for each in found) / MIB


def _print_starts(firsts: Sequence[Start], agains: Sequence[Start]) -> None:
    rows = []
    for what, starts in (("first start (empty data folder)", firsts), ("later start", agains)):
        times = [start.seconds for start in starts]
        rows.append((what, f"{median(times):.1f}", f"{min(times):.1f}", f"{max(times):.1f}"))
    print("\n" + table(("`tasktape up --detach`, jars in place", "median s", "min s", "max s"), rows))
    reached = median(start.seconds for start in firsts) <= TARGET_S
    print(f"\ntarget {TARGET_S:.0f} s: {'reached' if reached else 'MISSED'}\n")
    print(table(("step", "first: begins", "ready", "later: begins", "ready"), _steps(firsts, agains)))


def _steps(firsts: Sequence[Start], agains: Sequence[Start]) -> list[tuple[str, ...]]:
    """Return when each process was started and ready, in seconds from the command's start."""
    rows = []
    for name in firsts[0].steps:
        times = [
            median(start.steps[name][place] for start in starts if len(start.steps[name]) > place)
            for starts in (firsts, agains)
            for place in (0, 1)
        ]
        rows.append((name, *(f"{each:.1f}" for each in times)))
    return rows
