"""Commands that cascade to sub-tasks, on a log in memory: ordered, resumable, and undone as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic_core import from_json

from api.commands import cascades
from api.commands.entity_tags import Precondition
from api.commands.idempotency import CommandKey
from api.commands.requests import Applied, CommandRequest, CommandResult, Decision
from app.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from app.ids import inbox_id
from app.lists.commands import CreateList, EditList
from app.stream_ids import task_stream
from app.tasks.commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
    UndoChange,
)
from app.tasks.state import Task
from tests.api.memory_stack import Node, World, key_of, new_id, new_task
from tests.waiting import eventually

STAGES = [{"name": "To do", "category": "open"}, {"name": "Done", "category": "done"}]


@dataclass
class Family:
    """Task `top` with a sub-task `child`, which has `grandchild`, and another sub-task `other`."""

    world: World
    node: Node
    ids: dict[str, str]

    async def tell(self, command: TaskCommand, name: str = "top", **how: Any) -> CommandResult:
        """Execute a command."""
        how = {"user": "alice", "wait_s": 5.0, **how}
        return await self.node.commands.handle(
            CommandRequest(command=command, stream=task_stream(self.ids[name]), **how)
        )

    def __getitem__(self, name: str) -> Task:
        state = self.world.fold.states[task_stream(self.ids[name])]
        assert isinstance(state, Task)
        return state

    def each(self, field: str) -> dict[str, Any]:
        """Return a field of each task."""
        return {name: getattr(self[name], field) for name in self.ids}

    def order(self, *types: str) -> list[str]:
        """Return the owners of accepted events of these types, in the order of the log."""
        names = {f"task:{key}": name for name, key in self.ids.items()}
        return [
            names[record.stream]
            for record in self.world.accepted_records
            if record.type in types and record.stream in names
        ]


@pytest.fixture
async def family() -> AsyncIterator[Family]:
    async with World(partitions=1).running() as world:
        yield await family_in(world)


async def family_in(world: World, list_id: str = "") -> Family:
    found = Family(world, world.node(), {})
    for name, parent in (("top", None), ("child", "top"), ("grandchild", "child"), ("other", "top")):
        found.ids[name] = new_id()
        create = new_task(
            title=name,
            list_id=list_id or inbox_id("alice"),
            parent_id=None if parent is None else found.ids[parent],
        )
        await found.node.applied(create, f"task:{found.ids[name]}")
    return found


@pytest.mark.parametrize("command", [CompleteTask(), DeleteTask()])
async def test_open_sub_tasks_prevent_completion(family: Family, command: TaskCommand) -> None:
    """Any level counts, and nothing is written."""
    written = len(family.world.log.records)
    with pytest.raises(Conflict, match="3 open sub-tasks"):
        await family.tell(command)
    await family.tell(CompleteTask(), "other")
    with pytest.raises(Conflict, match="2 open sub-tasks"):
        await family.tell(command)
    with pytest.raises(Conflict, match="1 open sub-task;"):
        await family.tell(command, "child")
    assert len(family.world.log.records) == written + 1
    await family.tell(command, "grandchild")
    await family.tell(command, "child")
    await family.tell(command)


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (CompleteTask(cascade=True), "task.completed"),
        (DeleteTask(cascade=True), "task.deleted"),
    ],
)
async def test_cascade_writes_the_deepest_sub_tasks_first(
    family: Family, command: TaskCommand, event: str
) -> None:
    """Each has an event of its own, whose cause is the task's event."""
    done = await family.tell(command, correlation_id="c-1")
    order = family.order(event)
    assert order[0] == "grandchild"
    assert set(order[1:3]) == {"child", "other"}
    assert order[3] == "top"
    records = [record for record in family.world.accepted_records if record.type == event]
    assert {record.correlation_id for record in records} == {"c-1"}
    assert records[-1].causation_id is None
    assert {record.causation_id for record in records[:-1]} == {records[-1].id}
    assert isinstance(done, Applied)
    assert done.positions == {0: done.position.offset if done.position else -1}


async def test_cascade_leaves_completed_sub_tasks_unchanged(family: Family) -> None:
    """Completing changes only open sub-tasks; deleting includes completed ones."""
    await family.tell(CompleteTask(), "grandchild")
    await family.tell(CompleteTask(cascade=True))
    assert family.each("version") == {"top": 2, "child": 2, "grandchild": 2, "other": 2}
    await family.tell(DeleteTask())
    assert None not in family.each("deleted_at").values()


