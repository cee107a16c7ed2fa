"""A benchmark of the commands and reads a second of one API process over HTTP, and of where its time goes.

Many clients send requests at once on persistent connections. All of them share this machine with the server.

Run it with `python -m benchmarks commands`. With `--beside PATH` it also starts an instance of another
checkout and loads the two alternately. The cost of a request tells them apart also while the machine is busy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

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


@dataclass(frozen=True, slots=True)
class Asked:
    """The kinds of requests, and the load of each."""

    kinds: Sequence[str]
    clients: int
    seconds: float


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
    parser.add_argument("--beside", type=Path, help="Another checkout, to compare with this one.")
    parser.add_argument("--pairs", type=int, default=3, help="How often each is loaded, with --beside.")
    options = parser.parse_args(arguments)
    kinds = [options.only] if options.only else list(TARGETS_PER_S)
    load = Asked(kinds, options.clients, options.seconds)
    with measured("Commands and reads over HTTP"), running_instance() as instance:
        if options.beside is None:
            _print(uvloop.run(_measure(instance, load, sample=options.rooms)))
            return
        with running_instance(options.beside.resolve()) as other:
            _print_pairs(uvloop.run(_measure_pairs(other, instance, load, options.pairs)))


async def _measure(instance: Instance, asked: Asked, *, sample: bool) -> list[Result]:
    makers = await _makers(instance)
    return [await _ask(instance, name, makers[name], asked, sample=sample) for name in asked.kinds]


async def _measure_pairs(
    other: Instance, instance: Instance, asked: Asked, pairs: int
) -> list[tuple[Result, Result]]:
    """Return the results of both for each kind of request, a few times, one right after the other."""
    others, makers = await _makers(other), await _makers(instance)
    return [
        (
            await _ask(other, name, others[name], asked, sample=False),
            await _ask(instance, name, makers[name], asked, sample=False),
        )
        for name in asked.kinds
        for _ in range(pairs)
    ]


async def _makers(instance: Instance) -> dict[str, Sequence[Callable[[int], bytes]]]:
    """Return functions that make requests from a number, by the kind of request."""
    task_ids = await _tasks(instance)
    token = instance.token(USER)
    return {
        "edit a task": [partial(_edit, token, task_id) for task_id in task_ids],
        "read a task": [partial(_get, token, f"/api/tasks/{task_id}") for task_id in task_ids],
        "read a page of 50": [partial(_get, token, f"/api/tasks?limit={PAGE}")],
    }


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
    asked: Asked,
    *,
    sample: bool,
) -> Result:
    await run_load(instance.url, makers, asked.clients, WARM_UP_S)
    pid = instance.pids()["api"]
    sampling = asyncio.create_task(shares_by_room(pid, asked.seconds)) if sample else None
    before, own_before, started_s = instance.cpu_s(), cpu_s(os.getpid(), alone=True), time.monotonic()
    load = await run_load(instance.url, makers, asked.clients, asked.seconds)
    took_s = time.monotonic() - started_s
    after = instance.cpu_s() | {"clients": cpu_s(os.getpid(), alone=True)}
    shares = {
        part: (spent - (before | {"clients": own_before})[part]) / took_s for part, spent in after.items()
    }
    return Result(name, load, shares, await sampling if sampling is not None else ())


def _costs_ms(result: Result, parts: Sequence[str]) -> list[float]:
    return [_cost_ms(result, part) for part in parts]


def _cost_ms(result: Result, part: str) -> float:
    return 1000 * result.cpu_shares.get(part, 0) / result.load.per_s


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


def _print_pairs(pairs: Sequence[tuple[Result, Result]]) -> None:
    """Print the medians of the other checkout's figures and of ours, and the ratios of the pairs."""
    heads = ("other", "ours", "times", "range")
    print(table(("requests per second", *heads), _ratios(pairs, lambda each: each.load.per_s, ",.0f")))
    for part in ("api", "postgres"):
        rows = _ratios(pairs, partial(_cost_ms, part=part), ".3f")
        print("\n" + table((f"CPU ms of {part} per request", *heads), rows))
    print(f"\nanswers other than 2xx: {sum(each.load.refused for pair in pairs for each in pair)}")


def _ratios(
    pairs: Sequence[tuple[Result, Result]], figure: Callable[[Result], float], form: str
) -> list[tuple[str, ...]]:
    rows = []
    for name in dict.fromkeys(ours.name for _, ours in pairs):
        figures = [(figure(other), figure(ours)) for other, ours in pairs if ours.name == name]
        times = [ours / other for other, ours in figures]
        medians = [f"{median(column):{form}}" for column in zip(*figures, strict=True)]
        rows.append((name, *medians, f"{median(times):.2f} x", f"{min(times):.2f} to {max(times):.2f}"))
    return rows
