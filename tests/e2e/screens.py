"""Screens: browsers that are signed in, and the actions of a person there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.integration.stack import Stack

LIMIT_MS = 30_000
expect.set_options(timeout=LIMIT_MS)
PAGES = Path(__file__).parents[2] / "api" / "pages"
[SHOWN_MS] = re.findall(r"const TOAST_MS = (\w+);", (PAGES / "dom.js").read_text())
KEEP_MESSAGES = f"""
const real = window.setTimeout;
window.setTimeout = (run, ms, ...rest) => real(run, ms === {SHOWN_MS} ? {LIMIT_MS} : ms, ...rest);
"""
"""Messages disappear after seconds, in which a busy machine may not even draw what a test clicks next."""


class Screen:
    """One browser with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def alert(self) -> Locator:
        """The message of an error."""
        return self.page.get_by_role("alert")

    async def live(self) -> None:
        """Wait until the badge shows that updates arrive."""
        await expect(self.page.locator("#badge-text")).to_have_text("Live")
        await expect(self.page.locator("#status-text")).to_have_text("Real-time updates enabled")

    async def add(self, title: str) -> None:
        """Add a task."""
        await self.page.get_by_label("Title of a new task").fill(title)
        await self.page.get_by_role("button", name="Add", exact=True).click()

    def row(self, title: str) -> Locator:
        """Return the row of a confirmed task."""
        return self.page.locator(".row:not(.draft)").filter(
            has=self.page.get_by_role("button", name=title, exact=True)
        )

    async def done(self, what: str) -> Locator:
        """Wait for the message of a finished action and return it; from then on it can be undone."""
        message = self.page.get_by_role("status").filter(has_text=what)
        await expect(message).to_be_visible()
        return message

    async def open(self, title: str) -> None:
        """Open a task's details."""
        await self.page.get_by_role("button", name=title, exact=True).click()
        await expect(self.page.get_by_role("complementary", name="Task")).to_be_visible()

    async def choose(self, name: str) -> None:
        """Show another list."""
        await self.page.get_by_role("navigation").get_by_role("button", name=name, exact=True).click()
        await expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def check(self, title: str) -> Locator:
        """Return the checkbox of a task."""
        return self.page.get_by_role("checkbox", name=f"Done: {title}", exact=True)

    async def titles(self) -> list[str]:
        """Return the titles of all shown tasks."""
        return await self.page.locator(".row .title").all_inner_texts()


class Screens:
    """The screens of one user, each in a browser context of its own, spread over the nodes."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.user = f"ann {uuid4().hex[:6]}"
        self.stack = stack
        self.errors: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def open(self, node: int = 0, *, user: str | None = None, **context: Any) -> Screen:
        """Open the sign-in link, of another user if one is named, and wait until it is live."""
        token = self.stack.token(user or self.user)
        screen = await self.visit(f"{self.stack.urls[node]}/#token={token}", **context)
        await screen.live()
        return screen

    async def visit(self, url: str, **context: Any) -> Screen:
        """Open a URL."""
        # An animation without an end keeps a core busy on each screen that is open.
        opened = await self._browser.new_context(reduced_motion="reduce", **context)
        opened.set_default_timeout(LIMIT_MS)
        self._contexts.append(opened)
        page = await opened.new_page()
        await page.add_init_script(KEEP_MESSAGES)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await page.goto(url)
        return Screen(page)

    async def close(self) -> None:
        """Close all screens."""
        for context in self._contexts:
            await context.close()
        assert self.errors == []