async def test_precondition_is_checked_before_sub_tasks_change(family: Family) -> None:
    """No sub-task is completed for a task that is then refused."""
    await family.tell(EditTask(title="Newer"))
    written = len(family.world.log.records)
    with pytest.raises(PreconditionFailed):
        await family.tell(DeleteTask(cascade=True), if_match=Precondition(frozenset({1})))
    with pytest.raises(NotFound):
        await family.tell(DeleteTask(cascade=True), user="mallory")
    assert len(family.world.log.records) == written


@pytest.mark.parametrize("wait_s", [0.0, 5.0])
async def test_cascade_decides_again_if_its_task_has_changed_meanwhile(
    family: Family, monkeypatch: pytest.MonkeyPatch, wait_s: float
) -> None:
    """Also if nobody waits for the outcome: nothing is superseded."""
    execution = family.node.commands._execution
    preview = execution.preview

    async def preview_then_edit(request: CommandRequest, deadline: float) -> Decision | CommandResult:
        decision = await preview(request, deadline)
        await family.node.applied(EditTask(title="Newer"), request.stream)
        return decision

    monkeypatch.setattr(execution, "preview", preview_then_edit)
    await family.tell(CompleteTask(cascade=True), wait_s=wait_s)
    await eventually(lambda: family["top"].status == "done")
    assert family["top"].title == "Newer"
    assert {each.outcome for each in family.world.folded} == {"accepted"}


@pytest.mark.parametrize("room", [0, 1, 2, 3])
@pytest.mark.parametrize("key", [None, key_of("k", {})])
@pytest.mark.parametrize(
    ("command", "event"),
    [
        (CompleteTask(cascade=True), "task.completed"),
        (DeleteTask(cascade=True), "task.deleted"),
        (MoveTask(list_id="10000000-0000-4000-8000-00000000000b"), "task.moved"),
    ],
)
async def test_retried_cascade_continues_where_the_first_attempt_failed(
    family: Family, room: int, key: CommandKey | None, command: TaskCommand, event: str
) -> None:
    """Wherever that was: every task has one event, and undo takes back all of them."""
    await family.node.applied(CreateList(name="B"), "list:10000000-0000-4000-8000-00000000000b")
    family.world.log.room = room
    with pytest.raises(Unavailable):
        await family.tell(command, key=key)
    family.world.log.room = None
    await family.tell(command, key=key)
    assert sorted(family.order(event)) == sorted(family.ids)
    again = await family.tell(command, key=key)
    assert isinstance(again, Applied)
    assert sorted(family.order(event)) == sorted(family.ids)
    await family.tell(UndoChange())
    assert set(family.each("status").values()) == {"open"}
    assert set(family.each("deleted_at").values()) == {None}
    assert set(family.each("list_id").values()) == {inbox_id("alice")}
    assert family["grandchild"].parent_id == family.ids["child"]


async def test_repeated_key_does_not_cascade_again(family: Family) -> None:
    """Also if sub-tasks were reopened in between."""
    key = key_of("k", {})
    first = await family.tell(CompleteTask(cascade=True), key=key)
    await family.tell(ReopenTask(), "child")
    again = await family.tell(CompleteTask(cascade=True), key=key)
    assert again == first
    assert family["child"].status == "open"


async def test_undo_and_redo_cover_the_whole_cascade(family: Family) -> None:
    """Tasks completed together are reopened together, and completed together again."""
    await family.tell(CompleteTask(), "other")
    await family.tell(CompleteTask(cascade=True))
    await family.tell(UndoChange())
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    undo = family["top"].version
    await family.tell(UndoChange(version=undo))
    assert set(family.each("status").values()) == {"done"}


async def test_undo_of_an_invisible_cascade_takes_back_all_of_it(family: Family) -> None:
    """And never an earlier change, such as the creation, instead."""
    family.world.hold()
    await family.tell(CompleteTask(cascade=True), wait_s=0)
    undoing = asyncio.create_task(family.tell(UndoChange()))
    await eventually(lambda: family.node.outcomes._waiters > 0)
    family.world.release()
    await undoing
    assert set(family.each("status").values()) == {"open"}
    assert set(family.each("deleted_at").values()) == {None}


