"""Notifications and comments from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.shell import Shell
from tests.integration.stack import Stack


@pytest.fixture
def alice(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


@pytest.fixture
async def bob(running_stack: Stack, tmp_path: Path, alice: Shell) -> Shell:
    """Return a member of alice's list Errands."""
    bob = Shell(running_stack, tmp_path)
    await alice.works("lists", "create", "Errands")
    await alice.works("share", "Errands", bob.user)
    return bob


async def test_notifications_are_listed_and_marked(alice: Shell, bob: Shell) -> None:
    """Read one by one, marked unread, read all at once."""
    await alice.works("add", "Buy milk", "--list", "Errands", "--assignee", bob.user)
    shown = await bob.json("notifications")
    assert [(each["kind"], each["actor"], each["read"]) for each in shown["items"]] == [
        ("assigned", alice.user, False),
        ("shared", alice.user, False),
    ]
    lines = (await bob.works("notifications")).splitlines()
    assert lines[0].startswith("[*]  ")
    assert lines[0].endswith(f"assigned  {alice.user}  [Buy milk]")
    end = lines[0].split()[1]
    assert await bob.works("notifications", "--read", end) == "1 unread.\n"
    assert "Buy milk" not in await bob.works("notifications", "--unread")
    assert (await bob.works("notifications")).splitlines()[0].startswith("[ ]  ")
    assert await bob.json("notifications", "--mark-unread", end) == {"unread": 2}
    assert await bob.works("notifications", "--read-all") == "0 unread.\n"
    assert await bob.works("notifications", "--unread") == ""
    assert await alice.works("notifications") == ""
    assert "No notification" in await alice.fails("notifications", "--read", end)


async def test_comments_are_added_edited_and_deleted(alice: Shell, bob: Shell) -> None:
    """With mentions."""
    task = await alice.json("add", "Buy milk", "--list", "Errands")
    said = await alice.json("comment", task["id"], f"@{bob.user}", "which one?")
    assert (said["text"], said["author"]) == (f"@{bob.user} which one?", alice.user)
    assert "mentioned" in (await bob.works("notifications")).splitlines()[0]
    answer = await bob.works("comment", task["id"][-12:], "The oat one.\nNot soy.")
    assert answer.splitlines()[0].endswith(f"{bob.user}  The oat one.")
    assert answer.splitlines()[1] == "    Not soy."
    end = answer.split()[0]
    assert "any will do" in await bob.works("comment", task["id"], "any will do", "--edit", end)
    listed = await alice.json("comments", task["id"])
    assert [each["text"] for each in listed["items"]] == [f"@{bob.user} which one?", "any will do"]
    assert await bob.works("comment", task["id"], "--delete", end) == "Deleted.\n"
    assert len((await alice.works("comments", task["id"])).splitlines()) == 1
    assert (await alice.json("show", task["id"]))["comment_count"] == 1
    await bob.fails("comment", task["id"], "--delete", said["id"])
    await bob.fails("comment", task["id"], status=2)
    await bob.fails("comment", task["id"], "x", "--delete", end, status=2)
