"""A real browser and a stack of two nodes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.e2e.screens import Screens
from tests.integration.stack import Stack

ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def stack(running_stack: Stack) -> Stack:
    """Yield one worker and two API nodes."""
    return running_stack


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Yield the system's Chromium, or the one that Playwright brought."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(ARGUMENTS)
        )
        yield browser
        await browser.close()


@pytest.fixture
async def screens(stack: Stack, browser: Browser) -> AsyncIterator[Screens]:
    """Yield screens for a new user, each a browser of its own, and check that none met an error."""
    screens = Screens(stack, browser)
    yield screens
    await screens.close()