async def test_undo_is_refused_while_its_event_stays_invisible(family: Family) -> None:
    """The response says that the outcome is not known yet, and nothing is written."""
    await family.tell(EditTask(title="first"))
    family.world.hold()
    await family.tell(EditTask(title="second"), wait_s=0)
    written = len(family.world.log.records)
    with pytest.raises(Unavailable, match="not visible yet"):
        await family.tell(UndoChange(), wait_s=0)
    assert len(family.world.log.records) == written
    family.world.release()
    await family.tell(UndoChange())
    assert family["top"].title == "first"


async def test_undo_skips_sub_tasks_that_changed_since(family: Family) -> None:
    """For example a sub-task that another user deleted."""
    await family.tell(CompleteTask(cascade=True))
    await family.tell(DeleteTask(), "other")
    await family.tell(UndoChange())
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    assert (family["other"].version, family["child"].version) == (3, 3)


async def test_reopening_a_sub_task_reopens_its_completed_ancestors(family: Family) -> None:
    """Topmost first, in the same command; undo completes them again."""
    await family.tell(CompleteTask(cascade=True))
    done = await family.tell(ReopenTask(), "grandchild")
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    assert isinstance(done, Applied)
    received = from_json(done.body)["effects"]
    assert [(each["type"], each["task_id"]) for each in received] == [
        ("reopened", family.ids["top"]),
        ("reopened", family.ids["child"]),
    ]
    await family.tell(UndoChange(), "grandchild")
    assert set(family.each("status").values()) == {"done"}


async def test_creating_below_a_completed_task_reopens_it(family: Family) -> None:
    """Also if an edit moves a task below it."""
    await family.tell(CompleteTask(cascade=True))
    family.ids["new"] = new_id()
    create = new_task(title="new", list_id=family["top"].list_id, parent_id=family.ids["child"])
    created = await family.tell(create, "new")
    assert isinstance(created, Applied)
    assert [each["task_id"] for each in from_json(created.body)["effects"]] == [
        family.ids["top"],
        family.ids["child"],
    ]
    assert (family["top"].status, family["child"].status, family["other"].status) == ("open", "open", "done")
    await family.tell(EditTask(parent_id=family.ids["other"]), "new")
    assert family["other"].status == "open"


async def test_refused_command_reopens_no_ancestor(family: Family) -> None:
    """For example an unknown stage is found before anything is written."""
    await family.tell(CompleteTask(cascade=True))
    before = len(family.world.folded)
    with pytest.raises(PreconditionFailed):
        await family.tell(ReopenTask(), "grandchild", if_match=Precondition(frozenset({9})))
    assert len(family.world.folded) == before


async def test_restoring_without_the_parent_makes_a_top_level_task(family: Family) -> None:
    """The response says so; restored with its parent, the task is below it again."""
    await family.tell(DeleteTask(cascade=True))
    restored = await family.tell(RestoreTask(), "child")
    assert family["child"].parent_id is None
    assert isinstance(restored, Applied)
    [effect] = from_json(restored.body)["effects"]
    assert (effect["type"], effect["field"], effect["task_id"]) == (
        "adapted",
        "parent_id",
        family.ids["child"],
    )
    undone = await family.tell(UndoChange(), "grandchild")
    assert family["grandchild"].parent_id == family.ids["child"]
    assert isinstance(undone, Applied)
    assert "effects" not in from_json(undone.body)


async def test_cascading_restore_includes_what_was_deleted_together(family: Family) -> None:
    """But not what was deleted before; without `cascade` only the task."""
    await family.tell(DeleteTask(), "other")
    await family.tell(DeleteTask(cascade=True))
    await family.tell(RestoreTask())
    assert [name for name in family.ids if family[name].deleted_at is None] == ["top"]
    await family.tell(DeleteTask())
    await family.tell(RestoreTask(), "child")
    await family.tell(DeleteTask(), "child")


async def test_restoring_includes_sub_tasks_deleted_with_the_task(family: Family) -> None:
    await family.tell(DeleteTask(), "other")
    await family.tell(DeleteTask(cascade=True))
    await family.tell(RestoreTask(cascade=True))
    assert [name for name in family.ids if family[name].deleted_at is None] == ["top", "child", "grandchild"]
    assert family.order("task.restored")[-1] == "top"
    await family.tell(UndoChange())
    assert [name for name in family.ids if family[name].deleted_at is None] == []


