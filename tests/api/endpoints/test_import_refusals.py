"""Imports that are refused as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.endpoints.test_import_lists import through
from tests.api.importer import Importer, headless, importing, task_with_events
from tests.spec import LIST_ID


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"tasks": []}, 422, "list"),
        ({"list": {"id": "x"}}, 422, "list"),
        ({"list": {"name": ""}}, 422, "list"),
        ({"list": {"name": "log", "id": LIST_ID}}, 422, "list"),
        ({"list": {"name": "log"}, "tasks": [{"key": "A", "events": []}]}, 422, "tasks.0.events"),
        ({"list": {"name": "log"}, "tasks": [task_with_events("A"), {"key": "B"}]}, 422, "tasks.1.events"),
        ({"list": {"name": "log"}, "tasks": [{**task_with_events("A"), "id": LIST_ID}]}, 422, "tasks.0.id"),
        ({"list": {"name": "log"}, "tasks": [headless("A")]}, 422, "tasks.0.events"),
        ({"list": {"name": "log"}, "more": 1}, 422, "more"),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"", 400, None),
        (b"[" * 10_000, 400, None),
        (b" " * 30_000, 413, None),
    ],
)  # fmt: skip
async def test_invalid_task_refuses_the_request(
    importer: Importer, body: Any, status: int, field: str | None
) -> None:
    """Problems name the field and the task's index; nothing of the request is written."""
    await importer.done([])
    size = importer.size
    answer = await importer.post(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert answer.json()["errors"][0]["field"].startswith(field)
    assert importer.size == size


async def test_import_requires_authentication_and_json(importer: Importer) -> None:
    assert (await importer.http.post("/api/import", json={})).status_code == 401
    other = await importer.post(b"<log/>", Content_Type="application/xml")
    assert other.status_code == 415


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", 1_336_222_467),
        ("time", "1336222467"),
        ("time", "2026-01-01T00:00:00"),
        ("time", "2026-W01-1T00:00:00Z"),
        ("time", "2026-01-01x00:00:00Z"),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("actor", "a\u0000"),
        ("actor", "\x1b[31m"),
        ("actor", ".."),
        ("actor", 7),
        ("type", True),
    ],
)
async def test_lax_values_are_refused(field: str, value: Any) -> None:
    """Numbers are no times, and actors must be valid user names."""
    async with importing() as importer:
        task = through("a")
        task["events"][0][field] = value
        answer = await importer.post({"list": {"name": "log"}, "tasks": [task]})
        assert answer.status_code == 422, answer.text
        assert not any(each.stream.startswith("task:") for each in importer.world.accepted_records)


@pytest.mark.parametrize(
    "body",
    [
        b'{"list":{"name":"a"},"list":{"name":"b"}}',
        b'{"list":{"name":"a"},"tasks":[NaN]}',
        b'{"list":{"name":"\xff"}}',
        b'{"list":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
async def test_ambiguous_json_is_refused(body: bytes) -> None:
    """As in other bodies."""
    async with importing() as importer:
        assert (await importer.post(body)).status_code == 400
