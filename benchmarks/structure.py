"""A benchmark of the locks that keep the rules across streams.

It runs the same commands in pairs, one after the other on the same node, with locks and without.
A plain edit takes none; completing, reopening and putting a task below another do.

Run it with `python -m benchmarks structure`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import uvloop

from api.commands.handler import CommandHandler
from api.commands.lock_plan import LockPlan
from api.commands.requests import Applied, CommandRequest, CommandResult
from api.node import new_id, now, open_node
from app.lists.commands import CreateList
from app.settings import Settings
from app.stream_ids import StreamId
from app.tasks.commands import CompleteTask, CreateTask, EditTask, ReopenTask, TaskCommand
from benchmarks.instance import Instance, running_instance
from benchmarks.machine import measured
from benchmarks.tables import percentile, table
from projections.generations.opening import open_database
from projections.queries.decisions import CommandQueries

WARM_UP = 50
WAIT_S = 10.0
USER = "alice"


class WithoutLocks(CommandHandler):
    """Commands as they would be without locks across streams."""

    async def handle(self, request: CommandRequest) -> CommandResult:
        """Execute a command without planning locks."""
        return await self._cascades.execute(request, LockPlan(), time.monotonic() + request.wait_s)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks structure", description=__doc__)
    parser.add_argument("--pairs", type=int, default=500, help="So many of each command, each way.")
    options = parser.parse_args(arguments)
    with measured("Locks for rules across streams"), running_instance() as instance:
        rows = uvloop.run(_measure(instance, options.pairs))
        print(table(("command", "without: median ms", "p99", "with: median ms", "p99", "median + ms"), rows))


async def _measure(instance: Instance, pairs: int) -> list[tuple[str, ...]]:
    parts = instance.parts()
    settings = Settings.from_environment(
        {
            "KAFKA_BROKERS": parts.brokers,
            "DATABASE_URL": parts.database_url,
            "JWT_SECRET": instance.data.secret(),
        }
    )
    database = await open_database(settings.database_url, settings.schema_name, pool_size=4)
    async with open_node(settings) as node:
        await node.started.wait()
        deps = node.deps
        unlocked = WithoutLocks(
            deps.log, deps.outcomes, CommandQueries(database.pool), clock=now, new_id=new_id
        )
        both = (unlocked, deps.commands)
        list_id, parent, child = new_id(), new_id(), new_id()
        await _give(deps.commands, CreateList(name="L"), f"list:{list_id}")
        for task_id in (parent, child):
            await _give(deps.commands, CreateTask(title="t", list_id=list_id), f"task:{task_id}")
        kinds: dict[str, tuple[TaskCommand, TaskCommand]] = {
            "edit a title": (EditTask(title="one"), EditTask(title="two")),
            "complete and reopen": (CompleteTask(), ReopenTask()),
            "put below another and back": (EditTask(parent_id=parent), EditTask(parent_id=None)),
        }
        rows = [await _row(name, both, commands, f"task:{child}", pairs) for name, commands in kinds.items()]
        rows.append(await _creating(both, list_id, pairs))
    await database.close()
    return rows


async def _row(
    name: str,
    both: Sequence[CommandHandler],
    commands: tuple[TaskCommand, TaskCommand],
    stream: str,
    pairs: int,
) -> tuple[str, ...]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs + WARM_UP):
        for handler, found in zip(both, times, strict=True):
            found += [await _give(handler, command, stream) for command in commands]
    return _figures(name, times)


async def _creating(both: Sequence[CommandHandler], list_id: str, pairs: int) -> tuple[str, ...]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs + WARM_UP):
        for handler, found in zip(both, times, strict=True):
            create = CreateTask(title="new", list_id=list_id)
            found.append(await _give(handler, create, f"task:{new_id()}"))
    return _figures("create in a list", times)


async def _give(handler: CommandHandler, command: TaskCommand | CreateList, stream: str) -> float:
    started_s = time.perf_counter()
    result = await handler.handle(CommandRequest(command, StreamId(stream), USER, WAIT_S))
    assert isinstance(result, Applied)
    return time.perf_counter() - started_s


def _figures(name: str, times: tuple[list[float], list[float]]) -> tuple[str, ...]:
    without, locked = (each[2 * WARM_UP :] for each in times)
    figures = [1000 * percentile(each, percent) for each in (without, locked) for percent in (50, 99)]
    return (name, *(f"{figure:.2f}" for figure in figures), f"{figures[2] - figures[0]:+.2f}")
