"""Search box: finds tasks of all lists, marks matches and errors, and stays up to date."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.e2e.screens import Screens


async def test_words_and_conditions_find_tasks_of_all_lists(screens: Screens) -> None:
    """Matches are marked; the slash key focuses the box, an arrow the results, Escape returns."""
    async with screens.stack.client(screens.user) as client:
        home = (await client.post("/api/lists", json={"name": "Home"})).json()["id"]
        task = {
            "title": "Call Ana",
            "notes": "some <b>salad</b>",
            "list_id": home,
            "tags": ["phone"],
        }
        await client.post("/api/tasks", json=task)
        await client.post("/api/tasks", json={"title": "Salad for two"})
        await client.post("/api/tasks", json={"title": "Buy milk"})
    screen = await screens.open(0)
    await screen.page.keyboard.press("/")
    await screen.page.keyboard.type("sal* is:open")
    results = screen.page.get_by_role("list", name="Tasks found")
    await expect(results.get_by_role("listitem")).to_have_count(2)
    found = results.get_by_role("listitem").filter(has_text="Home")
    await expect(found).to_contain_text("some <b>salad</b>")
    await expect(found.locator("mark")).to_have_text("salad")
    await screen.page.get_by_label("Search").fill("sal* #phone")
    await expect(results.get_by_role("listitem")).to_have_count(1)
    await screen.page.keyboard.press("ArrowDown")
    await screen.page.keyboard.press("Enter")
    await expect(screen.page.get_by_label("Title", exact=True)).to_have_value("Call Ana")
    await screen.page.keyboard.press("Escape")
    await screen.page.get_by_label("Search").press("Escape")
    await expect(screen.page.get_by_role("heading", name="Inbox")).to_be_visible()


async def test_results_change_with_updates(screens: Screens) -> None:
    """Tasks that match appear, those that no longer match disappear."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await expect(other.row("Buy milk")).to_be_visible()
    await other.page.get_by_label("Search").fill("buy is:open")
    results = other.page.get_by_role("list", name="Tasks found").get_by_role("listitem")
    await expect(results).to_have_count(1)
    await one.add("Buy bread")
    await expect(results).to_have_count(2)
    await one.check("Buy milk").click()
    await expect(results).to_have_count(1)
    await expect(results).to_contain_text("Buy bread")


async def test_more_results_are_loaded_page_by_page(screens: Screens) -> None:
    """With words and without; loaded ones stay when something changes."""
    async with screens.stack.client(screens.user) as client:
        commands = [{"command": "create", "body": {"title": f"Task {number}"}} for number in range(60)]
        await client.post("/api/bulk", json={"commands": commands})
    screen = await screens.open(0)
    results = screen.page.get_by_role("list", name="Tasks found").get_by_role("listitem")
    for text in ("task", "is:open"):
        await screen.page.get_by_label("Search").fill(text)
        await expect(results).to_have_count(50)
        await screen.page.locator("#more-results").click()
        await expect(results).to_have_count(60)
    async with screens.stack.client(screens.user) as client:
        await client.post("/api/tasks", json={"title": "One more"})
    await expect(results).to_have_count(61)


async def test_search_errors_are_marked(screens: Screens) -> None:
    """With the alternatives; the mark goes away with the mistake."""
    screen = await screens.open(0)
    await screen.page.get_by_label("Search").fill("👍 is:opne")
    error = screen.page.get_by_role("search").get_by_role("alert")
    await expect(error).to_contain_text("is: takes open, done")
    await expect(error.locator("mark")).to_have_text("opne")
    await screen.page.get_by_label("Search").fill("is:open")
    await expect(error).to_be_hidden()


@pytest.mark.parametrize("zone", ["Etc/Unknown", "Mars/Olympus", None])
async def test_search_works_in_an_unknown_zone(screens: Screens, zone: str | None) -> None:
    """Its days are those of UTC then."""
    screen = await screens.open(0)
    await screen.add("Buy milk")
    await expect(screen.row("Buy milk")).to_be_visible()
    await screen.page.add_init_script(
        "const known = Intl.DateTimeFormat.prototype.resolvedOptions;"
        "Intl.DateTimeFormat.prototype.resolvedOptions = function () {"
        f"  return {{ ...known.call(this), timeZone: {'undefined' if zone is None else repr(zone)} }};"
        "};"
    )
    await screen.page.reload()
    await screen.page.get_by_label("Search").fill("milk")
    found = screen.page.get_by_role("list", name="Tasks found").get_by_role("listitem")
    await expect(found).to_have_count(1)
