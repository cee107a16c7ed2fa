"""Write path on a log in memory; the real fold decides what is accepted."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest

from api.commands import execution
from api.commands.requests import Applied
from app.errors import Conflict, KeyReused, NotFound, PreconditionFailed, Unavailable
from app.ids import inbox_id
from app.lists.commands import CreateInbox, CreateList, DeleteList, EditList
from app.positions import Position
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
from app.tasks.events import TaskEdited
from tests.api.memory_stack import World, key_of, new_id, new_task
from tests.waiting import eventually


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as running:
        yield running


def new_stream() -> str:
    return f"task:{new_id()}"


async def test_response_has_the_state_after_the_event(world: World) -> None:
    """Creating and editing return the new state, its version and the event's position."""
    node, stream = world.node(), new_stream()
    created = await node.applied(new_task(), stream)
    edited = await node.applied(EditTask(title="Buy bread"), stream)
    assert (created.version, edited.version) == (1, 2)
    assert json.loads(edited.body)["title"] == "Buy bread"
    assert edited.position is not None
    assert world.at(edited.position).outcome == "accepted"


async def test_command_without_effect_writes_nothing(world: World) -> None:
    """The response has the state, and the log does not grow."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(CompleteTask(), stream)
    again = await node.applied(CompleteTask(), stream)
    assert again.position is None
    assert again.version == 2
    assert len(world.log.records) == 2


async def test_concurrent_edits_from_two_nodes_all_take_effect(world: World) -> None:
    """Of 200 edits each is in the history once, versions have no holes, and each caller got its own
    outcome."""
    nodes, stream = [world.node(), world.node()], new_stream()
    await nodes[0].applied(new_task(), stream)

    async def edit(number: int) -> None:
        effect = await nodes[number % 2].applied(EditTask(title=f"Edit {number}"), stream)
        assert json.loads(effect.body)["title"] == f"Edit {number}"
        assert effect.position is not None
        folded = world.at(effect.position)
        assert folded.outcome == "accepted"
        assert folded.record is not None
        assert folded.record.version == effect.version
        assert folded.record.data == TaskEdited({"title": f"Edit {number}"})

    numbers = list(range(200))
    random.Random(7).shuffle(numbers)
    await asyncio.gather(*(edit(number) for number in numbers))
    history = world.accepted_of(stream)
    assert [record.version for record in history] == list(range(1, 202))
    titles = [record.data.fields["title"] for record in history if isinstance(record.data, TaskEdited)]
    assert sorted(titles) == sorted(f"Edit {number}" for number in range(200))
    assert len(world.folded) > 201, "the nodes should have met at least once, or this test shows nothing"


async def test_command_without_an_outcome_in_time_is_pending(world: World) -> None:
    """While the worker is down the response is the position; the event takes effect later."""
    node, stream = world.node(), new_stream()
    world.hold()
    written = await node.pending(new_task(), stream, wait_s=0.02)
    world.release()
    await eventually(lambda: len(world.folded) == 1)
    assert world.at(written.position).outcome == "accepted"


async def test_unawaited_commands_build_on_each_other(world: World) -> None:
    """A node decides on its own writes before they are folded."""
    node, stream = world.node(), new_stream()
    world.hold()
    for command in (new_task(), EditTask(title="Buy bread"), CompleteTask()):
        await node.pending(command, stream, wait_s=0)
    world.release()
    await eventually(lambda: len(world.folded) == 3)
    assert [record.version for record in world.accepted_of(stream)] == [1, 2, 3]
    assert (await node.applied(ReopenTask(), stream)).version == 4


async def test_wrong_in_flight_state_is_dropped(world: World) -> None:
    """An earlier write of another node supersedes the unconfirmed event; the command is decided again."""
    ours, theirs, stream = world.node(), world.node(), new_stream()
    await ours.applied(new_task(), stream)
    world.hold()
    await theirs.pending(EditTask(title="Theirs"), stream, wait_s=0)
    await ours.pending(EditTask(title="Ours", notes="of no use"), stream, wait_s=0)
    world.release()
    await eventually(lambda: len(world.folded) == 3)
    effect = await ours.applied(EditTask(priority="high"), stream)
    assert effect.version == 3
    assert json.loads(effect.body)["title"] == "Theirs"
    assert json.loads(effect.body)["notes"] == ""


async def test_repeated_key_is_harmless(world: World) -> None:
    """The same command with the same key is one event and gets the first response, later too."""
    node, key = world.node(), key_of("k1", {"title": "Buy milk"})
    stream = f"task:{key.created_id}"
    first = await node.applied(new_task(), stream, key=key)
    await node.applied(EditTask(title="Changed since"), stream)
    again = await world.node().applied(new_task(), stream, key=key)
    assert again == first
    assert len(world.log.records) == 2


async def test_repeated_deletion_has_no_content_either(world: World) -> None:
    """As the first response, whatever the read models keep of deleted tasks."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    first = await node.applied(DeleteTask(), stream, key=key_of("k", {}))
    assert first.body == b"null"
    assert await node.applied(DeleteTask(), stream, key=key_of("k", {})) == first


