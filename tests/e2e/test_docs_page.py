"""`/docs` in a browser: links to operations and schemas, search, requests."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.integration.stack import Stack

LIMIT_MS = 60_000
"""Drawing it takes seconds of a browser that has a core to itself, and of one that has not, many more."""


@pytest.fixture(scope="module")
def user() -> str:
    return f"user-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
async def page(stack: Stack, browser: Browser, user: str) -> AsyncIterator[Page]:
    """Yield a page whose origin has a user's token; it must meet no error and ask no other server.

    It is one for all tests here, because drawing it takes five seconds of a core. A link has opened it.
    """
    context = await browser.new_context(base_url=stack.urls[0], viewport={"width": 1280, "height": 900})
    token = json.dumps(stack.token(user))
    context.set_default_timeout(LIMIT_MS)
    await context.add_init_script(f'localStorage.setItem("tasktape.token", {token})')
    found, errors, elsewhere = await context.new_page(), list[str](), list[str]()
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on(
        "request",
        lambda asked: None if asked.url.startswith((stack.urls[0], "data:")) else elsewhere.append(asked.url),
    )
    await found.goto("/docs#/notifications/read_all_notifications")
    yield found
    await context.close()
    assert (errors, elsewhere) == ([], [])


def operation(page: Page, name: str) -> Locator:
    return page.locator(f"[id^=operations-][id$=-{name}]")


async def is_open(page: Page, name: str) -> None:
    """Check that an operation is open and in view."""
    button = operation(page, name).get_by_role("button", name="Try it out")
    await expect(button).to_be_visible(timeout=LIMIT_MS)
    await expect(operation(page, name)).to_be_in_viewport()


async def test_links_open_operations_and_scroll_to_them(page: Page) -> None:
    """At once, when the URL changes, and by former names."""
    await is_open(page, "read_all_notifications")
    await page.evaluate("location.hash = '#/lists/create_list'")
    await is_open(page, "create_list")
    await page.goto("/docs?again#edit_list")
    await is_open(page, "edit_list")
    await expect(page).to_have_url(re.compile("#/lists/edit_list$"))


async def test_opened_operation_is_in_the_url(page: Page) -> None:
    """So that it can be sent to somebody."""
    await operation(page, "move_task").locator(".opblock-summary-control").click()
    await expect(page).to_have_url(re.compile("#/tasks/move_task$"))
    await page.get_by_role("button", name="Schemas").click()
    await page.locator("section.models").get_by_role("button", name="Bulk", exact=True).click()
    await expect(page).to_have_url(re.compile("#/schemas/Bulk$"))


async def test_links_open_schemas_with_types_limits_and_values(page: Page) -> None:
    """By their names, after a reload too, which shows that a link opens one at once."""
    await page.evaluate("location.hash = '#/schemas/NewTask'")
    await page.reload()
    schema = page.locator("section.models article[data-json-schema-level='0']").filter(
        has=page.locator("strong.json-schema-2020-12__title", has_text="NewTask")
    )
    await expect(schema).to_be_in_viewport(timeout=LIMIT_MS)
    for text in (
        "[1, 500] characters",
        "≤ 50 items",
        "array<string>",
        "medium",
        "Default",
        "2026-12-01",
    ):
        await expect(schema.get_by_text(text).first).to_be_visible()


async def test_search_finds_operations(page: Page) -> None:
    """By words of their paths, texts and parameters, all of which must match."""
    search, shown = page.get_by_label("Search operations"), page.locator(".opblock")
    for phrase, names in (
        ("hand over", ["hand_over_list"]),
        ("read-all", ["read_all_notifications"]),
        ("DELETE comments", ["delete_comment"]),
        ("relevance time_zone", ["list_tasks"]),
    ):
        await search.fill(phrase)
        await expect(shown).to_have_count(len(names), timeout=LIMIT_MS)
        await expect(operation(page, names[0])).to_be_visible()
    await search.fill("nothing has this")
    await expect(shown).to_have_count(0)
    await search.fill("")


async def test_requests_are_sent_as_the_signed_in_user(page: Page, stack: Stack, user: str) -> None:
    """With the token of the page; the response is shown with its headers."""
    await page.evaluate("location.hash = '#/tasks/create_task'")
    create = operation(page, "create_task")
    await create.get_by_role("button", name="Try it out").click()
    await create.locator("textarea").fill('{"title": "Tried out"}')
    await create.get_by_role("button", name="Execute").click()
    live = create.locator(".live-responses-table")
    await expect(live).to_contain_text("201", timeout=LIMIT_MS)
    await expect(live).to_contain_text("tasktape-position")
    await expect(live).to_contain_text("Tried out")
    async with stack.client(user) as client:
        [task] = (await client.get("/api/tasks")).json()["items"]
        assert (task["title"], task["created_by"]) == ("Tried out", user)


async def test_page_fits_on_a_phone(page: Page) -> None:
    """Nothing is wider than the screen."""
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto("/docs?on=phone#/tasks/list_tasks")
    await is_open(page, "list_tasks")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
