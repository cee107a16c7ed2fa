"""Notifications in the page: the count and the list behind it."""

from __future__ import annotations

from uuid import uuid4

import httpx
from playwright.async_api import expect

from tests.e2e.screens import Screens


async def shared_list(client: httpx.AsyncClient, user: str) -> str:
    """Return a list of the client's that `user` may edit."""
    list_id: str = (await client.post("/api/lists", json={"name": "Home"})).json()["id"]
    answer = await client.put(f"/api/lists/{list_id}/members/{user}", json={"role": "editor"})
    assert answer.status_code == 200
    return list_id


async def test_notification_arrives_at_once_and_is_read_on_all_devices(screens: Screens) -> None:
    """Shared, assigned, mentioned: each links to its subject."""
    async with screens.stack.client(f"bob {uuid4().hex[:6]}") as bob:
        one, other = await screens.open(0), await screens.open(1)
        list_id = await shared_list(bob, screens.user)
        body = {"title": "Buy milk", "list_id": list_id, "assignees": [screens.user]}
        task = (await bob.post("/api/tasks", json=body)).json()
        await bob.post(f"/api/tasks/{task['id']}/comments", json={"text": f"@{screens.user} oat?"})
    for screen in (one, other):
        await expect(screen.page.get_by_role("button", name="Notifications, 3 unread")).to_be_visible()
    await one.page.get_by_role("button", name="Notifications").click()
    panel = one.page.get_by_role("dialog", name="Notifications")
    rows = panel.get_by_role("listitem")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("mentioned you in “Buy milk”")
    await expect(rows.nth(0)).to_contain_text("oat?")
    await expect(rows.nth(1)).to_contain_text("assigned you “Buy milk”")
    await expect(rows.nth(2)).to_contain_text("shared “Home” with you")
    await rows.nth(0).get_by_role("button").click()
    await expect(one.page.get_by_label("Title", exact=True)).to_have_value("Buy milk")
    await expect(one.page.get_by_role("heading", name="Home")).to_be_visible()
    await expect(panel).to_be_hidden()
    await expect(other.page.get_by_role("button", name="Notifications, 2 unread")).to_be_visible()
    await other.page.get_by_role("button", name="Notifications").click()
    await other.page.get_by_role("button", name="Mark all read").click()
    for screen in (one, other):
        await expect(screen.page.get_by_role("button", name="Notifications", exact=True)).to_be_visible()
    await expect(other.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(3)


async def test_count_is_shown_from_the_start(screens: Screens) -> None:
    """Including earlier notifications."""
    async with screens.stack.client(screens.user) as client:
        await client.get("/api/me")
    async with screens.stack.client(f"bob {uuid4().hex[:6]}") as bob:
        await shared_list(bob, screens.user)
    screen = await screens.open(0)
    await expect(screen.page.get_by_role("button", name="Notifications, 1 unread")).to_be_visible()
