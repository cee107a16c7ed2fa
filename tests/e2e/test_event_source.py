"""A browser's own `EventSource`."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
from playwright.async_api import Browser

from tests.integration.stack import Stack
from tests.ports import free_port
from tests.waiting import eventually

RECONNECT_LIMIT_S = 60.0
FOLLOW = """
token => {
  window.versions = [];
  window.goodbyes = [];
  const source = new EventSource(`/api/stream?since=&access_token=${encodeURIComponent(token)}`);
  source.addEventListener("update", (event) => {
    const { task } = JSON.parse(event.data);
    if (task) window.versions.push(task.version);
  });
  source.addEventListener("goodbye", (event) => window.goodbyes.push(JSON.parse(event.data).code));
}
"""


async def test_browser_reconnects_and_misses_nothing(stack: Stack, browser: Browser) -> None:
    """Its node restarts during edits: each is seen, once, in order."""
    user, port = f"user-{uuid4().hex[:8]}", free_port()
    part = await asyncio.to_thread(stack.start_api, port)
    url = stack.urls.pop()
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{url}/healthz")
    await page.evaluate(FOLLOW, stack.token(user))

    async def seen() -> list[int]:
        versions: list[int] = await page.evaluate("window.versions")
        return versions

    async def sees(count: int) -> bool:
        return len(await seen()) >= count

    async with stack.client(user) as client:
        task = (await client.post("/api/tasks", json={"title": "title 1"})).json()
        await _edit(client, task["id"], range(2, 6))
        await eventually(lambda: sees(5))
        stopping = asyncio.create_task(asyncio.to_thread(part.stop))
        await _edit(client, task["id"], range(6, 20))
        await stopping
        # A browser that comes back while the node still serves what is connected is sent away again.
        await eventually(lambda: page.evaluate("window.goodbyes.length > 0"))
        assert set(await page.evaluate("window.goodbyes")) == {4001}
        again = await asyncio.to_thread(stack.start_api, port)
        stack.urls.pop()
        await _edit(client, task["id"], range(20, 31))
        await eventually(lambda: sees(30), RECONNECT_LIMIT_S)
    assert await seen() == list(range(1, 31))
    await context.close()
    await asyncio.to_thread(again.stop)


async def _edit(client: httpx.AsyncClient, task_id: str, numbers: range) -> None:
    for number in numbers:
        answer = await client.patch(f"/api/tasks/{task_id}", json={"title": f"title {number}"})
        assert answer.status_code == 200