async def test_repeats_racing_on_two_nodes_are_one_event(world: World) -> None:
    """The first one creates; all get the same response."""
    nodes, key = [world.node(), world.node()], key_of("k2", {"title": "Buy milk"})
    stream = f"task:{key.created_id}"
    effects = await asyncio.gather(
        *(nodes[number % 2].applied(new_task(), stream, key=key) for number in range(10))
    )
    assert len(set(effects)) == 1
    assert len(world.accepted_of(stream)) == 1


async def test_repeat_of_an_unresolved_command_is_not_written_again(world: World) -> None:
    """The node remembers what it has appended under a key."""
    node, key = world.node(), key_of("k3", {})
    stream = f"task:{key.created_id}"
    world.hold()
    first = await node.pending(new_task(), stream, key=key, wait_s=0)
    again = await node.pending(new_task(), stream, key=key, wait_s=0.01)
    assert again == first
    world.release()
    effect = await node.applied(new_task(), stream, key=key)
    assert effect.position == first.position
    assert len(world.log.records) == 1


async def test_key_reused_for_another_command_is_refused(world: World) -> None:
    """Also if the first has not been folded yet."""
    node, key, other = world.node(), key_of("k4", {"title": "A"}), key_of("k4", {"title": "B"})
    stream = f"task:{key.created_id}"
    world.hold()
    await node.pending(new_task(), stream, key=key, wait_s=0)
    with pytest.raises(KeyReused):
        await node.execute(new_task(title="B"), stream, key=other, wait_s=0)
    world.release()
    await eventually(lambda: len(world.folded) == 1)
    with pytest.raises(KeyReused):
        await node.execute(new_task(title="B"), stream, key=other)


async def test_repeat_after_a_failed_append_returns_the_first_outcome(world: World) -> None:
    """The log wrote the event and reported a failure: the repeat with the same key finds it."""
    node, key = world.node(), key_of("k5", {})
    stream = f"task:{key.created_id}"
    world.log.fails = "after"
    with pytest.raises(Unavailable):
        await node.execute(new_task(), stream, key=key)
    world.log.fails = None
    effect = await node.applied(new_task(), stream, key=key)
    assert effect.version == 1
    assert len(world.accepted_of(stream)) == 1


async def test_event_with_an_accepted_outcome_succeeds_despite_a_lost_acknowledgement(world: World) -> None:
    """The command is done, since its outcome arrived."""
    node, stream = world.node(), new_stream()
    world.log.fails = "late"
    effect = await node.applied(new_task(), stream)
    assert effect.position is not None
    assert world.at(effect.position).outcome == "accepted"


async def test_unavailable_log_changes_nothing(world: World) -> None:
    """The caller gets an error, and the next command on the stream is executed."""
    node, stream = world.node(), new_stream()
    world.log.fails = "before"
    with pytest.raises(Unavailable):
        await node.execute(new_task(), stream)
    world.log.fails = None
    assert (await node.applied(new_task(), stream)).version == 1


