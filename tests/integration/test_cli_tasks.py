"""Sub-tasks, order, recurrence, reminders and undo from the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.shell import Shell
from tests.integration.stack import Stack


@pytest.fixture
def shell(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


async def test_sub_tasks_cascade_or_prevent_the_command(shell: Shell) -> None:
    """Completing or deleting a task with open ones includes them or is refused."""
    parent = await shell.json("add", "Move house")
    child = await shell.json("add", "Rent a van", "--parent", parent["id"][-12:])
    assert child["parent_id"] == parent["id"]
    refused = await shell.fails("done", parent["id"])
    assert "sub-task" in refused
    assert "complete them too with --cascade" in refused
    assert (await shell.works("done", parent["id"], "--cascade")).startswith("[x]")
    assert (await shell.json("show", child["id"]))["status"] == "done"
    await shell.works("done", child["id"], "--undo")
    await shell.works("rm", parent["id"], "--cascade")
    await shell.fails("show", child["id"])
    await shell.works("rm", "--undo", parent["id"], "--cascade")
    assert (await shell.json("show", child["id"]))["parent_id"] == parent["id"]
    assert (await shell.json("edit", child["id"], "--clear", "parent"))["parent_id"] is None
    await shell.fails("edit", child["id"], "--clear", "parent", "--parent", parent["id"], status=2)


async def test_manual_order_is_changed(shell: Shell) -> None:
    """Before, after, into another list and stage."""
    ids = [(await shell.json("add", title))["id"] for title in ("One", "Two", "Three")]
    await shell.works("move", ids[2], "--before", ids[0])
    await shell.works("move", ids[0][-12:], "--after", ids[1][-12:])
    listed = (await shell.json("list"))["items"]
    assert [task["title"] for task in listed] == ["Three", "Two", "One"]
    await shell.works("lists", "create", "Garden", "--stage", "Planned", "--stage", "Grown:done")
    moved = await shell.works("move", ids[1], "--list", "Garden", "--stage", "Grown")
    assert moved == f"[x]  {ids[1][-7:]}  Two (Grown)\n"
    await shell.fails("move", ids[0], "--before", ids[1], "--after", ids[2], status=2)
    await shell.fails("move", ids[0], status=2)


async def test_recurring_task_is_created_skipped_and_edited(shell: Shell) -> None:
    """For one occurrence and for all, with reminders."""
    made = await shell.json(
        *("add", "Water the plants", "--due", "2036-12-02", "--recurrence", "FREQ=WEEKLY;BYDAY=TU"),
        *("--time-zone", "Europe/Madrid", "--remind", "1h", "--remind", "2036-12-01T18:00:00+01:00"),
    )
    assert (made["recurrence"], made["recurrence_from"]) == ("FREQ=WEEKLY;BYDAY=TU", "due")
    assert made["reminders"] == [{"before": "PT1H"}, {"at": "2036-12-01T18:00:00+01:00"}]
    skipped = await shell.works("skip", made["id"])
    assert "Water the plants due 2036-12-09 (every week on Tue)" in skipped
    edited = await shell.json("edit", made["id"], "--from-completion", "--scope", "following")
    assert edited["recurrence_from"] == "completion"
    assert (await shell.json("edit", made["id"], "--from-due"))["recurrence_from"] == "due"
    shown = await shell.works("show", made["id"])
    assert "reminders  before PT1H, at 2036-12-08T18:00:00+01:00" in shown
    cleared = await shell.json("edit", made["id"], "--clear", "recurrence", "--clear", "reminders")
    assert (cleared["recurrence"], cleared["reminders"]) == (None, [])
    await shell.fails("skip", made["id"])
    assert "recurrence" in await shell.fails("add", "X", "--recurrence", "FREQ=SOMETIMES")


async def test_times_are_local(shell: Shell) -> None:
    """Without an offset they are in the task's time zone, or else in the machine's."""
    zone, at = ("--time-zone", "America/New_York"), "2036-07-01T18:00"
    made = await shell.json("add", "Call", "--due", "2036-07-01T19:00", "--remind", at, *zone)
    assert (made["due"], made["time_zone"]) == ("2036-07-01T19:00:00-04:00", "America/New_York")
    assert made["reminders"] == [{"at": "2036-07-01T18:00:00-04:00"}]
    shell.environment["TZ"] = "Europe/Madrid"
    here = await shell.json("add", "Call", "--due", "2036-12-01T09:00")
    assert (here["due"], here["time_zone"]) == ("2036-12-01T09:00:00+01:00", "Europe/Madrid")
    edited = await shell.json("edit", made["id"], "--due", "2036-07-01T20:00+02:00")
    assert (edited["due"], edited["time_zone"]) == ("2036-07-01T20:00:00+02:00", "America/New_York")


async def test_undo_takes_back_own_changes(shell: Shell) -> None:
    """The last one, or an earlier one; not another user's."""
    task = await shell.json("add", "Buy milk", "--priority", "high")
    await shell.works("edit", task["id"], "--title", "Buy oat milk")
    await shell.works("edit", task["id"], "--priority", "low")
    assert "Buy milk !low" in await shell.works("undo", task["id"], "--version", "2")
    assert "Buy milk !high" in await shell.works("undo", task["id"], "--version", "3")
    history = await shell.works("show", task["id"], "--history")
    assert history.count("task.undone") == 2
    # Versions are counted as `undo` wants them.
    assert [line.split()[0] for line in history.splitlines()[-5:]] == ["1", "2", "3", "4", "5"]
    await shell.fails("undo", task["id"], "--version", "77")


