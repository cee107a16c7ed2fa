"""A benchmark of `tasktape bulk`: tasks a second, compared with single commands and with an import.

All run on one instance, one after the other, from the start of the process to the last outcome.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.instance import VERB, Instance, running_instance
from benchmarks.machine import measured
from benchmarks.tables import ratios, table
from tasktape_client import Client

TARGET_PER_S = 1_500
XES = '<trace><string key="concept:name" value="Task {number}"/><event>{attributes}</event></trace>\n'
ATTRIBUTES = (
    '<string key="concept:name" value="Open"/>'
    '<date key="time:timestamp" value="2026-11-01T09:00:00+00:00"/>'
    '<string key="lifecycle:transition" value="start"/>'
)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks bulk", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="Each into an empty instance.")
    parser.add_argument("--tasks", type=int, default=10_000, help="Tasks made by `bulk` and by an import.")
    parser.add_argument("--single", type=int, default=500, help="Tasks made one by one.")
    options = parser.parse_args(arguments)
    with measured("Making many tasks"):
        runs = []
        for _ in range(options.runs):
            with running_instance() as instance:
                runs.append(
                    (
                        asyncio.run(_one_by_one(instance, options.single)),
                        _bulk(instance, options.tasks),
                        _import(instance, options.tasks),
                    )
                )
        _print(runs, options.tasks, options.single)


async def _one_by_one(instance: Instance, count: int) -> float:
    async with Client(instance.url, instance.token("alice")) as client:
        started_s = time.monotonic()
        for number in range(count):
            await client.create_task(f"Task {number}", tags=["bench"])
        return count / (time.monotonic() - started_s)


def _bulk(instance: Instance, count: int) -> float:
    file = instance.data.root / "commands.jsonl"
    with file.open("w") as out:
        for number in range(count):
            body = {"title": f"Task {number}", "tags": ["bench"]}
            out.write(json.dumps({"command": "create", "body": body}) + "\n")
    return count / _seconds(instance, "bulk", str(file))


def _import(instance: Instance, count: int) -> float:
    file = instance.data.root / "tasks.xes"
    with file.open("w") as out:
        out.write('<log xes.version="1.0" xmlns="http://www.xes-standard.org/">\n')
        out.writelines(XES.format(number=number, attributes=ATTRIBUTES) for number in range(count))
        out.write("</log>\n")
    return count / _seconds(instance, "import", str(file))


def _seconds(instance: Instance, verb: str, file: str) -> float:
    started_s = time.monotonic()
    with Path(f"{file}.out").open("w") as out:
        subprocess.run([*VERB, verb, file], env=dict(instance.env), stdout=out, check=True)
    return time.monotonic() - started_s


def _print(runs: Sequence[tuple[float, float, float]], tasks: int, single: int) -> None:
    ours = [run[1] for run in runs]
    rows = [
        ratios("tasktape bulk", tasks, ours, ours),
        ratios("POST /api/tasks, one after the other", single, [run[0] for run in runs], ours),
        ratios("tasktape import, of tasks with one event", tasks, [run[2] for run in runs], ours),
    ]
    print(table(("what", "tasks", "tasks/s", "bulk is"), rows))
    reached = "reached" if median(ours) >= TARGET_PER_S else "MISSED"
    print(f"\nmiddle of {len(runs)} runs; target {TARGET_PER_S:,} tasks/s: {reached}")