@pytest.mark.parametrize("version", [None, 2])
async def test_undo_of_an_invisible_event_is_refused(world: World, version: int | None) -> None:
    """Nor is the change before it undone: the caller could not know which one it was."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    world.hold()
    await node.pending(EditTask(title="Buy bread"), stream, wait_s=0)
    with pytest.raises(Unavailable):
        await node.execute(UndoChange(version=version), stream, wait_s=0)
    assert len(world.log.records) == 2
    world.release()
    undone = await node.applied(UndoChange(version=version), stream)
    assert json.loads(undone.body)["title"] == "Buy milk"


async def test_edits_of_disjoint_fields_merge(world: World) -> None:
    """An edit based on an older version succeeds if its fields have not changed since."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(EditTask(title="Theirs"), stream)
    merged = await node.applied(EditTask(priority="high"), stream, if_match=1)
    assert json.loads(merged.body)["title"] == "Theirs"
    assert json.loads(merged.body)["priority"] == "high"


async def test_edits_of_the_same_field_conflict(world: World) -> None:
    """The error has all three values, and nothing is written."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(EditTask(title="Theirs"), stream)
    with pytest.raises(Conflict) as caught:
        await node.execute(EditTask(title="Mine", notes="and more"), stream, if_match=1)
    assert caught.value.base == {"title": "Buy milk"}
    assert caught.value.theirs == {"title": "Theirs"}
    assert caught.value.yours == {"title": "Mine"}
    assert len(world.log.records) == 2


async def test_one_of_two_edits_of_the_same_version_conflicts(world: World) -> None:
    """Also if they race on two nodes: the loser is checked against the winner."""
    nodes, stream = [world.node(), world.node()], new_stream()
    await nodes[0].applied(new_task(), stream)
    results = await asyncio.gather(
        nodes[0].execute(EditTask(title="One"), stream, if_match=1),
        nodes[1].execute(EditTask(title="Two"), stream, if_match=1),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Applied", "Conflict"]


@pytest.mark.parametrize(
    ("command", "version"), [(EditTask(title="X"), 9), (DeleteTask(), 1), (EditTask(title="X"), 0)]
)
async def test_stale_version_fails_the_precondition(
    world: World, command: EditTask | DeleteTask, version: int
) -> None:
    """Version above the current one, unknown version, and deletion of a task that has changed."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(EditTask(title="Newer"), stream)
    with pytest.raises(PreconditionFailed):
        await node.execute(command, stream, if_match=version)


async def test_preconditions_apply_to_lists_too(world: World) -> None:
    """Renaming conflicts with another renaming; deleting a changed list fails."""
    node, stream = world.node(), f"list:{new_id()}"
    await node.applied(CreateList(name="A"), stream)
    await node.applied(EditList(name="B"), stream)
    with pytest.raises(Conflict) as caught:
        await node.execute(EditList(name="C"), stream, if_match=1)
    assert caught.value.theirs == {"name": "B"}
    with pytest.raises(PreconditionFailed):
        await node.execute(DeleteList(), stream, if_match=1)
    assert (await node.applied(DeleteList(), stream, if_match=2)).body == b"null"


async def test_deleted_task_can_only_be_restored(world: World) -> None:
    """Deleting returns no content, editing is 404, restoring brings everything back."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(notes="two litres"), stream)
    assert (await node.applied(DeleteTask(), stream)).body == b"null"
    with pytest.raises(NotFound):
        await node.execute(EditTask(title="X"), stream)
    assert json.loads((await node.applied(RestoreTask(), stream)).body)["notes"] == "two litres"


@pytest.mark.parametrize("command", [EditTask(title="X"), CompleteTask(), DeleteTask(), RestoreTask()])
async def test_invisible_task_is_not_found(
    world: World, command: EditTask | CompleteTask | DeleteTask | RestoreTask
) -> None:
    """A stranger gets the same response as for a task that does not exist."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    with pytest.raises(NotFound, match="no such task"):
        await node.execute(command, stream, "mallory")
    with pytest.raises(NotFound, match="no such task"):
        await node.execute(command, new_stream(), "mallory")


