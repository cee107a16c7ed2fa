"""How-to pages that need a running instance of their own, followed as written."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from api.protocol.client_messages import Control, Subscribe
from tests.integration.documents import ROOT, Reader, blocks
from tests.integration.stack import Stack
from tests.integration.test_api_dead_letters import letters, put
from tests.waiting import eventually

TIME_TRAVEL = "docs/how-to/time-travel.md"
DEAD_LETTERS, IMPORT = "docs/how-to/dead-letters.md", "docs/how-to/import.md"
REPLAY = "docs/how-to/replay.md"
CLIENT_MESSAGE: TypeAdapter[Subscribe | Control] = TypeAdapter(Subscribe | Control)


@pytest.fixture
def reader(running_stack: Stack, tmp_path: Path) -> Reader:
    """Return an operator in a folder with the documents, as in a checkout."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return Reader(running_stack, tmp_path, admin=True)


async def test_dead_letters_are_listed_retried_and_skipped_as_documented(
    running_stack: Stack, reader: Reader
) -> None:
    """Junk stays parked after a retry, and is gone after a skip."""
    listing, retry, skip = blocks(DEAD_LETTERS)
    async with running_stack.client(f"user-{uuid4().hex[:8]}", admin=True) as admin:
        task = (await admin.post("/api/tasks", json={"title": "Held"})).json()["id"]
        position = await put(running_stack, f"task:{task}".encode(), b"junk")

        async def attempts() -> int:
            return int((await letters(admin)).get(position, {"attempts": 0})["attempts"])

        async def tried(times: int) -> bool:
            return await attempts() == times

        await eventually(lambda: tried(1))
        [line] = [each for each in (await reader.follow(listing)).splitlines() if task in each]
        assert position in line
        await reader.follow(retry.replace("0:90", position))
        await eventually(lambda: tried(2))
        await reader.follow(skip.replace("0:90", position))
        await eventually(lambda: tried(0))
        assert (await admin.patch(f"/api/tasks/{task}", json={"title": "Free"})).status_code == 200


async def test_statistics_are_shown_as_documented(running_stack: Stack, tmp_path: Path) -> None:
    """In the terminal, as data, and live in Python."""
    reader, page = Reader(running_stack, tmp_path), "docs/how-to/dashboards.md"
    create, terminal, progress, times = blocks(page)
    await reader.follow(create)
    assert "forecast" in await reader.follow(terminal)
    assert ",1,0" in await reader.follow(progress) or ",0,1" in await reader.follow(progress)
    assert "'p85': None" in await reader.follow(times)
    [program] = blocks(page, language="python")
    (tmp_path / "dashboard.py").write_text(program)
    run = f"{sys.executable} dashboard.py $TASKTAPE_URL $TASKTAPE_TOKEN Website"
    assert "1 open, 0 overdue, 1 done today" in await reader.follow(run)


async def test_past_is_shown_as_documented(reader: Reader) -> None:
    """The bread, before it was bought; history before it was imported."""
    printed = await reader.follow(*blocks(TIME_TRAVEL))
    assert re.search(r"^\[ \] .* Buy bread$", printed, re.MULTILINE)
    assert re.search(r"^\+ \[ \] .* Buy milk$", printed, re.MULTILINE)
    assert re.search(r"^~ \[x\] .* Buy bread$", printed, re.MULTILINE)
    assert printed.count("No tasks.") == 1


async def test_event_log_is_imported_as_documented(reader: Reader) -> None:
    example, _ = blocks(IMPORT)
    assert "2 tasks with 4 events" in await reader.follow(example)


async def test_missing_stages_are_added_as_documented(reader: Reader) -> None:
    """With the gzipped example as the file of the page."""
    _, add_stages = blocks(IMPORT)
    incidents = (ROOT / "docs" / "examples" / "incidents.xes").read_bytes()
    (reader.folder / "incidents.xes.gz").write_bytes(gzip.compress(incidents))
    await reader.follow("tasktape lists create Incidents --stage Ideas --stage Live:done")
    printed = await reader.follow(add_stages)
    assert "stages added to the list: Accepted/In Progress, " in printed


async def test_histories_of_the_page_are_imported(running_stack: Stack) -> None:
    [body] = blocks(IMPORT, "From a program", "json")
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        answer = await client.post("/api/import", json=json.loads(body))
        assert answer.status_code == 200, answer.text
        listed = answer.json()["list"]["id"] if "list" in answer.json() else answer.json()["list_id"]
        positions = ",".join(f"{part}:{at}" for part, at in answer.json()["positions"].items())
        tasks = await client.get(
            "/api/tasks", params={"list_id": listed}, headers={"Tasktape-Position": positions}
        )
    [task] = tasks.json()["items"]
    assert (task["title"], task["status"]) == ("1-364285768", "done")
    assert re.match("2012-05-06", task["updated_at"])


async def test_list_is_replayed_as_documented(running_stack: Stack, reader: Reader) -> None:
    """As lines, as JSON, as an event stream, and into another topic."""
    topic = f"incidents-again-{uuid4().hex[:8]}"
    importing, lines, as_json, stream, copying = blocks(REPLAY)
    reader.environment |= {
        name: value
        for name, value in running_stack.environment.items()
        if name.startswith(("KAFKA_", "DATABASE_", "TASKTAPE_EVENTS", "TASKTAPE_UPDATES", "TASKTAPE_SIGNALS"))
    }
    await reader.follow(importing)
    assert "task.completed" in await reader.follow(lines)
    assert '"type": "task.completed"' in await reader.follow(as_json)
    assert "id: end" in await reader.follow(stream)
    assert f"records to {topic}" in await reader.follow(copying.replace("incidents-again", topic))
    subscribe, control = (
        CLIENT_MESSAGE.validate_python(json.loads(each)) for each in blocks(REPLAY, "Over a socket", "json")
    )
    assert (subscribe.type, control.type) == ("subscribe", "control")
