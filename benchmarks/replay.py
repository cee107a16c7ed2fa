"""A benchmark of replays: events a second to one socket, and the live relay beside many replays.

The incident log is imported into an instance of its own. A replay of it runs at full speed, to a client that
counts updates without decoding them. Then commands are sent at a steady rate, and their latency to another
client's socket is measured without replays, and beside many, in turns.

Run it with `python -m benchmarks replay`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import uvloop
from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import incidents
from benchmarks.instance import Instance, running_instance
from benchmarks.keep_alive import KeepAlive
from benchmarks.machine import measured
from benchmarks.tables import percentile, table
from benchmarks.watching import watching

EVENTS_TARGET = 20_000
P99_TARGET = 1.2
REPLAYS = 200
REPLAYS_OF_A_USER = 8
RATE = 20.0
SECONDS = 15.0
ROUNDS = 2
PARTITIONS = 4
OWNER = "alice"
FULL_SPEED = {"speed": 1e9, "max_gap_ms": 0}
UPDATE = b'"type":"update"'
ENDED = b'"state":"ended"'


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks replay", description=__doc__)
    parser.add_argument("--replays", type=int, default=REPLAYS, help="How many at once.")
    parser.add_argument("--speed", type=float, default=1_000_000.0, help="The speed of each of them.")
    parser.add_argument("--tasks", type=int, default=incidents.TASKS, help="Those of the incident log.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="For how long to send commands.")
    options = parser.parse_args(arguments)
    with measured("Replays of the incident log"), running_instance() as instance:
        list_id = _import(instance, options.tasks)
        uvloop.run(_measure(instance, list_id, options))


def _import(instance: Instance, tasks: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "incidents.xes.gz"
        incidents.write_xes(file, incidents.traces(tasks, tasks * incidents.EVENTS // incidents.TASKS))
        summary = instance.run("import", str(file), "--list", "Incidents", "--token", instance.token(OWNER))
    return str(summary["list"]["id"])


async def _measure(instance: Instance, list_id: str, options: argparse.Namespace) -> None:
    replays, speed, lasting_s = options.replays, options.speed, options.seconds
    rates = [await _full_speed(instance, list_id) for _ in range(3)]
    best = max(events / seconds for events, seconds in rates)
    rows = [(f"{events:,}", f"{seconds:.2f}", f"{events / seconds:,.0f}") for events, seconds in rates]
    print(table(("events", "s", "events/s to one socket"), rows))
    print(f"\ntarget {EVENTS_TARGET:,} events/s: {'reached' if best >= EVENTS_TARGET else 'MISSED'}\n")
    users = [f"reader-{number}" for number in range(-(-replays // REPLAYS_OF_A_USER))]
    await _add_members(instance, list_id, users)
    alone: list[float] = []
    beside: list[float] = []
    counted = 0
    for _ in range(ROUNDS):
        alone += await _latencies(instance, lasting_s)
        async with _playing(instance, list_id, users, replays, speed) as counts:
            beside += await _latencies(instance, lasting_s)
            counted += sum(counts)
    ratio = percentile(beside, 99) / percentile(alone, 99)
    print(table(("live relay", "p50 ms", "p99 ms"), [_row("alone", alone), _row("beside", beside)]))
    seconds = ROUNDS * lasting_s
    print(f"\n{replays} replays at {speed:,.0f}x, {counted / seconds:,.0f} events/s together; ", end="")
    print(f"p99 {ratio:.2f} x, target {P99_TARGET} x: {'reached' if ratio <= P99_TARGET else 'MISSED'}\n")


async def _add_members(instance: Instance, list_id: str, users: Sequence[str]) -> None:
    headers = {"Authorization": f"Bearer {instance.token(OWNER)}"}
    async with httpx.AsyncClient(
        base_url=instance.url, headers=headers, timeout=60, trust_env=False
    ) as client:
        for user in users:
            answer = await client.put(f"/api/lists/{list_id}/members/{user}", json={"role": "viewer"})
            answer.raise_for_status()


@asynccontextmanager
async def _socket(instance: Instance, user: str) -> AsyncIterator[ClientConnection]:
    url = instance.url.replace("http", "ws", 1) + "/ws"
    async with connect(url, compression=None, max_size=None) as socket:
        hello = {"id": 1, "type": "authenticate", "token": instance.token(user), "features": ["batch"]}
        await socket.send(to_json(hello).decode())
        assert from_json(await socket.recv())["type"] == "authenticated"
        yield socket


async def _subscribe(socket: ClientConnection, list_id: str, options: dict[str, float]) -> None:
    message = {"id": 2, "type": "subscribe", "channel": f"replay:{list_id}", "replay": options}
    await socket.send(to_json(message).decode())


async def _full_speed(instance: Instance, list_id: str) -> tuple[int, float]:
    """Return the number of events of a replay, and the seconds that it took."""
    async with _socket(instance, OWNER) as socket:
        began_s = time.perf_counter()
        await _subscribe(socket, list_id, FULL_SPEED)
        events = 0
        while True:
            frame = await socket.recv(decode=False)
            events += frame.count(UPDATE)
            if ENDED in frame:
                return events, time.perf_counter() - began_s


@asynccontextmanager
async def _playing(
    instance: Instance, list_id: str, users: Sequence[str], replays: int, speed: float
) -> AsyncIterator[list[int]]:
    """Play many replays during the block, each on a socket of its own; yield the numbers of their updates."""
    counts = [0] * replays

    async def play(number: int, socket: ClientConnection) -> None:
        await _subscribe(socket, list_id, {"speed": speed})
        while True:
            frame = await socket.recv(decode=False)
            counts[number] += frame.count(UPDATE)
            if ENDED in frame:
                await _subscribe(socket, list_id, {"speed": speed})

    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(_socket(instance, users[number // REPLAYS_OF_A_USER]))
            for number in range(replays)
        ]
        tasks = [asyncio.create_task(play(number, socket)) for number, socket in enumerate(sockets)]
        await asyncio.sleep(2.0)
        counts[:] = [0] * replays
        yield counts
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _latencies(instance: Instance, lasting_s: float) -> list[float]:
    """Return the seconds from each command to another client's socket."""
    token, parts, draw = instance.token("bob"), instance.parts(), random.Random(1)
    due: dict[str, float] = {}
    async with (
        KeepAlive(instance.url, token, 4) as http,
        watching(parts.brokers, instance.url, token, PARTITIONS) as seen,
    ):
        first_s = time.time() + 0.2
        async with asyncio.TaskGroup() as group:
            for number in range(int(RATE * lasting_s)):
                due_s = first_s + (number + draw.random() / 2) / RATE
                await asyncio.sleep(max(0.0, due_s - time.time()))
                mark = f"mark {first_s} {number}"
                due[mark] = due_s
                group.create_task(http.send("POST", "/api/tasks", {"title": mark}))
        await asyncio.sleep(1.0)
    return [seen.socket[mark] - at for mark, at in due.items() if mark in seen.socket]


def _row(name: str, times: Sequence[float]) -> tuple[str, ...]:
    return (name, f"{percentile(times, 50) * 1000:.1f}", f"{percentile(times, 99) * 1000:.1f}")
