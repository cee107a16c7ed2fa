"""Activity panel in real browsers: actions on one screen show on the other, as one line that grows."""

from __future__ import annotations

from playwright.async_api import Locator, expect

from tests.e2e.screens import Screen, Screens


async def show_activity(screen: Screen) -> Locator:
    """Open the panel."""
    await screen.page.get_by_role("button", name="Activity").click()
    panel = screen.page.get_by_role("complementary", name="Activity")
    await expect(panel).to_be_visible()
    return panel


async def test_activity_shows_on_the_other_screen_as_one_line(screens: Screens) -> None:
    """Two tasks are completed on one screen; the other panel shows it live, and the same after a reload."""
    one, other = await screens.open(0), await screens.open(1)
    panel = await show_activity(other)
    await expect(panel.get_by_text("Nothing happened here yet.")).to_be_visible()
    for title in ("Buy milk", "Buy bread"):
        await one.add(title)
        await expect(other.row(title)).to_be_visible()
    lines = panel.locator(".activity-line")
    await expect(lines.nth(0)).to_contain_text(f"{screens.user} created 2 tasks")
    await one.page.get_by_role("checkbox", name="Done: Buy milk").click()
    await expect(lines.nth(0)).to_contain_text(f"{screens.user} completed “Buy milk”")
    await one.page.get_by_role("checkbox", name="Done: Buy bread").click()
    await expect(lines.nth(0)).to_contain_text(f"{screens.user} completed 2 tasks")
    await expect(lines.nth(0).get_by_role("time")).to_be_visible()
    await lines.nth(0).get_by_text("Show which").click()
    await expect(lines.nth(0).get_by_role("listitem")).to_have_text(["Buy bread", "Buy milk"])
    live = await lines.locator("div > :first-child").all_inner_texts()
    assert live == [f"{screens.user} completed 2 tasks", f"{screens.user} created 2 tasks"]
    await other.page.reload()
    await other.live()
    lines = (await show_activity(other)).locator(".activity-line")
    await expect(lines).to_have_count(2)
    assert await lines.locator("div > :first-child").all_inner_texts() == live


async def test_deleted_task_is_shown_by_its_title(screens: Screens) -> None:
    """Though its update has no task any more."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    panel = await show_activity(other)
    await expect(panel.get_by_text("created “Buy milk”")).to_be_visible()
    await one.page.get_by_role("button", name="Delete Buy milk").click()
    await expect(panel.get_by_text(f"{screens.user} deleted “Buy milk”")).to_be_visible()


async def test_each_list_has_its_own_activity(screens: Screens) -> None:
    """The feed of all lists names the list on each line."""
    screen = await screens.open(0)
    await screen.add("Buy milk")
    panel = await show_activity(screen)
    await expect(panel.get_by_text("created “Buy milk”")).to_be_visible()
    await screen.page.get_by_label("Name of a new list").fill("Garden")
    await screen.page.get_by_role("button", name="Create the list").click()
    lines = panel.locator(".activity-line")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text(f"{screens.user} created the list “Garden”")
    await panel.get_by_label("All lists").check()
    await expect(lines).to_have_count(2)
    await expect(lines.nth(1)).to_contain_text("Inbox")
    await screen.add("Plant roses")
    await expect(lines.nth(0)).to_contain_text("created “Plant roses”")
    await expect(lines.nth(0)).to_contain_text("Garden")
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_be_hidden()


async def test_task_details_replace_the_panel(screens: Screens) -> None:
    """Until they are closed."""
    screen = await screens.open(0)
    await screen.add("Buy milk")
    await screen.add("Buy bread")
    panel = await show_activity(screen)
    await panel.get_by_text("Show which").click()
    await panel.get_by_role("button", name="Buy milk").click()
    await expect(screen.page.get_by_label("Title", exact=True)).to_have_value("Buy milk")
    await expect(panel).to_be_hidden()
    await screen.page.get_by_role("complementary", name="Task").get_by_role("button", name="Close").click()
    await expect(panel).to_be_visible()
