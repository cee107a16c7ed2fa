"""A benchmark of the latency from a command to another client's socket, by the hops in between.

Commands are sent at their times, without waiting for earlier answers (an open loop), over persistent HTTP
connections. Latency counts from the time when a command was due.

Run it with `python -m benchmarks latency`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

import uvloop

from app.log.records import Record
from app.settings import Settings
from benchmarks import incidents
from benchmarks.committing import seconds_to_commit
from benchmarks.instance import Instance, running_instance
from benchmarks.keep_alive import KeepAlive
from benchmarks.machine import measured
from benchmarks.tables import percentile, table
from benchmarks.watching import Seen, watching

MEDIAN_TARGET_MS = 12.0
P99_TARGET_MS = 40.0
WARM_UP_S = 5.0
LAST_FRAME_S = 2.0
CONNECTIONS = 8
CREATING = 0.2
"""The share of commands that create a task; the others edit one."""
PARTITIONS = 4
SINGLE_RECORDS = 1_200


@dataclass(slots=True)
class Sent:
    """For each mark, when the command was due, and when it was answered."""

    due: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks latency", description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="Commands per second.")
    parser.add_argument("--seconds", type=float, default=30.0, help="For how long.")
    options = parser.parse_args(arguments)
    question = f"From a command to another client's socket, at {options.rate:.0f} commands/s"
    with measured(question), running_instance() as instance:
        sent, seen = uvloop.run(_measure(instance, options.rate, options.seconds))
        single = uvloop.run(seconds_to_commit(_own_settings(instance), _single_records()))
        _print(sent, seen, single)


async def _measure(instance: Instance, rate: float, seconds: float) -> tuple[Sent, Seen]:
    token, parts = instance.token("alice"), instance.parts()
    async with (
        KeepAlive(instance.url, token, CONNECTIONS) as http,
        watching(parts.brokers, instance.url, token, PARTITIONS) as seen,
    ):
        await _commands(http, rate, WARM_UP_S, "warm-up")
        before = instance.cpu_s()
        sent = await _commands(http, rate, seconds, "mark")
        after = instance.cpu_s()
        print("processor time: ", end="")
        print(", ".join(f"{name} {(after[name] - before[name]) / seconds:.0%}" for name in after), end="")
        print(" of a core\n")
        await asyncio.sleep(LAST_FRAME_S)
    return sent, seen


async def _commands(http: KeepAlive, rate: float, seconds: float, name: str) -> Sent:
    draw, sent, tasks = random.Random(1), Sent(), list[str]()
    first_s = time.time() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due_s = first_s + number / rate
            await asyncio.sleep(max(0.0, due_s - time.time()))
            create = not tasks or draw.random() < CREATING
            task = None if create else draw.choice(tasks)
            group.create_task(_command(http, f"{name} {number}", task, tasks, sent))
            sent.due[f"{name} {number}"] = due_s
    return sent


async def _command(http: KeepAlive, mark: str, task: str | None, tasks: list[str], sent: Sent) -> None:
    if task is None:
        tasks.append((await http.send("POST", "/api/tasks", {"title": mark}))["id"])
    else:
        await http.send("PATCH", f"/api/tasks/{task}", {"title": mark})
    sent.answered[mark] = time.time()


def _own_settings(instance: Instance) -> Settings:
    parts = instance.parts()
    return Settings(
        kafka_brokers=(parts.brokers,),
        database_url=parts.database_url,
        events_topic="bench-events",
        updates_topic="bench-updates",
        schema_name="bench",
        partitions=PARTITIONS,
    )


def _single_records() -> Sequence[Record]:
    return incidents.records(incidents.traces(SINGLE_RECORDS // 8, SINGLE_RECORDS))


def _print(sent: Sent, seen: Seen, single: Sequence[float]) -> None:
    lost = sent.due.keys() - seen.socket.keys()
    visible = _between(sent.due, seen.socket)
    rows = [_row("command to the other client's socket", visible)]
    rows.append(_row("command to its own answer", _between(sent.due, sent.answered)))
    print(table(("", "p50 ms", "p95 ms", "p99 ms", "max ms"), rows))
    median, p99 = percentile(visible, 50) * 1000, percentile(visible, 99) * 1000
    reached = "reached" if median <= MEDIAN_TARGET_MS and p99 <= P99_TARGET_MS else "MISSED"
    print(f"\n{len(sent.due):,} commands, {len(lost)} not seen; targets: ", end="")
    print(f"median {MEDIAN_TARGET_MS:.0f} ms, p99 {P99_TARGET_MS:.0f} ms: {reached}\n")
    print(table(("hop", "p50 ms", "p99 ms", "mean ms", "share"), _hops(sent, seen, single)))


def _hops(sent: Sent, seen: Seen, single: Sequence[float]) -> list[tuple[str, ...]]:
    """Return the time of each hop. Faust's is from broker to update, without Kafka and Postgres."""
    appended, told = _between(sent.due, seen.appended), _between(seen.appended, seen.told)
    whole = mean(_between(sent.due, seen.socket))
    hops = [
        ("append: HTTP to the broker", appended),
        ("Faust and Postgres: broker to committed", told),
        ("update: committed to a consumer of task-updates", _between(seen.told, seen.update)),
        ("relay: consumer to the other client's socket", _between(seen.update, seen.socket)),
    ]
    rows = [_hop(name, times, whole) for name, times in hops]
    fetched, postgres = mean(_between(seen.appended, seen.fetched)), mean(single)
    parts = [
        (" - of these, broker to any consumer of task-events", fetched),
        (" - of these, Postgres (one record in a transaction)", postgres),
        (" - of these, Faust (the rest)", mean(told) - fetched - postgres),
    ]
    split = [(name, "", "", f"{part * 1000:.1f}", f"{part / whole:.0%}") for name, part in parts]
    return [*rows[:2], *split, *rows[2:]]


def _between(earlier: Mapping[str, float], later: Mapping[str, float]) -> list[float]:
    return [later[mark] - earlier[mark] for mark in earlier if mark in later and mark.startswith("mark ")]


def _hop(name: str, times: Sequence[float], whole: float) -> tuple[str, ...]:
    return (
        name,
        f"{percentile(times, 50) * 1000:.1f}",
        f"{percentile(times, 99) * 1000:.1f}",
        f"{mean(times) * 1000:.1f}",
        f"{mean(times) / whole:.0%}",
    )


def _row(name: str, times: Sequence[float]) -> tuple[str, ...]:
    figures = (percentile(times, 50), percentile(times, 95), percentile(times, 99), max(times))
    return (name, *(f"{figure * 1000:.1f}" for figure in figures))