async def test_editing_and_moving_in_one_command(shell: Shell) -> None:
    """Invalid values are refused before anything is done; after a later failure the output says what was
    done."""
    await shell.works("lists", "create", "Work", "--stage", "Ideas", "--stage", "Live:done")
    task = await shell.json("add", "Website")
    refused = await shell.fails("edit", task["id"], "--list", "Work", "--due", "someday", status=2)
    assert "Invalid value for --due: 'someday' is not a date" in refused
    assert (await shell.json("show", task["id"]))["version"] == 1
    wanted = ("--list", "Work", "--title", "Web site", "--stage")
    refused = await shell.fails("edit", task["id"], *wanted, "Nowhere")
    assert refused.startswith("Error: it was moved, but stage not set: stage: must be one of this list's")
    edited = await shell.json("edit", task["id"], *wanted, "Live")
    assert (edited["title"], edited["stage"], edited["status"]) == ("Web site", "Live", "done")
    assert edited["list_id"] != task["list_id"]


async def test_search_by_words_and_conditions(shell: Shell) -> None:
    """A list shows open tasks, a search all."""
    milk = await shell.json("add", "Buy", "milk", "--tag", "shop", "--notes", "the oat one, not soy")
    await shell.works("add", "Sell the car", "--tag", "shop", "--priority", "high")
    await shell.works("done", milk["id"])
    assert "Sell the car" in await shell.works("list", "#shop", "p:high")
    assert "milk" not in await shell.works("list", "#shop")
    assert "milk" in await shell.works("list", "#shop is:done")
    assert "milk" in await shell.works("list", "#shop", "--status", "all")
    found = await shell.works("search", "oat*")
    assert found.splitlines()[0] == f"[x]  {milk['id'][-7:]}  Buy milk #shop"
    assert found.splitlines()[1] == "     notes: the *oat* one, not soy"
    assert len((await shell.json("search", "#shop"))["items"]) == 2
    assert await shell.works("search", "nowhere") == ""
    assert await shell.works("search", "milk", "-soy") == ""
    assert len((await shell.json("search", "milk", "-home"))["items"]) == len(
        (await shell.json("search", "milk"))["items"]
    )
    assert "--limit" in await shell.fails("search", "milk", "--limt", "3", status=2)
    assert "Usage: tasktape search" in await shell.works("search", "-h")
    assert ">>>" in await shell.fails("search", "is:opne")
    assert ">>>" in await shell.fails("list", "due:someday")
    await shell.fails("search", status=2)


async def test_edit_of_an_older_version_merges_or_conflicts(shell: Shell) -> None:
    """A conflict shows both sides."""
    milk = await shell.json("add", "Buy milk")
    await shell.works("edit", milk["id"], "--title", "Buy oat milk", "--tag", "shop")
    merged = await shell.json("edit", milk["id"], "--tag", "food", "--priority", "low", "--if-match", "1")
    assert (merged["title"], merged["tags"], merged["priority"]) == ("Buy oat milk", ["shop", "food"], "low")
    refused = await shell.fails("edit", milk["id"], "--title", "Buy soy milk", "--if-match", "1")
    assert 'title: theirs "Buy oat milk", yours "Buy soy milk"' in refused
    await shell.fails("edit", milk["id"], "--title", "T", "--list", "L", "--if-match", "1", status=2)


