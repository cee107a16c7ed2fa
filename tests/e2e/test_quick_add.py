"""Adding a task from one line: a preview of the parsed fields, and the resulting task."""

from __future__ import annotations

from playwright.async_api import expect

from tests.e2e.screens import Screens


async def test_quick_text_is_previewed_and_becomes_a_task(screens: Screens) -> None:
    """Chips show each part with its field; unparsed parts stay in the title with a message."""
    screen = await screens.open(0)
    field = screen.page.get_by_label("Title of a new task")
    preview = screen.page.locator("#task-preview")
    await expect(preview).to_be_hidden()
    await field.fill("call bob #home !high 2036-12-24 5pm @nobody")
    await expect(preview.locator(".chip")).to_have_count(3)
    await expect(preview).to_contain_text("Tag: home")
    await expect(preview).to_contain_text("Priority: high")
    await expect(preview).to_contain_text("17:00")
    await expect(preview).to_contain_text("@nobody: nobody in this list is called so")
    await field.fill("")
    await expect(preview).to_be_hidden()
    await screen.add("call bob #home !high 2036-12-24 5pm")
    await expect(screen.row("call bob")).to_contain_text("#home")
    await expect(preview).to_be_hidden()
    await expect(field).to_have_value("")


async def test_quick_text_without_a_title_is_refused(screens: Screens) -> None:
    """With a message; nothing is added."""
    screen = await screens.open(0)
    await screen.add("tomorrow")
    await expect(screen.page.get_by_text("has no words left for the title")).to_be_visible()
    await expect(screen.page.get_by_label("Title of a new task")).to_have_value("tomorrow")
    assert await screen.titles() == []
    await screen.add('"tomorrow"')
    await expect(screen.row("tomorrow")).to_be_visible()
