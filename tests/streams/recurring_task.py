"""A recurring task in the world of the policies."""

from __future__ import annotations

from app.ids import derived_id
from app.tasks.commands import TaskCommand
from app.tasks.events import TaskCreated
from tests.spec import LIST_ID, TASK_ID
from tests.streams.policy_world import Worker, World

DAILY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=DAILY;COUNT=4")
FIRST = f"task:{TASK_ID}"
SECOND_ID = derived_id("occurrence", TASK_ID, "2")
SECOND = f"task:{SECOND_ID}"


async def settle(world: World, *workers: Worker) -> None:
    """Run all workers until nothing is left to do."""
    for _ in range(30):
        before = (len(world.log.records), dict(world.reads.saved))
        world.project_all()
        for worker in workers:
            await worker.finish()
        if before == (len(world.log.records), world.reads.saved):
            return
    raise AssertionError("it does not come to an end")


async def do(world: World, worker: Worker, stream: str, *commands: TaskCommand) -> None:
    """Execute commands, each with all of its consequences."""
    for command in commands:
        await world.command(stream, command)
        await settle(world, worker)


def written(world: World) -> list[tuple[str, str]]:
    """Return types and outcomes of the events written by policies."""
    return [(each.record.type, each.outcome) for each in world.policy_records() if each.record is not None]