async def test_bulk_commands_have_an_outcome_per_line(shell: Shell, tmp_path: Path) -> None:
    """A refused one does not stop the others, and the status is 1."""
    milk = await shell.json("add", "Buy milk")
    commands: list[dict[str, object]] = [
        {"command": "create", "body": {"title": "Buy bread"}},
        {"command": "complete", "task_id": milk["id"]},
        {"command": "edit", "task_id": milk["id"], "body": {"priority": "huge"}},
        {"command": "delete", "task_id": milk["id"]},
    ]
    file = tmp_path / "commands.jsonl"
    file.write_text("\n\n".join(json.dumps(command) for command in commands))
    status, out, err = await shell.run("bulk", str(file))
    assert (status, err) == (1, "")
    created, completed, refused, deleted = out.splitlines()
    assert created.startswith("line 1: [ ]")
    assert completed.startswith("line 3: [x]")
    assert "line 5: priority" in refused
    assert deleted == "line 7: done"
    lines = "".join(json.dumps(commands[0]) + "\n" for _ in range(130))
    output = [
        json.loads(line) for line in (await shell.works("bulk", "-", "--json", stdin=lines)).splitlines()
    ]
    assert [(each["line"], each["status"]) for each in output] == [(n, 201) for n in range(1, 131)]
    assert len((await shell.json("list", "--limit", "200"))["items"]) == 131
    long = {"command": "create", "body": {"title": "Long", "notes": "\u00e9" * 20_000}}
    lines = "".join(json.dumps(long, ensure_ascii=False) + "\n" for _ in range(60))
    assert len((await shell.works("bulk", "-", stdin=lines)).splitlines()) == 60
    again = [await shell.works("bulk", "-", "--json", "--key", "monday", stdin=lines) for _ in range(2)]
    assert again[0] == again[1]
    other = json.dumps({"command": "create", "body": {"title": "Another"}})
    status, out, _ = await shell.run("bulk", "-", "--key", "monday", stdin=other)
    assert (status, "was used for another command" in out) == (1, True), out
    await shell.fails("bulk", str(tmp_path / "nowhere"), status=2)


async def test_invalid_lines_do_not_stop_the_others(shell: Shell) -> None:
    """Each is reported by its number; the status is 1."""
    good = json.dumps({"command": "create", "body": {"title": "Good"}})
    lines = f"{good}\n{{\n[]\n{{}}\n\n{good}"
    status, out, err = await shell.run("bulk", "-", stdin=lines)
    assert (status, err) == (1, "")
    first, broken, array, nameless, last = out.splitlines()
    assert (first[:10], last[:10]) == ("line 1: [ ", "line 6: [ ")
    assert broken.startswith("line 2: this line is not JSON")
    assert array == "line 3: this line is not a JSON object"
    assert nameless.startswith("line 4: command")


async def test_bulk_commands_are_executed_as_they_arrive(shell: Shell) -> None:
    """Not only at the end of input; in order, also where one is about another one's sub-task."""
    process = await shell.start("bulk", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None

    async def outcome(**command: object) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(60):
            output: dict[str, Any] = json.loads(await process.stdout.readline())
        return output

    parent = (await outcome(command="create", body={"title": "Parent"}))["task"]["id"]
    child = (await outcome(command="create", body={"title": "Child", "parent_id": parent}))["task"]["id"]
    for task_id in (child, parent):
        process.stdin.write(json.dumps({"command": "complete", "task_id": task_id}).encode() + b"\n")
    process.stdin.write_eof()
    output = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
    assert [each["status"] for each in output] == [200, 200]
    assert await process.wait() == 0


async def test_created_tasks_keep_the_order_of_their_lines(shell: Shell) -> None:
    """Over any number of requests, and again with the same key."""
    titles = [f"Task {number:04}" for number in range(1_200)]
    lines = "".join(json.dumps({"command": "create", "body": {"title": title}}) + "\n" for title in titles)
    for _ in range(2):
        out = await shell.works("bulk", "-", "--json", "--key", "once", stdin=lines)
        assert [json.loads(line)["task"]["title"] for line in out.splitlines()] == titles
    for sort in ("rank", "created_at"):
        listed = (await shell.json("list", "--limit", "2000", "--sort", sort))["items"]
        assert [task["title"] for task in listed] == titles
