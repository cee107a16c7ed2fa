"""Everyday verbs as run by a user, against a running stack."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.shell import LIMIT_S, Shell
from tests.integration.stack import Stack


@pytest.fixture
def shell(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


async def test_everyday_verbs_work_together(shell: Shell) -> None:
    """Add, list, edit, complete, reopen, show, delete and restore."""
    added = json.loads(
        await shell.works("add", "Buy", "milk", "--due", "2026-12-01", "--tag", "shop", "--json")
    )
    assert (added["title"], added["due"], added["tags"]) == ("Buy milk", "2026-12-01", ["shop"])
    await shell.works("add", "Paint the fence", "--list", "Garden", "--new-list")
    listed = await shell.works("list")
    assert "Buy milk due 2026-12-01 #shop" in listed
    assert listed.count("\n") == 2
    assert "Paint" not in await shell.works("list", "--list", "inbox")
    end = added["id"][-7:]
    edited = await shell.works(
        "edit", end, "--title", "Buy oat milk", "--clear", "due", "--list", "garden", "--priority", "high"
    )
    assert "Buy oat milk !high #shop" in edited
    assert "Buy oat milk" in await shell.works("list", "--list", "Garden", "--tag", "shop")
    assert (await shell.works("done", end)).startswith("[x]")
    assert "oat milk" not in await shell.works("list")
    assert "oat milk" in await shell.works("list", "--status", "done", "--sort", "title", "--reverse")
    assert (await shell.works("done", end, "--undo")).startswith("[ ]")
    shown = await shell.works("show", end, "--history")
    assert "title  Buy oat milk" in shown
    assert [line.split()[3] for line in shown.splitlines() if "  task." in line] == [
        *("task.created", "task.edited", "task.moved", "task.completed", "task.reopened")
    ]
    assert json.loads(await shell.works("show", added["id"], "--version", "1", "--json")) == added
    deleted = await shell.works("rm", end)
    assert deleted.endswith(f"tasktape rm --undo {added['id']}\n")
    assert await shell.fails("show", added["id"]) == "Error: no such task\n"
    assert "oat milk" in await shell.works("rm", "--undo", added["id"])


async def test_failures_are_one_line(shell: Shell, running_stack: Stack) -> None:
    """Exit 1 for refusals and failures, 2 for wrong usage."""
    assert "no task" in (await shell.fails("done", "ffffffff")).lower()
    assert "no list" in (await shell.fails("add", "X", "--list", "Nowhere")).lower()
    assert "--due" in await shell.fails("add", "X", "--due", "soon", status=2)
    assert "no such task" in await shell.fails("show", str(uuid4()))
    assert "administrators" in await shell.fails("dead-letters", "list")
    await shell.fails("edit", "ffffffff", status=2)
    await shell.fails("add", status=2)
    await shell.fails("list", "--sort", "color", status=2)
    shell.environment["TASKTAPE_TOKEN"] = "nonsense"
    assert "token" in await shell.fails("list")
    shell.environment["TASKTAPE_URL"] = "http://127.0.0.1:1"
    assert "cannot be reached" in await shell.fails("list")
    del shell.environment["TASKTAPE_URL"], running_stack
    assert "tasktape up" in await shell.fails("list")


async def test_ambiguous_short_id_is_refused(shell: Shell, running_stack: Stack) -> None:
    """Ids of the server begin with the time, so those of one hour begin alike."""
    async with running_stack.client(shell.user) as client:
        made = [(await client.post("/api/tasks", json={"title": title})).json() for title in ("One", "Two")]
    refused = await shell.fails("done", made[0]["id"][:6])
    assert "2 tasks" in refused
    assert "One" in refused


async def test_watch_shows_updates(shell: Shell) -> None:
    """Live, one line an update; JSON on request; it ends after a count."""
    watching = await shell.start("watch", "--json")
    assert watching.stdout is not None
    task: dict[str, str] = {}

    async def seen() -> dict[str, object]:
        assert watching.stdout is not None
        line = await watching.stdout.readline()
        found: dict[str, object] = json.loads(line)
        return found

    try:
        async with asyncio.timeout(LIMIT_S):
            first = asyncio.create_task(seen())
            while not first.done():  # until it watches; earlier updates are not shown
                task = json.loads(await shell.works("add", "Buy milk", "--json"))
            assert (await first)["type"] == "update"
            await shell.works("done", task["id"])
            titles = [await seen()]
            while titles[-1]["event"]["type"] != "task.completed":  # type: ignore[index]
                titles.append(await seen())
            assert titles[-1]["task"]["id"] == task["id"]  # type: ignore[index]
    finally:
        watching.terminate()
        await watching.wait()


async def test_watch_continues_after_a_restart(running_stack: Stack, tmp_path: Path) -> None:
    """The node is killed and started again; updates through another node in between are shown."""
    stack = running_stack
    part, port = stack.parts[-1], int(stack.urls[-1].rpartition(":")[2])
    name = f"user-{uuid4().hex[:8]}"
    shell = Shell(stack, tmp_path, name)
    watcher = Shell(stack, tmp_path, name)
    watcher.environment["TASKTAPE_URL"] = stack.urls[-1]
    watching = await watcher.start("watch")
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            first = asyncio.create_task(watching.stdout.readline())
            while not first.done():
                await shell.works("add", "Before")
            assert await first  # the user's inbox, or the first task
            part.kill()
            await shell.works("add", "Meanwhile")
            stack.start_api(port)
            await shell.works("add", "After")
            # What was missed comes partition by partition: "After" may come first.
            lines: list[bytes] = []
            while not all(any(name in line for line in lines) for name in (b"[Meanwhile]", b"[After]")):
                lines.append(await watching.stdout.readline())
            assert sum(b"[Meanwhile]" in line for line in lines) == 1
    finally:
        if stack.parts[-1] is part and part.process.poll() is not None:
            stack.start_api(port)
        watching.terminate()
        await watching.wait()
