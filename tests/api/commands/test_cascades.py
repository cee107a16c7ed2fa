"""Commands that change sub-tasks too, on a log in memory: in order, resumable, and undone as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic_core import from_json

from api.commands import cascades
from api.commands.cascades import CascadeResult, Cascades
from api.commands.entity_tags import Precondition
from api.commands.idempotency import CommandKey
from api.commands.requests import Applied, CommandRequest
from app.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from app.ids import inbox_id
from app.lists.commands import CreateList, EditList
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

STAGES = [{"name": "To do", "category": "open"}, {"name": "CascadeResult", "category": "done"}]


@dataclass
class Family:
    """A task `top` with a sub-task `child`, which has `grandchild`, and another sub-task `other`."""

    world: World
    node: Node
    ids: dict[str, str]

    async def tell(self, command: TaskCommand, name: str = "top", **how: Any) -> CascadeResult:
        """Give a command."""
        how = {"user": "alice", "wait_s": 5.0, **how}
        return await Cascades(self.node.commands, self.world).handle(
            CommandRequest(command=command, stream=f"task:{self.ids[name]}", **how)
        )

    def __getitem__(self, name: str) -> Task:
        state = self.world.fold.states[f"task:{self.ids[name]}"]
        assert isinstance(state, Task)
        return state

    def each(self, field: str) -> dict[str, Any]:
        """A field of each of them."""
        return {name: getattr(self[name], field) for name in self.ids}

    def order(self, *types: str) -> list[str]:
        """Whose events of these types were accepted, in the order in which they were written."""
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
        await found.node.done(create, f"task:{found.ids[name]}")
    return found


@pytest.mark.parametrize("command", [CompleteTask(), DeleteTask()])
async def test_open_sub_tasks_stand_in_the_way(family: Family, command: TaskCommand) -> None:
    """On any level, and nothing is written."""
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
async def test_the_deepest_come_first(family: Family, command: TaskCommand, event: str) -> None:
    """Each with an event of its own, which names the task's event as its cause."""
    done = await family.tell(command, correlation_id="c-1")
    order = family.order(event)
    assert order[0] == "grandchild"
    assert set(order[1:3]) == {"child", "other"}
    assert order[3] == "top"
    records = [record for record in family.world.accepted_records if record.type == event]
    assert {record.correlation_id for record in records} == {"c-1"}
    assert records[-1].causation_id is None
    assert {record.causation_id for record in records[:-1]} == {records[-1].id}
    assert isinstance(done.result, Applied)
    assert done.positions == {0: done.result.position.offset if done.result.position else -1}


async def test_what_is_done_already_stays_as_it_is(family: Family) -> None:
    """Completing tells open sub-tasks only; deleting takes those along that are done."""
    await family.tell(CompleteTask(), "grandchild")
    await family.tell(CompleteTask(cascade=True))
    assert family.each("version") == {"top": 2, "child": 2, "grandchild": 2, "other": 2}
    await family.tell(DeleteTask())
    assert None not in family.each("deleted_at").values()


async def test_a_precondition_is_checked_before_all(family: Family) -> None:
    """A sub-task is not done for a task that then refuses."""
    await family.tell(EditTask(title="Newer"))
    written = len(family.world.log.records)
    with pytest.raises(PreconditionFailed):
        await family.tell(DeleteTask(cascade=True), if_match=Precondition(frozenset({1})))
    with pytest.raises(NotFound):
        await family.tell(DeleteTask(cascade=True), user="mallory")
    assert len(family.world.log.records) == written


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
async def test_a_retry_ends_where_the_first_would_have(
    family: Family, room: int, key: CommandKey | None, command: TaskCommand, event: str
) -> None:
    """Wherever the first attempt broke off: every task has one event, and undoing takes all of them back."""
    await family.node.done(CreateList(name="B"), "list:10000000-0000-4000-8000-00000000000b")
    family.world.log.room = room
    with pytest.raises(Unavailable):
        await family.tell(command, key=key)
    family.world.log.room = None
    await family.tell(command, key=key)
    assert sorted(family.order(event)) == sorted(family.ids)
    again = await family.tell(command, key=key)
    assert isinstance(again.result, Applied)
    assert sorted(family.order(event)) == sorted(family.ids)
    await family.tell(UndoChange())
    assert set(family.each("status").values()) == {"open"}
    assert set(family.each("deleted_at").values()) == {None}
    assert set(family.each("list_id").values()) == {inbox_id("alice")}
    assert family["grandchild"].parent_id == family.ids["child"]


