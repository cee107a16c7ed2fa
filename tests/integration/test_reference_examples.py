"""Examples of the reference, run in a shell one after the other, as a reader does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from uuid import uuid4

import pytest

from tasktape.export_file import Begun, begin, partial_of
from tasktape_client import Client
from tests.integration.documents import ROOT, Reader, blocks
from tests.integration.stack import Stack

LISTS, TASKS = "docs/reference/lists.md", "docs/reference/tasks.md"


@pytest.fixture
def reader(running_stack: Stack, tmp_path: Path) -> Reader:
    return Reader(running_stack, tmp_path)


async def test_examples_of_lists_work_in_order(reader: Reader) -> None:
    assert "hand-over" in await reader.follow(*blocks(LISTS))


async def test_examples_of_tasks_and_reminders_work_after_those_of_lists(reader: Reader) -> None:
    begin = blocks(LISTS)[0]
    await reader.follow(begin, *blocks(TASKS), *blocks("docs/reference/reminders.md"))


async def test_examples_of_notifications_mark_one_read(running_stack: Stack, reader: Reader) -> None:
    """One that another user caused."""
    async with running_stack.client(f"bob-{uuid4().hex[:8]}") as bob:
        shared = (await bob.post("/api/lists", json={"name": "Shared"})).json()["id"]
        await bob.put(f"/api/lists/{shared}/members/{reader.user}", json={"role": "editor"})
        task = (await bob.post("/api/tasks", json={"title": "A", "list_id": shared})).json()["id"]
        await bob.post(f"/api/tasks/{task}/comments", json={"text": f"@{reader.user}, look"})
        begin = blocks(LISTS)[0]
        printed = await reader.follow(begin, *blocks("docs/reference/notifications.md"))
    assert '"kind":"mentioned"' in printed


async def test_examples_of_recurring_tasks_create_them(reader: Reader) -> None:
    printed = await reader.follow(*blocks("docs/reference/recurrence.md"), "tasktape list")
    listed = printed.rpartition("+ tasktape list")[2]
    assert all(title in listed for title in ("Water the plants", "Stand-up", "Cut the hedge"))


async def test_examples_of_statistics_return_days(reader: Reader) -> None:
    assert '"group_by":"assignee"' in await reader.follow(*blocks("docs/reference/statistics.md"))


async def begun_by(reader: Reader) -> Begun:
    """Return what the export of the page is begun with."""
    async with Client(reader.environment["TASKTAPE_URL"], reader.environment["TASKTAPE_TOKEN"]) as client:
        [list_id] = [each.id async for each in client.lists() if each.name == "Incidents"]
        params = [("list_id", list_id)]
        async with client.export("jsonl", params) as export:
            return Begun("jsonl", params, "", export.until)


def interrupt(path: Path, begun: Begun) -> None:
    """Leave an export as if its program had been killed after 300 bytes."""
    begin(path, begun)
    partial_of(path).write_text(path.read_text()[:300])
    path.unlink()


async def test_audit_is_exported_and_copied_as_documented(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    export, resume, copy = blocks("docs/how-to/export.md")
    await reader.follow("tasktape import docs/examples/incidents.xes --list Incidents", export)
    exported = (tmp_path / "incidents.jsonl").read_text()
    assert exported.count('"task.created"') == 2
    interrupt(tmp_path / "incidents.jsonl", await begun_by(reader))
    await reader.follow(resume, copy)
    assert (tmp_path / "incidents.jsonl").read_text() == exported
    monkeypatch.chdir(tmp_path)
    exec(blocks("docs/how-to/export.md", language="python")[0])
    assert re.search(r"task.created +2\n", capsys.readouterr().out)


async def test_example_of_the_event_stream_begins_with_the_user(reader: Reader) -> None:
    line = blocks("docs/reference/sse.md")[0]
    until = f"{{ {line.strip()} || true; }} | grep --line-buffered -m 1 {shlex.quote(reader.user)}"
    assert '"type":"authenticated"' in await reader.follow(
        "set +o pipefail", f"timeout 60 bash -c {shlex.quote(until)}"
    )


def test_every_page_with_shell_examples_is_tested() -> None:
    """CONTRIBUTING.md shows only the command that runs the tests."""
    pages = {
        path
        for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
        if re.search(r"^ *```sh\n", path.read_text(), re.MULTILINE)
    }
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("**/test_*.py"))
    assert len(pages) > 10
    unread = {path.name for path in pages if not re.search(rf'["/]{re.escape(path.name)}"', tests)}
    assert unread == set()