async def test_list_of_others_accepts_no_tasks(world: World) -> None:
    """Neither by creating nor by moving."""
    node, stream = world.node(), new_stream()
    await node.applied(CreateInbox(), f"list:{inbox_id('alice')}")
    with pytest.raises(NotFound):
        await node.execute(new_task("alice"), new_stream(), "mallory")
    await node.applied(new_task("mallory"), stream, "mallory")
    with pytest.raises(NotFound):
        await node.execute(MoveTask(list_id=inbox_id("alice")), stream, "mallory")


async def test_tasks_of_a_deleted_list_are_not_found(world: World) -> None:
    """And no task can be created in it or moved to it."""
    node, stream, list_id = world.node(), new_stream(), new_id()
    await node.applied(CreateList(name="Errands"), f"list:{list_id}")
    await node.applied(new_task(list_id=list_id), stream)
    await node.applied(DeleteList(), f"list:{list_id}")
    with pytest.raises(NotFound):
        await node.execute(CompleteTask(), stream)
    with pytest.raises(NotFound):
        await node.execute(new_task(list_id=list_id), new_stream())


async def test_racing_nodes_create_an_inbox_once(world: World) -> None:
    """Both derive the same event id."""
    nodes, stream = [world.node(), world.node()], f"list:{inbox_id('alice')}"
    await asyncio.gather(*(node.execute(CreateInbox(), stream) for node in nodes))
    assert len(world.accepted_of(stream)) == 1


async def test_command_fails_after_too_many_lost_races(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries are bounded; the lost attempts had no effect, and the caller may retry."""
    monkeypatch.setattr(execution, "MAX_TRIES", 0)
    with pytest.raises(Unavailable, match="nothing was changed"):
        await world.node().execute(new_task(), new_stream())


@pytest.mark.parametrize("seed", range(15))
async def test_every_accepted_event_was_reported_to_its_caller(world: World, seed: int) -> None:
    """Random commands on three nodes, with and without waiting, while the worker stops and restarts.

    Commands reported as done are accepted with that version and state; refused ones left no accepted event;
    pending ones are decided later. Nothing else is accepted.
    """
    draw = random.Random(seed)
    nodes, streams = [world.node() for _ in range(3)], [new_stream() for _ in range(2)]
    reported: dict[Position, int | None] = {}

    async def action(number: int) -> None:
        await asyncio.sleep(draw.random() * 0.03)
        task_actions: list[TaskCommand] = [
            *(EditTask(title=f"T{number}"), EditTask(notes=f"N{number}"), CompleteTask(), ReopenTask())
        ]
        command = draw.choice(task_actions)
        node, stream = draw.choice(nodes), draw.choice(streams)
        wait_s, if_match = draw.choice([0, 0.01, 5]), draw.choice([None, None, 1])
        try:
            result = await node.execute(command, stream, wait_s=wait_s, if_match=if_match)
        except (Conflict, PreconditionFailed):
            return
        if result.position is not None:
            assert result.position not in reported
            reported[result.position] = result.version if isinstance(result, Applied) else None

    async def come_and_go() -> None:
        for _ in range(5):
            await asyncio.sleep(draw.random() * 0.01)
            world.hold()
            await asyncio.sleep(draw.random() * 0.01)
            world.release()

    for stream in streams:
        created = await nodes[0].applied(new_task(), stream)
        assert created.position is not None
        reported[created.position] = 1
    await asyncio.gather(come_and_go(), *(action(number) for number in range(60)))
    await eventually(lambda: len(world.folded) == len(world.log.records))

    accepted = {each.raw.position: each for each in world.folded if each.outcome == "accepted"}
    assert set(accepted) <= set(reported)
    for position, version in reported.items():
        if version is not None:
            record = accepted[position].record
            assert record is not None
            assert record.version == version
    for stream in streams:
        history = world.accepted_of(stream)
        assert [record.version for record in history] == list(range(1, len(history) + 1))