async def test_a_repeat_with_a_key_does_nothing_more(family: Family) -> None:
    """Also when sub-tasks were opened again since."""
    key = key_of("k", {})
    first = await family.tell(CompleteTask(cascade=True), key=key)
    await family.tell(ReopenTask(), "child")
    again = await family.tell(CompleteTask(cascade=True), key=key)
    assert again.result == first.result
    assert family["child"].status == "open"


async def test_undoing_and_doing_again_is_for_all_of_them(family: Family) -> None:
    """What was completed together is open together, and done together again."""
    await family.tell(CompleteTask(), "other")
    await family.tell(CompleteTask(cascade=True))
    await family.tell(UndoChange())
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    undo = family["top"].version
    await family.tell(UndoChange(version=undo))
    assert set(family.each("status").values()) == {"done"}


async def test_undoing_what_is_not_visible_yet_takes_all_of_it_back(family: Family) -> None:
    """And never an earlier change, such as the creation, in its place."""
    family.world.hold()
    await family.tell(CompleteTask(cascade=True), wait_s=0)
    undoing = asyncio.create_task(family.tell(UndoChange()))
    await asyncio.sleep(0)
    family.world.release()
    await undoing
    assert set(family.each("status").values()) == {"open"}
    assert set(family.each("deleted_at").values()) == {None}


async def test_what_can_not_be_seen_in_time_is_not_undone(family: Family) -> None:
    """It is said that it can't be told yet, and nothing is written."""
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


async def test_what_changed_since_stays_as_it_is(family: Family) -> None:
    """A sub-task that somebody deleted meanwhile is not touched by the undo."""
    await family.tell(CompleteTask(cascade=True))
    await family.tell(DeleteTask(), "other")
    await family.tell(UndoChange())
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    assert (family["other"].version, family["child"].version) == (3, 3)


async def test_reopening_below_done_tasks_opens_those_above(family: Family) -> None:
    """The topmost first, by the same command; undoing it completes them again."""
    await family.tell(CompleteTask(cascade=True))
    done = await family.tell(ReopenTask(), "grandchild")
    assert family.each("status") == {"top": "open", "child": "open", "grandchild": "open", "other": "done"}
    assert isinstance(done.result, Applied)
    told = from_json(done.result.body)["effects"]
    assert [(each["type"], each["task_id"]) for each in told] == [
        ("reopened", family.ids["top"]),
        ("reopened", family.ids["child"]),
    ]
    await family.tell(UndoChange(), "grandchild")
    assert set(family.each("status").values()) == {"done"}


async def test_creating_below_a_done_task_opens_it(family: Family) -> None:
    """Also where the new task is put below it by an edit."""
    await family.tell(CompleteTask(cascade=True))
    family.ids["new"] = new_id()
    create = new_task(title="new", list_id=family["top"].list_id, parent_id=family.ids["child"])
    created = await family.tell(create, "new")
    assert isinstance(created.result, Applied)
    assert [each["task_id"] for each in from_json(created.result.body)["effects"]] == [
        family.ids["top"],
        family.ids["child"],
    ]
    assert (family["top"].status, family["child"].status, family["other"].status) == ("open", "open", "done")
    await family.tell(EditTask(parent_id=family.ids["other"]), "new")
    assert family["other"].status == "open"


async def test_a_refused_command_opens_nothing_above(family: Family) -> None:
    """A stage that the list does not take, for one, is found out before."""
    await family.tell(CompleteTask(cascade=True))
    before = len(family.world.folded)
    with pytest.raises(PreconditionFailed):
        await family.tell(ReopenTask(), "grandchild", if_match=Precondition(frozenset({9})))
    assert len(family.world.folded) == before


async def test_what_comes_back_without_its_parent_is_a_top_level_task(family: Family) -> None:
    """The answer says so; with its parent it comes back below it."""
    await family.tell(DeleteTask(cascade=True))
    restored = await family.tell(RestoreTask(), "child")
    assert family["child"].parent_id is None
    assert isinstance(restored.result, Applied)
    [told] = from_json(restored.result.body)["effects"]
    assert (told["type"], told["field"], told["task_id"]) == ("adapted", "parent_id", family.ids["child"])
    undone = await family.tell(UndoChange(), "grandchild")
    assert family["grandchild"].parent_id == family.ids["child"]
    assert isinstance(undone.result, Applied)
    assert "effects" not in from_json(undone.result.body)


