"""The five scenarios of a shared, real-time list: actions of one user show for the other at once.

`Pair.close` checks that no page was loaded again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.screens import Screen, Screens

NARROW = {"width": 390, "height": 780}
MEDIUM = {"width": 820, "height": 1180}


class Pair:
    """Two users of a shared list, each at a browser and on a node of their own."""

    def __init__(self, screens: Screens, name: str, other_user: str) -> None:
        self.screens = screens
        self.name = name
        self.other_user = other_user
        self.list_id = ""
        self.everyone: list[Screen] = []

    async def open(self) -> None:
        """Share a list and open it in two browsers."""
        stack, user = self.screens.stack, self.screens.user
        async with stack.client(user) as client:
            self.list_id = (await client.post("/api/lists", json={"name": self.name})).json()["id"]
            path = f"/api/lists/{self.list_id}/members/{self.other_user}"
            assert (await client.put(path, json={"role": "editor"})).status_code == 200
        self.ann = await self.join(user, 0)
        self.bob = await self.join(self.other_user, 1)

    async def join(self, user: str, node: int, **context: object) -> Screen:
        """Open the list in another browser."""
        screen = await self.screens.open(node, user=user, **context)
        await screen.choose(self.name)
        await screen.page.evaluate("window.notReloaded = true")
        self.everyone.append(screen)
        return screen

    async def close(self) -> None:
        """Check that no page was loaded again."""
        for screen in self.everyone:
            assert await screen.page.evaluate("window.notReloaded")


@pytest.fixture
async def pair(screens: Screens) -> AsyncIterator[Pair]:
    """Yield Ann and Bob, and the list that they share."""
    pair = Pair(screens, f"Home {uuid4().hex[:6]}", f"bob {uuid4().hex[:6]}")
    await pair.open()
    yield pair
    await pair.close()


async def test_1_created_task_shows_for_the_other_user(pair: Pair) -> None:
    """And both are shown as live."""
    await pair.ann.add("Buy milk")
    await expect(pair.bob.row("Buy milk")).to_be_visible()
    await pair.bob.add("Buy bread")
    await expect(pair.ann.row("Buy bread")).to_be_visible()
    for screen in pair.everyone:
        await screen.live()
        await expect(screen.page.locator(".row")).to_have_count(2)


async def test_2_completed_task_is_done_for_the_other_user(pair: Pair) -> None:
    """And open again for both when the other reopens it."""
    await pair.ann.add("Buy milk")
    await pair.bob.check("Buy milk").click()
    for screen in pair.everyone:
        await expect(screen.check("Buy milk")).to_be_checked()
        await expect(screen.row("Buy milk")).to_have_class(re.compile(r"\bdone\b"))
    await pair.ann.check("Buy milk").click()
    await expect(pair.bob.check("Buy milk")).not_to_be_checked()


async def test_2_completed_recurring_task_recurs_for_both_users(pair: Pair) -> None:
    """Both see it done, and its next occurrence a week later."""
    await pair.ann.add("Water the plants")
    await pair.ann.open("Water the plants")
    await pair.ann.page.get_by_label("Due").fill("2030-01-31")
    await pair.ann.page.get_by_label("Repeats").select_option("Weekly")
    await pair.ann.page.get_by_role("button", name="Save").click()
    await expect(pair.bob.row("Water the plants")).to_contain_text("Weekly")
    await pair.bob.check("Water the plants").click()
    for screen in pair.everyone:
        rows = screen.row("Water the plants")
        await expect(rows).to_have_count(2)
        await expect(rows.filter(has=screen.page.get_by_role("checkbox", checked=False))).to_contain_text(
            "Feb 7"
        )
        await expect(rows.filter(has=screen.page.get_by_role("checkbox", checked=True))).to_contain_text(
            "Jan 31"
        )


async def test_3_edited_title_changes_for_the_other_user(pair: Pair) -> None:
    """In the list, and in the open details."""
    await pair.ann.add("Buy milk")
    await pair.bob.open("Buy milk")
    await pair.ann.open("Buy milk")
    await pair.ann.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await pair.ann.page.get_by_role("button", name="Save").click()
    for screen in pair.everyone:
        await expect(screen.row("Buy oat milk")).to_be_visible()
        await expect(screen.row("Buy milk")).to_have_count(0)
    await expect(pair.bob.page.get_by_label("Title", exact=True)).to_have_value("Buy oat milk")


async def test_4_deleted_task_disappears_for_the_other_user(pair: Pair) -> None:
    """And nothing else does."""
    await pair.ann.add("Buy milk")
    await pair.ann.add("Buy bread")
    await expect(pair.bob.row("Buy bread")).to_be_visible()
    await pair.bob.page.get_by_role("button", name="Delete Buy milk").click()
    for screen in pair.everyone:
        await expect(screen.row("Buy milk")).to_have_count(0)
        await expect(screen.row("Buy bread")).to_be_visible()


async def test_5_changes_show_on_all_devices_of_both_users(pair: Pair) -> None:
    """A laptop, a phone and a tablet of Ann's, and Bob's browser."""
    user = pair.screens.user
    await pair.join(user, 1, viewport=NARROW, has_touch=True)
    await pair.join(user, 0, viewport=MEDIUM, has_touch=True)
    await pair.ann.add("Call Ana")
    for screen in pair.everyone:
        await expect(screen.row("Call Ana")).to_be_visible()
    await pair.ann.open("Call Ana")
    await pair.ann.page.get_by_label("Title", exact=True).fill("Call Ana's mother")
    await pair.ann.page.get_by_role("button", name="Save").click()
    await pair.ann.check("Call Ana's mother").click()
    for screen in pair.everyone:
        await expect(screen.row("Call Ana's mother")).to_have_class(re.compile(r"\bdone\b"))


async def test_restart_of_a_node_shows_in_the_badge_and_nothing_is_missed(pair: Pair) -> None:
    """Bob's page reconnects by itself, and shows Ann's changes on the other node."""
    stack = pair.screens.stack
    await pair.ann.add("before")
    await expect(pair.bob.row("before")).to_be_visible()
    port = int(stack.urls[1].rpartition(":")[2])
    [part] = [part for part in stack.parts if part.name == f"api-{port}" and part.process.poll() is None]
    part.kill()
    await expect(pair.bob.page.locator("#badge-text")).to_have_text("Offline")
    await pair.ann.check("before").click()
    await pair.ann.add("meanwhile")
    await expect(pair.ann.row("meanwhile")).to_be_visible()
    stack.start_api(port)
    await pair.bob.live()
    await expect(pair.bob.row("meanwhile")).to_be_visible()
    await expect(pair.bob.check("before")).to_be_checked()
    await pair.bob.add("after")
    await expect(pair.ann.row("after")).to_be_visible()
