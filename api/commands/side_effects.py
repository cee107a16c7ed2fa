"""Side effects of a command: ancestors that were reopened, and fields that were adapted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from api.commands.load_context import ContextQueries, LoadState
from app.log.fold import State
from app.stream_ids import StreamId, task_stream
from app.tasks.commands import CreateTask, EditTask, MoveTask, ReopenTask, RestoreTask, UndoChange
from app.tasks.decision_context import Along
from app.tasks.state import Task


@dataclass(frozen=True, slots=True)
class SideEffect:
    """A change in addition to the requested one: an ancestor was reopened, or a field adapted."""

    task_id: str
    type: Literal["reopened", "adapted"]
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class CommandedTask(Task):
    """A task after a command, and the side effects of the command; left out if there are none."""

    effects: tuple[SideEffect, ...] = ()


ADAPTING = CreateTask | EditTask | MoveTask | ReopenTask | RestoreTask | UndoChange
"""The commands that may have such effects."""
_ADAPTED = {
    "parent_id": "its parent is gone: it is a top-level task now",
    "stage": "its list does not have its stage any longer",
}


def opened(task_ids: Sequence[str]) -> Sequence[SideEffect]:
    """Return the effects of reopening these tasks."""
    return [SideEffect(task_id, "reopened", "a task below it is open now") for task_id in task_ids]


def adapted(before: State | None, after: State | None) -> Sequence[SideEffect]:
    """Return the fields of a restored task that had to be adapted."""
    if not isinstance(before, Task) or not isinstance(after, Task):
        return ()
    if before.deleted_at is None or after.deleted_at is not None:
        return ()
    return [
        SideEffect(after.id, "adapted", why, name)
        for name, why in _ADAPTED.items()
        if getattr(before, name) != getattr(after, name)
    ]


async def effects_of(
    stream: StreamId, version: int, load: LoadState, queries: ContextQueries
) -> Sequence[SideEffect]:
    """Return the effects of the command that led to this version of a task, from the audit."""
    task = await load(stream)
    change = await queries.change(task, version, "") if isinstance(task, Task) else None
    if change is None:
        return ()
    above = reversed([each for each in change.along if each.depth < 0])
    task_ids = [each.id for each in above if await _was_opened(each, load, queries)]
    return [*opened(task_ids), *adapted(change.before, change.after)]


async def _was_opened(along: Along, load: LoadState, queries: ContextQueries) -> bool:
    task = await load(task_stream(along.id))
    if not isinstance(task, Task):
        return False
    changes = [await queries.change(task, version, "") for version in along.versions]
    return any(
        each is not None
        and each.before is not None
        and (each.before.status, each.after.status) == ("done", "open")
        for each in changes
    )
