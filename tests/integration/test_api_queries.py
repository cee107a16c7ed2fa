"""Reads: pages of lists, versions, and positions of pages."""

from __future__ import annotations

from uuid import uuid4

from tests.integration.stack import Stack


async def test_positions_of_a_page_cover_its_tasks(running_stack: Stack) -> None:
    """All their events, in the body and in the header."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        positions = []
        for number in range(10):
            answer = await client.post("/api/tasks", json={"title": f"T{number}"})
            positions.append(answer.headers["tasktape-position"])
        page = await client.get("/api/tasks")
        assert len(page.json()["items"]) == 10
        reached = page.json()["positions"]
        for position in positions:
            partition, _, offset = position.partition(":")
            assert reached[partition] >= int(offset)
        header = ",".join(f"{partition}:{offset}" for partition, offset in sorted(reached.items()))
        assert page.headers["tasktape-position"] == header


async def test_lists_are_paged(running_stack: Stack) -> None:
    """Oldest first, each once."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        names = [f"List {number}" for number in range(9)]
        for name in names:
            await client.post("/api/lists", json={"name": name})
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get("/api/lists", params={"limit": 4, **cursor})).json()
            found += [each["name"] for each in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == ["Inbox", *names]


async def test_known_version_is_304(running_stack: Stack) -> None:
    """With If-None-Match."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
        tag = (await client.get(path)).headers["etag"]
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
        assert (await client.get(path, headers={"If-None-Match": '"9"'})).status_code == 200
        head = await client.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