async def test_restoring_brings_back_what_was_deleted_along(family: Family) -> None:
    """But not what was deleted before; without `cascade` the task alone."""
    await family.tell(DeleteTask(), "other")
    await family.tell(DeleteTask(cascade=True))
    await family.tell(RestoreTask())
    assert [name for name in family.ids if family[name].deleted_at is None] == ["top"]
    await family.tell(DeleteTask())
    await family.tell(RestoreTask(), "child")
    await family.tell(DeleteTask(), "child")


async def test_restoring_with_sub_tasks(family: Family) -> None:
    """Those that went with the task come back with it."""
    await family.tell(DeleteTask(), "other")
    await family.tell(DeleteTask(cascade=True))
    await family.tell(RestoreTask(cascade=True))
    assert [name for name in family.ids if family[name].deleted_at is None] == ["top", "child", "grandchild"]
    assert family.order("task.restored")[-1] == "top"
    await family.tell(UndoChange())
    assert [name for name in family.ids if family[name].deleted_at is None] == []


async def test_sub_tasks_follow_to_another_list(family: Family) -> None:
    """With their parents; a sub-task that moves alone is nobody's."""
    there = new_id()
    await family.node.done(CreateList(name="There"), f"list:{there}")
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


@pytest.mark.parametrize("command", [EditTask(stage="CascadeResult"), MoveTask(stage="CascadeResult")])
async def test_a_done_stage_completes_sub_tasks_if_wanted(command: EditTask | MoveTask) -> None:
    """Without `cascade` it is refused as completing is."""
    async with World(partitions=1).running() as world:
        list_id = new_id()
        await world.node().done(CreateList.model_validate({"name": "L", "stages": STAGES}), f"list:{list_id}")
        family = await family_in(world, list_id)
        with pytest.raises(Conflict, match="cascade=true"):
            await family.tell(command)
        await family.tell(command.model_copy(update={"cascade": True}))
        assert set(family.each("status").values()) == {"done"}
        assert set(family.each("stage").values()) == {"CascadeResult"}
        await family.tell(UndoChange())
        assert set(family.each("status").values()) == {"open"}
        assert set(family.each("stage").values()) == {"To do"}


async def test_undo_keeps_the_rules(family: Family) -> None:
    """What was then may not be possible any more: an open sub-task, a stage that is gone."""
    await family.tell(CompleteTask(cascade=True))
    await family.tell(ReopenTask())
    await family.tell(ReopenTask(), "child")
    with pytest.raises(Conflict, match="1 open sub-task; complete or delete"):
        await family.tell(UndoChange())
    with pytest.raises(Conflict, match="open sub-task"):
        await family.tell(UndoChange(version=1))


async def test_undo_of_creating_takes_sub_tasks_that_are_done_along(family: Family) -> None:
    """As deleting does."""
    for name in ("grandchild", "child", "other"):
        await family.tell(CompleteTask(), name)
    await family.tell(UndoChange())
    assert None not in family.each("deleted_at").values()


async def test_undo_of_a_move_needs_its_stage() -> None:
    """The list it came from may have changed."""
    async with World(partitions=1).running() as world:
        node, list_id, task = world.node(), new_id(), f"task:{new_id()}"
        await node.done(CreateList.model_validate({"name": "L", "stages": STAGES}), f"list:{list_id}")
        await node.done(new_task(list_id=list_id), task)
        await node.done(MoveTask(list_id=inbox_id("alice")), task)
        stages = [{"name": "Later", "category": "open"}, STAGES[1]]
        await node.done(EditList.model_validate({"stages": stages}), f"list:{list_id}")
        with pytest.raises(Conflict, match="can no longer be undone"):
            await node.give(UndoChange(), task)


async def test_too_many_sub_tasks_are_refused(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setattr(cascades, "MAX_SUB_TASKS", 2)
    written = len(family.world.log.records)
    with pytest.raises(Conflict, match="more than 2"):
        await family.tell(CompleteTask(cascade=True))
    assert len(family.world.log.records) == written


async def test_positions_are_those_of_all_events() -> None:
    """So that who waits for them sees the sub-tasks too, whatever partition they are in."""
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


async def test_without_waiting_everything_is_written(family: Family) -> None:
    """The sub-tasks' events lie before the task's, and all are accepted in the end."""
    done = await family.tell(CompleteTask(cascade=True), wait_s=0)
    assert done.result.position is not None
    await family.tell(EditTask(notes="n"))
    assert set(family.each("status").values()) == {"done"}
