"""A benchmark of the commands and reads a second of one API process over HTTP, and of where its time goes.

Many clients send requests at once on persistent connections. All of them share this machine with the server.

Run it with `python -m benchmarks commands`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import httpx
import uvloop

from benchmarks.http_load import Load, run_load
from benchmarks.instance import Instance, running_instance
from benchmarks.machine import cpu_s, measured
from benchmarks.profiling import shares_by_room
from benchmarks.tables import percentile, table

TARGETS_PER_S = {"edit a task": 1_800, "read a task": 4_000, "read a page of 50": 1_200}
PAGE = 50
TASKS = 200
USER = "alice"
WARM_UP_S = 20.0
"""Java compiles the broker's code in the first seconds, which costs as much as its work."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one kind of request."""

    name: str
    load: Load
    cpu_shares: dict[str, float]
    rooms: Sequence[tuple[str, float]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks commands", description=__doc__)
    parser.add_argument(
        "--clients", type=int, default=64, help="Connections, each with one request at a time."
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="How long each kind is asked for.")
    parser.add_argument(
        "--rooms", action="store_true", help="Sample where the time of the API goes (py-spy)."
    )
    parser.add_argument("--only", choices=TARGETS_PER_S, help="One kind of request instead of all.")
    options = parser.parse_args(arguments)
    with measured("Commands and reads over HTTP"), running_instance() as instance:
        kinds = [options.only] if options.only else list(TARGETS_PER_S)
        results = uvloop.run(
            _measure(instance, kinds, options.clients, options.seconds, sample=options.rooms)
        )
        _print(results)


async def _measure(
    instance: Instance, kinds: Sequence[str], clients: int, seconds: float, *, sample: bool
) -> list[Result]:
    task_ids = await _tasks(instance)
    token = instance.token(USER)
    edits = [partial(_edit, token, task_id) for task_id in task_ids]
    reads = [partial(_get, token, f"/api/tasks/{task_id}") for task_id in task_ids]
    pages = [partial(_get, token, f"/api/tasks?limit={PAGE}")]
    return [
        await _ask(instance, name, makers, clients, seconds, sample=sample)
        for name, makers in zip(TARGETS_PER_S, (edits, reads, pages), strict=True)
        if name in kinds
    ]


async def _tasks(instance: Instance) -> list[str]:
    headers = {"Authorization": f"Bearer {instance.token(USER)}"}
    async with httpx.AsyncClient(base_url=instance.url, headers=headers, trust_env=False) as client:
        made = [
            await client.post("/api/tasks", json={"title": f"Task {number}", "notes": "n" * 200})
            for number in range(TASKS)
        ]
    return [str(each.raise_for_status().json()["id"]) for each in made]


def _edit(token: str, task_id: str, number: int) -> bytes:
    body = f'{{"title":"Task {number}"}}'.encode()
    return _request(token, "PATCH", f"/api/tasks/{task_id}", body)


def _get(token: str, path: str, _number: int) -> bytes:
    return _request(token, "GET", path, b"")


def _request(token: str, method: str, path: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _ask(
    instance: Instance,
    name: str,
    makers: Sequence[Callable[[int], bytes]],
    clients: int,
    seconds: float,
    *,
    sample: bool,
) -> Result:
    await run_load(instance.url, makers, clients, WARM_UP_S)
    pid = instance.pids()["api"]
    sampling = asyncio.create_task(shares_by_room(pid, seconds)) if sample else None
    before, own_before, started_s = instance.cpu_s(), cpu_s(os.getpid(), alone=True), time.monotonic()
    load = await run_load(instance.url, makers, clients, seconds)
    took_s = time.monotonic() - started_s
    after = instance.cpu_s() | {"clients": cpu_s(os.getpid(), alone=True)}
    shares = {
        part: (spent - (before | {"clients": own_before})[part]) / took_s for part, spent in after.items()
    }
    return Result(name, load, shares, await sampling if sampling is not None else ())


def _costs_ms(result: Result, parts: Sequence[str]) -> list[float]:
    return [1000 * result.cpu_shares.get(part, 0) / result.load.per_s for part in parts]


def _print(results: Sequence[Result]) -> None:
    heads = ("request", "per second", "target", "p50 ms", "p99 ms", "not 2xx")
    rows = [
        (
            each.name,
            f"{each.load.per_s:,.0f}",
            f"{TARGETS_PER_S[each.name]:,}",
            f"{1000 * percentile(each.load.times_s, 50):.1f}",
            f"{1000 * percentile(each.load.times_s, 99):.1f}",
            f"{each.load.refused:,}",
        )
        for each in results
    ]
    print(table(heads, rows), "\n")
    parts = sorted({part for each in results for part in each.cpu_shares})
    shares = [
        (each.name, *(f"{100 * each.cpu_shares.get(part, 0):.0f} %" for part in parts)) for each in results
    ]
    print(table(("CPU of one core", *parts), shares), "\n")
    # Other programs on the machine change the rate, but hardly the cost.
    costs = [
        (each.name, *(f"{cost:.2f}" for cost in [*_costs_ms(each, parts), sum(_costs_ms(each, parts))]))
        for each in results
    ]
    print(table(("CPU ms per request", *parts, "all"), costs))
    for each in results:
        if each.rooms:
            print(f"\n{each.name}: where the API is, by its innermost frame\n")
            print(table(("room", "share"), [(room, f"{100 * share:.1f} %") for room, share in each.rooms]))