async def test_sub_tasks_move_with_their_parent_to_another_list(family: Family) -> None:
    """A sub-task that is moved alone loses its parent."""
    there = new_id()
    await family.node.applied(CreateList(name="There"), f"list:{there}")
    await family.tell(MoveTask(list_id=there))
    assert set(family.each("list_id").values()) == {there}
    assert family["grandchild"].parent_id == family.ids["child"]
    await family.tell(MoveTask(list_id=inbox_id("alice")), "child")
    assert family.each("list_id") == {
        "top": there,
        "child": inbox_id("alice"),
        "grandchild": inbox_id("alice"),
        "other": there,
    }
    assert (family["child"].parent_id, family["grandchild"].parent_id) == (None, family.ids["child"])
    await family.tell(UndoChange(), "child")
    assert set(family.each("list_id").values()) == {there}
    assert family["child"].parent_id == family.ids["top"]


@pytest.mark.parametrize("command", [EditTask(stage="Done"), MoveTask(stage="Done")])
async def test_done_stage_completes_sub_tasks_with_cascade(command: EditTask | MoveTask) -> None:
    """Without `cascade` it is refused, as completing is."""
    async with World(partitions=1).running() as world:
        list_id = new_id()
        await world.node().applied(
            CreateList.model_validate({"name": "L", "stages": STAGES}), f"list:{list_id}"
        )
        family = await family_in(world, list_id)
        with pytest.raises(Conflict, match="cascade=true"):
            await family.tell(command)
        await family.tell(command.model_copy(update={"cascade": True}))
        assert set(family.each("status").values()) == {"done"}
        assert set(family.each("stage").values()) == {"Done"}
        await family.tell(UndoChange())
        assert set(family.each("status").values()) == {"open"}
        assert set(family.each("stage").values()) == {"To do"}


async def test_undo_is_refused_if_it_would_break_a_rule(family: Family) -> None:
    """For example with an open sub-task, or a removed stage."""
    await family.tell(CompleteTask(cascade=True))
    await family.tell(ReopenTask())
    await family.tell(ReopenTask(), "child")
    with pytest.raises(Conflict, match="1 open sub-task; complete or delete"):
        await family.tell(UndoChange())
    with pytest.raises(Conflict, match="open sub-task"):
        await family.tell(UndoChange(version=1))


async def test_undo_of_a_creation_deletes_completed_sub_tasks_too(family: Family) -> None:
    """As deleting does."""
    for name in ("grandchild", "child", "other"):
        await family.tell(CompleteTask(), name)
    await family.tell(UndoChange())
    assert None not in family.each("deleted_at").values()


async def test_undo_of_a_move_checks_the_stage() -> None:
    """The stages of the previous list may have changed."""
    async with World(partitions=1).running() as world:
        node, list_id, task = world.node(), new_id(), f"task:{new_id()}"
        await node.applied(CreateList.model_validate({"name": "L", "stages": STAGES}), f"list:{list_id}")
        await node.applied(new_task(list_id=list_id), task)
        await node.applied(MoveTask(list_id=inbox_id("alice")), task)
        stages = [{"name": "Later", "category": "open"}, STAGES[1]]
        await node.applied(EditList.model_validate({"stages": stages}), f"list:{list_id}")
        with pytest.raises(Conflict, match="can no longer be undone"):
            await node.execute(UndoChange(), task)


async def test_cascade_over_too_many_sub_tasks_is_refused(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    monkeypatch.setattr(cascades, "MAX_SUB_TASKS", 2)
    written = len(family.world.log.records)
    with pytest.raises(Conflict, match="more than 2"):
        await family.tell(CompleteTask(cascade=True))
    assert len(family.world.log.records) == written


async def test_response_position_covers_all_events_of_the_cascade() -> None:
    """So that reads after that position see the sub-tasks too, in any partition."""
    async with World(partitions=8).running() as world:
        family = await family_in(world)
        done = await family.tell(CompleteTask(cascade=True))
        last: dict[int, int] = {}
        for name in family.ids:
            record = family.world.accepted_of(f"task:{family.ids[name]}")[-1]
            folded = next(each for each in world.folded if each.record is record)
            partition, offset = folded.raw.position
            last[partition] = max(offset, last.get(partition, -1))
        assert done.positions == last


async def test_cascade_without_waiting_writes_everything(family: Family) -> None:
    """Events of sub-tasks precede the task's, and all are accepted in the end."""
    done = await family.tell(CompleteTask(cascade=True), wait_s=0)
    assert done.position is not None
    await family.tell(EditTask(notes="n"))
    assert set(family.each("status").values()) == {"done"}
