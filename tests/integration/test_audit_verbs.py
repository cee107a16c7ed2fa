"""Questions to the audit from the command line and the Python client: events, counts, stories, tails."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tasktape_client import Client, TasktapeError
from tests.integration.shell import Shell
from tests.integration.stack import Stack
from tests.waiting import eventually


@pytest.fixture
def alice(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


def client_of(stack: Stack, user: str, node: int = 0) -> Client:
    """Return a client of a node."""
    return Client(stack.urls[node], stack.token(user))


def lines_of(printed: str) -> list[dict[str, Any]]:
    """Return lines of JSON."""
    return [json.loads(line) for line in printed.splitlines()]


async def test_events_are_found_as_lines_json_and_csv(alice: Shell) -> None:
    await alice.works("lists", "create", "Errands", "--stage", "Doing", "--stage", "Done:done")
    title = f"Pay rent {uuid4().hex[:8]}"
    task = await alice.json("add", title, "--list", "Errands", "--notes", "By card, on the first day")
    await alice.works("move", task["id"], "--stage", "Done")
    await alice.works("edit", task["id"], "--notes", "By bank, on the first day")
    printed = await alice.works("audit", "query", "--task", title, "--sort", "position", "--type", "task.*")
    assert [line.split("  ", 2)[2] for line in printed.splitlines() if not line.startswith(" ")] == [
        f"{alice.user} created “{title}” in Doing",
        f"{alice.user} moved “{title}” from Doing to Done",
        f"{alice.user} changed the notes of “{title}”",
    ]
    printed = await alice.works("audit", "query", "--task", task["id"], "--field", "notes")
    assert "      notes: By [-card-]{+bank+}, on the first day" in printed.splitlines()
    words = ("--list", "Errands", "--field", "stage", "--to", "Done", "--json")
    found = lines_of(await alice.works("audit", "query", *words))
    assert [each["changes"]["stage"] for each in found] == [["Doing", "Done"]]
    rows = list(csv.DictReader(io.StringIO(await alice.works("audit", "query", "--task", title, "--csv"))))
    assert [row["type"] for row in rows] == ["task.edited", "task.moved", "task.created"]
    assert json.loads(rows[0]["changes"])["notes"][1] == "By bank, on the first day"
    counted = await alice.works("audit", "query", "--list", "Errands", "--group-by", "type")
    assert sorted(line.split()[1] for line in counted.splitlines()) == [
        *("list.created", "task.created", "task.edited", "task.moved"),
    ]
    assert await alice.works("audit", "query", "--actor", "nobody-else", "--time-from", "yesterday") == ""


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (("--type", "task.flown"), 1, "matches no event type"),
        (("--field", "stagee"), 1, "did you mean stage?"),
        (("--to", "Done"), 1, "give one field with it"),
        (("--time-from", "soonish"), 2, "is no past time"),
        (("--csv", "--json"), 2, "not both"),
        (("--tree",), 2, "needs one --correlation-id"),
        (("--group-by", "colour"), 2, "is not one of"),
        (("--list", "No such list"), 1, "There is no list called"),
    ],
)
async def test_wrong_question_is_one_line(
    alice: Shell, words: tuple[str, ...], status: int, line: str
) -> None:
    assert line in await alice.fails("audit", "query", *words, status=status)


async def test_story_shows_effects_and_notifications_below_their_causes(
    alice: Shell, running_stack: Stack
) -> None:
    """A command on a task with a sub-task, and what the policy of recurrence did."""
    correlation, bob = f"story-{uuid4()}", f"bob-{uuid4().hex[:8]}"
    async with client_of(running_stack, alice.user) as client, client_of(running_stack, bob) as other:
        shared = await client.create_list("Household")
        await client.set_member(shared.id, bob, "viewer")
        task = await client.create_task(
            "Water", list_id=shared.id, due="2026-12-01", recurrence="FREQ=DAILY", assignees=[bob]
        )
        below = await client.create_task("Fill the can", list_id=shared.id, parent_id=task.id, assignees=[])
        await client.complete_task(task.id, cascade=True, correlation_id=correlation)

        async def story() -> Any:
            return await client.audit_story(correlation)

        async def is_complete() -> bool:
            return len((await story()).events) == 1 and len((await story()).events[0].effects) == 2

        await eventually(is_complete)
        found = await story()
        assert (found.command.actor, found.command.source) == (alice.user, "/tasktape/api")
        assert found.events[0].sentence == f"{alice.user} completed “Water”"
        effects = {each.sentence: each for each in found.events[0].effects}
        assert set(effects) == {
            f"{alice.user} completed “Fill the can”",
            "The next occurrence of “Water” was created",
        }
        assert (await client.audit_story("another")).events == ()
        assert (await other.audit_story(correlation)).events == found.events
        await client.remove_member(shared.id, bob)
        assert (await other.audit_story(correlation)).events == ()
    lines = (await alice.works("audit", "query", "--correlation-id", correlation, "--tree")).splitlines()
    assert lines[0].endswith(f"{alice.user} completed “Water”")
    assert sum(line.startswith("    2") for line in lines) == 2
    assert below.id != task.id


async def test_query_is_followed_from_its_last_event_on(alice: Shell, running_stack: Stack) -> None:
    """The verb ends after the requested number."""
    async with client_of(running_stack, alice.user) as client:
        task = await client.create_task("0")
        following = await alice.start(
            *("audit", "query", "--stream", f"task:{task.id}", "--follow", "--count", "3", "--json")
        )
        assert following.stdout is not None
        first = json.loads(await following.stdout.readline())
        assert first["type"] == "task.created"
        for number in range(1, 4):
            await client.edit_task(task.id, {"title": str(number)})
        rest, errors = await following.communicate()
        assert (following.returncode, errors) == (0, b"")
        assert [each["changes"]["title"] for each in lines_of(rest.decode())] == [
            ["0", "1"],
            ["1", "2"],
            ["2", "3"],
        ]


async def test_tail_of_the_client_resumes_and_ends_with_the_reason(running_stack: Stack) -> None:
    user, owner = f"user-{uuid4().hex[:8]}", f"owner-{uuid4().hex[:8]}"
    async with client_of(running_stack, user) as client, client_of(running_stack, owner) as writer:
        shared = await writer.create_list("Shared")
        await writer.set_member(shared.id, user, "viewer")
        for number in range(3):
            await writer.create_task(str(number), list_id=shared.id)
        filters = {"list_id": shared.id, "type": "task.*"}
        tail = client.audit_tail(filters, {})
        seen = []
        async for event in tail:
            seen.append(event.sentence)
            if len(seen) == 2:
                break
        async for event in client.audit_tail(filters, tail.positions):
            seen.append(event.sentence)
            break
        assert sorted(seen) == [f"{owner} created “{number}”" for number in range(3)]
        await writer.remove_member(shared.id, user)
        with pytest.raises(TasktapeError, match="no longer see") as refused:
            async for _ in client.audit_tail(filters):
                pass
        assert refused.value.code == "not_found"
        with pytest.raises(TasktapeError, match="did you mean actor"):
            async for _ in client.audit_tail({"actr": "bob"}):
                pass
