"""Exports of the audit over HTTP: filtered, continued, compressed, and only what the caller may see."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

import httpx
import pyarrow.parquet as pq
import pytest
import zstandard

from api.export.links import Links
from tests.integration.stack import NO_TLS, Stack
from tests.waiting import eventually

JSON_LINES = {"format": "jsonl"}


@dataclass
class Mine:
    """A user with a list whose events are known."""

    stack: Stack
    user: str
    client: httpx.AsyncClient
    list_id: str
    task_ids: list[str]

    @property
    def exports_folder(self) -> Path:
        return Path(gettempdir()) / f"tasktape-exports-{os.getuid()}-t_{self.stack.name}"

    async def lines(self, **params: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.export(**params)).content.splitlines()]

    async def export(self, **params: str) -> httpx.Response:
        answer = await self.client.get("/api/audit/export", params=JSON_LINES | params)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="module")
async def mine(running_stack: Stack) -> AsyncIterator[Mine]:
    user = f"alice-{uuid4().hex[:8]}"
    async with running_stack.client(user) as client:
        made = await client.post("/api/lists", json={"name": "Exported"})
        list_id, task_ids = made.json()["id"], []
        for number in range(6):
            task = await client.post("/api/tasks", json={"title": f"task {number}", "list_id": list_id})
            task_ids.append(task.json()["id"])
            await client.post(f"/api/tasks/{task_ids[-1]}/complete")
        yield Mine(running_stack, user, client, list_id, task_ids)


async def test_json_lines_are_the_events_of_the_audit(mine: Mine) -> None:
    """Without the sentences and the differences of texts, which follow from them."""
    page = await mine.client.get(
        "/api/audit/events", params={"list_id": mine.list_id, "sort": "position", "limit": "200"}
    )
    lines = await mine.lines(list_id=mine.list_id)
    items = page.json()["items"]
    assert lines == [{name: each[name] for name in lines[0]} for each in items]
    assert len(lines) == 13


async def test_export_has_a_name_and_the_positions_it_reaches(mine: Mine) -> None:
    answer = await mine.export(list_id=mine.list_id)
    assert answer.headers["content-disposition"] == 'attachment; filename="tasktape-audit.jsonl"'
    assert answer.headers["content-type"] == "application/jsonl"
    last = {line["position"].split(":")[0]: line["position"] for line in await mine.lines()}
    reached = dict(each.split(":") for each in answer.headers["tasktape-position"].split(","))
    assert all(int(reached[partition]) >= int(at.split(":")[1]) for partition, at in last.items())


async def test_every_format_has_the_same_events(mine: Mine) -> None:
    positions = {line["position"] for line in await mine.lines(list_id=mine.list_id)}
    rows = csv.DictReader(StringIO((await mine.export(format="csv", list_id=mine.list_id)).text, newline=""))
    assert {row["position"] for row in rows} == positions
    table = pq.read_table(BytesIO((await mine.export(format="parquet", list_id=mine.list_id)).content))
    places = zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
    assert {f"{partition}:{offset}" for partition, offset in places} == positions
    log = (await mine.export(format="ocel", list_id=mine.list_id)).json()
    assert {event["id"] for event in log["events"]} == positions
    xes = (await mine.export(format="xes", list_id=mine.list_id)).text
    assert xes.count("<event>") == 12
    assert xes.count("<trace>") == 6


async def test_export_is_continued_after_any_event(mine: Mine) -> None:
    """From the positions of those before, up to the positions where the first one ended."""
    first = await mine.export(list_id=mine.list_id)
    until, lines = first.headers["tasktape-position"], first.content.splitlines()
    ends = dict(each.split(":") for each in until.split(","))
    for count in (0, 1, 7, len(lines)):
        after: dict[str, str] = {}
        for line in lines[:count]:
            partition, offset = json.loads(line)["position"].split(":")
            after |= {each: end for each, end in ends.items() if int(each) < int(partition)} | {
                partition: offset
            }
        positions = ",".join(f"{partition}:{offset}" for partition, offset in after.items())
        rest = await mine.export(list_id=mine.list_id, after=positions, until=until)
        assert rest.content.splitlines() == lines[count:]


async def test_limit_ends_an_export(mine: Mine) -> None:
    lines = await mine.lines(list_id=mine.list_id)
    assert await mine.lines(list_id=mine.list_id, limit="5") == lines[:5]


async def test_later_events_follow_the_positions_of_an_export(mine: Mine) -> None:
    before = (await mine.export(list_id=mine.list_id)).headers["tasktape-position"]
    task = await mine.client.post("/api/tasks", json={"title": "later", "list_id": mine.list_id})
    seen = {"Tasktape-Position": task.headers["tasktape-position"]}
    params = JSON_LINES | {"list_id": mine.list_id, "after": before}
    answer = await mine.client.get("/api/audit/export", params=params, headers=seen)
    assert [json.loads(line)["type"] for line in answer.content.splitlines()] == ["task.created"]
    await mine.client.delete(f"/api/tasks/{task.json()['id']}")


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("identity", None)]
)
async def test_content_is_coded_as_the_client_accepts(mine: Mine, accepted: str, coding: str | None) -> None:
    params = JSON_LINES | {"list_id": mine.list_id}
    answer = await mine.client.get("/api/audit/export", params=params, headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.content.splitlines() == (await mine.export(list_id=mine.list_id)).content.splitlines()


async def test_file_itself_is_compressed_when_asked(mine: Mine) -> None:
    answer = await mine.export(list_id=mine.list_id, compression="zstd")
    assert answer.headers["content-disposition"].endswith('.jsonl.zst"')
    assert "content-encoding" not in answer.headers
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(answer.content)
    assert plain == (await mine.export(list_id=mine.list_id)).content


async def test_head_answers_without_content(mine: Mine) -> None:
    answer = await mine.client.head("/api/audit/export", params=JSON_LINES)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["tasktape-position"]


async def test_nobody_exports_the_events_of_others(mine: Mine) -> None:
    async with mine.stack.client(f"mallory-{uuid4().hex[:8]}") as other:
        for name in ("jsonl", "xes", "ocel"):
            answer = await other.get("/api/audit/export", params={"format": name})
            assert answer.status_code == 200
            assert not any(task_id in answer.text for task_id in mine.task_ids)
        only = await other.get("/api/audit/export", params=JSON_LINES | {"list_id": mine.list_id})
        assert only.content == b""


async def test_export_by_an_auditor_is_recorded(mine: Mine) -> None:
    auditor = f"auditor-{uuid4().hex[:8]}"
    async with mine.stack.client(auditor, admin=True) as client:
        answer = await client.get("/api/audit/export", params=JSON_LINES | {"list_id": mine.list_id})
        assert len(answer.content.splitlines()) >= 13
        found = await client.get("/api/audit/events", params={"stream": f"user:{auditor}"})
    assert [each["data"]["means"] for each in found.json()["items"] if each["type"] == "user.audit_read"][
        -1:
    ] == ["export"]


@pytest.mark.parametrize(
    ("params", "status", "named"),
    [
        ({}, 422, "format"),
        ({"format": "xlsx"}, 422, "format"),
        ({"format": "csv", "after": "7"}, 422, "after"),
        ({"format": "csv", "until": "0:999999999"}, 503, "until"),
        ({"format": "csv", "limit": "0"}, 422, "limit"),
        ({"format": "csv", "compression": "bzip2"}, 422, "compression"),
        ({"format": "csv", "actr": "alice"}, 400, "actor"),
    ],
)
async def test_bad_parameters_are_named(mine: Mine, params: dict[str, str], status: int, named: str) -> None:
    answer = await mine.client.get("/api/audit/export", params=params)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.text


# --- jobs --------------------------------------------------------------------------------------------------


async def done_job(mine: Mine, **params: str) -> dict[str, Any]:
    begun = await mine.client.post("/api/audit/exports", params=JSON_LINES | params)
    assert begun.status_code == 201, begun.text
    found: dict[str, Any] = {}

    async def is_done() -> bool:
        found.update((await mine.client.get(begun.headers["location"])).json())
        return bool(found["state"] == "done")

    await eventually(is_done)
    return found


async def test_job_writes_a_file_that_its_link_gives_to_anybody(mine: Mine) -> None:
    job = await done_job(mine, list_id=mine.list_id)
    assert (job["progress"], job["events"]) == (1.0, len(await mine.lines(list_id=mine.list_id)))
    async with httpx.AsyncClient(base_url=mine.stack.urls[0], verify=NO_TLS) as anybody:
        whole = await anybody.get(job["link"])
        assert whole.content == (await mine.export(list_id=mine.list_id)).content
        part = await anybody.get(job["link"], headers={"Range": "bytes=10-99"})
        assert (part.status_code, part.content) == (206, whole.content[10:100])
        assert (await anybody.get(job["link"][:-4] + "0000")).status_code == 404
    listed = (await mine.client.get("/api/audit/exports")).json()["items"]
    assert [each["id"] for each in listed] == [job["id"]]
    assert (await mine.client.delete(f"/api/audit/exports/{job['id']}")).status_code == 204
    assert (await mine.client.get(f"/api/audit/exports/{job['id']}")).status_code == 404


async def test_expired_link_is_gone(mine: Mine) -> None:
    job = await done_job(mine, format="parquet", list_id=mine.list_id)
    key = next(mine.exports_folder.glob("links.key")).read_bytes()
    expired = Links(key).make(job["id"], datetime(2026, 1, 1, tzinfo=UTC))
    answer = await mine.client.get(expired)
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    await mine.client.delete(f"/api/audit/exports/{job['id']}")


async def test_jobs_of_others_do_not_exist(mine: Mine) -> None:
    job = await done_job(mine, list_id=mine.list_id)
    async with mine.stack.client(f"mallory-{uuid4().hex[:8]}") as other:
        for method in ("GET", "DELETE"):
            assert (await other.request(method, f"/api/audit/exports/{job['id']}")).status_code == 404
    await mine.client.delete(f"/api/audit/exports/{job['id']}")
