"""Lists and their members from the command line, as two users."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.shell import Shell
from tests.integration.stack import Stack


@pytest.fixture
def alice(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


@pytest.fixture
def bob(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


async def test_life_of_a_list(alice: Shell) -> None:
    """Created, shown, renamed, given stages, deleted."""
    made = await alice.json("lists", "create", "The", "garden", "--stage", "Planned", "--stage", "Grown:done")
    assert made["name"] == "The garden"
    assert made["stages"] == [
        {"name": "Planned", "category": "open"},
        {"name": "Grown", "category": "done"},
    ]
    renamed = await alice.works("lists", "rename", "the garden", "Garden")
    assert renamed == f"{made['id']}  Garden  (owner)  Planned > Grown\n"
    listed = (await alice.works("lists", "list")).splitlines()
    assert (await alice.works("lists")).splitlines() == listed
    assert len(listed) == 2
    assert renamed.strip() in listed
    await alice.works("lists", "stages", "Garden", "Seeds", "Growing:active", "Grown:done")
    assert await alice.works("lists", "stages", "Garden") == "Seeds:open\nGrowing:active\nGrown:done\n"
    await alice.works("add", "Beans", "--list", "Garden", "--stage", "Growing")
    assert "Seeds, Growing, Grown" in await alice.fails("add", "More", "--list", "Garden", "--stage", "Weeds")
    assert "Beans (Growing)" in await alice.works("list", "--list", "Garden")
    assert (await alice.json("lists", "stages", "Garden"))["stages"][0]["name"] == "Seeds"
    assert "Delete Garden with its tasks?" in (await alice.run("lists", "delete", "Garden", stdin="n\n"))[2]
    assert "Garden" in await alice.works("lists", "list")
    assert await alice.works("lists", "delete", "Garden", "--yes") == "Deleted.\n"
    assert "Garden" not in await alice.works("lists", "list")


async def test_deleted_list_is_found_and_restored(alice: Shell, bob: Shell) -> None:
    """By name, or by id where several have the name; only by its owner."""
    ids = [(await alice.json("lists", "create", name))["id"] for name in ("Garden", "Errands", "Errands")]
    await alice.works("add", "Beans", "--list", "Garden")
    await alice.works("share", "Garden", bob.user)
    assert "no deleted list called Garden" in await alice.fails("lists", "restore", "Garden")
    for list_id in ids:
        await alice.works("lists", "delete", list_id, "--yes")
    deleted = (await alice.works("lists", "list", "--deleted")).splitlines()
    assert [line.partition(" ")[0] for line in deleted] == ids[::-1]
    assert all("  deleted 2" in line and line.endswith("Z") for line in deleted)
    assert (await alice.json("lists", "list", "--deleted"))["items"][2]["name"] == "Garden"
    assert await bob.works("lists", "list", "--deleted") == ""
    assert "no deleted list called Garden" in await bob.fails("lists", "restore", "Garden")
    assert await alice.works("lists", "restore", "garden") == f"{ids[0]}  Garden  (owner)  @{bob.user}\n"
    assert "Beans" in await bob.works("list", "--list", "Garden")
    assert "2 deleted lists are called Errands" in await alice.fails("lists", "restore", "Errands")
    assert (await alice.json("lists", "restore", ids[1]))["deleted_at"] is None
    assert (await alice.json("lists", "restore", ids[1]))["id"] == ids[1], "restored again, it stays as it is"
    assert "no such list" in await bob.fails("lists", "restore", ids[1])


async def test_options_before_a_verb_of_lists_apply_to_it(alice: Shell, bob: Shell) -> None:
    """`lists --json` lists, as does `lists --json list`; options after the verb take precedence."""
    made = json.loads(await alice.works("lists", "--json", "create", "Garden"))
    for verb in ((), ("list",)):
        found = json.loads(await alice.works("lists", "--json", *verb))["items"]
        assert [each["id"] for each in found if each["name"] == "Garden"] == [made["id"]]
    stages = json.loads(await alice.works("lists", "--json", "stages", "Garden", "Seeds"))["stages"]
    assert stages == [{"name": "Seeds", "category": "open"}]
    as_bob = await alice.works("lists", "--token", bob.environment["TASKTAPE_TOKEN"], "list")
    assert "Garden" not in as_bob
    assert "Garden" in await alice.works(
        "lists", "--token", "nobody's", "list", "--token", alice.environment["TASKTAPE_TOKEN"]
    )
    assert json.loads(await alice.works("lists", "--json", "delete", "Garden", "--yes"))["deleted"] is True


async def test_sharing_a_list(alice: Shell, bob: Shell) -> None:
    """Shared, read, changed, handed over, left, removed."""
    await alice.works("lists", "create", "Errands")
    await alice.works("add", "Buy milk", "--list", "Errands")
    shared = await alice.works("share", "Errands", bob.user, "--role", "viewer")
    assert shared.endswith(f"Errands  (owner)  @{bob.user}\n")
    assert "Buy milk" in await bob.works("list", "--list", "errands")
    assert "may read this list, but not change it" in await bob.fails("add", "Buy bread", "--list", "Errands")
    for owner_or_viewer in (alice.user, bob.user):
        await alice.works("share", "Errands", owner_or_viewer)
    roles = {alice.user: "owner", bob.user: "viewer"}
    assert await bob.json("members", "Errands") == {"members": roles}, "shared again, it stays as it is"
    await alice.works("share", "Errands", bob.user, "--role", "editor")
    await bob.works("add", "Buy bread", "--list", "Errands")
    assert await bob.works("members", "Errands") == f" owner  {alice.user}\neditor  {bob.user}\n"
    assert await bob.json("members", "Errands") == {"members": {alice.user: "owner", bob.user: "editor"}}
    assert "owner" in await bob.fails("unshare", "Errands", alice.user)
    await alice.fails("leave", "Errands")
    assert (await alice.works("hand-over", "Errands", bob.user)).endswith(f"(editor)  @{bob.user}\n")
    assert await alice.works("leave", "Errands") == "You left.\n"
    assert "There is no list called Errands" in await alice.fails("list", "--list", "Errands")
    await bob.works("share", "Errands", alice.user)
    assert "no longer" in await bob.works("unshare", "Errands", alice.user)
    assert "There is no list called Errands" in await alice.fails("members", "Errands")


async def test_activity_is_shown(alice: Shell, bob: Shell) -> None:
    """Of all lists, of one, of one user."""
    await alice.works("lists", "create", "Errands")
    await alice.works("share", "Errands", bob.user)
    await alice.works("add", "Buy milk", "--list", "Errands")
    task = await bob.json("add", "Buy bread", "--list", "Errands")
    await bob.works("done", task["id"])
    shown = await alice.works("activity")
    assert f"{bob.user} completed" in shown
    groups = (await alice.json("activity", "--list", "Errands", "--by", bob.user))["items"]
    assert {group["actor"] for group in groups} == {bob.user}
    assert [event["type"] for event in groups[0]["events"]] == ["task.completed"]
    assert len((await alice.works("activity", "--limit", "1")).splitlines()) == 1


async def test_refusals_are_one_line(alice: Shell) -> None:
    """Status 2 for wrong usage."""
    await alice.works("lists", "create", "Errands")
    assert "no list called Nowhere" in await alice.fails("share", "Nowhere", "bob")
    await alice.fails("share", "inbox", "bob")
    await alice.fails("lists", "delete", "inbox", "--yes")
    await alice.fails("hand-over", "Errands", "nobody")
    await alice.fails("share", "Errands", "bob", "--role", "king", status=2)
    await alice.fails("lists", "stages", "Errands", "Doing:soon", status=2)
    await alice.fails("lists", "stages", "Errands", "Doing", "--none", status=2)
    await alice.fails("lists", "create", status=2)


async def test_list_is_reverted_and_copied(alice: Shell) -> None:
    """With a preview, a question, and the time that undoes it."""
    await alice.works("lists", "create", "Garden")
    beans = (await alice.json("add", "Beans", "--list", "Garden"))["id"]
    then = (await alice.json("show", beans))["updated_at"]
    await alice.works("edit", beans, "--title", "Peas")
    await alice.works("add", "Weeds", "--list", "Garden")
    preview = await alice.works("revert", "Garden", "--as-of", then, "--dry-run")
    assert [line.split()[0] for line in preview.splitlines()] == ["deleted", "edited", "1"] or [
        line.split()[0] for line in preview.splitlines()
    ] == ["edited", "deleted", "1"]
    assert "Peas (title)" in preview
    assert "Revert Garden?" in (await alice.run("revert", "Garden", "--as-of", then, stdin="n\n"))[2]
    assert "Peas" in await alice.works("list", "--list", "Garden")
    reverted = await alice.json("revert", "Garden", "--as-of", then, "--yes")
    assert len(reverted["changes"]) == 2
    assert "Beans" in await alice.works("list", "--list", "Garden")
    assert await alice.works("revert", "Garden", "--as-of", then, "--yes") == "Nothing to revert.\n"
    copied = await alice.works("copy", "Garden", "--as-of", reverted["undo_as_of"], "--name", "Plot")
    assert copied.splitlines()[1] == "2 tasks copied"
    listed = await alice.works("list", "--list", "Plot")
    assert "Peas" in listed
    assert "Weeds" in listed
    undone = await alice.works("revert", "Garden", "--as-of", reverted["undo_as_of"], "--yes")
    assert "To undo this: --as-of 2" in undone
    assert "Weeds" in await alice.works("list", "--list", "Garden")
    assert "--as-of" in (await alice.run("revert", "Garden", "--as-of", "soon", "--yes"))[2]
    assert "as_of" in await alice.fails("copy", "Garden", "--as-of", "2001-01-01")
    known = await alice.works("copy", "Garden", "--as-recorded-at", reverted["undo_as_of"], "--name", "Known")
    assert known.splitlines()[1] == "2 tasks copied"
    same = ("--as-recorded-at", reverted["undo_as_of"], "--dry-run")
    assert await alice.works("revert", "Garden", *same) == "Nothing to revert.\n"
    for verb in ("copy", "revert"):
        assert "Missing option" in await alice.fails(verb, "Garden", status=2)
        both = ("--as-of", "now", "--as-recorded-at", "now")
        assert "not both" in await alice.fails(verb, "Garden", *both, status=2)
