"""Manual order: tasks are moved by mouse and by keyboard, on every screen."""

from __future__ import annotations

from playwright.async_api import expect

from tests.e2e.screens import Screen, Screens


async def three(screens: Screens) -> tuple[Screen, Screen]:
    """Return two screens with three tasks, the newest on top."""
    one, other = await screens.open(0), await screens.open(1)
    for title in ("first", "second", "third"):
        await one.add(title)
        await expect(other.row(title)).to_be_visible()
    return one, other


async def shows(screen: Screen, *titles: str) -> None:
    """Wait until the titles are in this order."""
    await expect(screen.page.locator(".row .title")).to_have_text(list(titles))


async def test_row_is_dragged_to_its_place(screens: Screens) -> None:
    """To the top, and to the end."""
    one, other = await three(screens)
    await one.row("first").drag_to(one.row("third"), target_position={"x": 200, "y": 4})
    for screen in (one, other):
        await shows(screen, "first", "third", "second")
    height = (await one.row("second").bounding_box() or {"height": 40})["height"]
    await one.row("first").drag_to(one.row("second"), target_position={"x": 200, "y": height - 4})
    for screen in (one, other):
        await shows(screen, "third", "second", "first")


async def test_alt_and_arrows_move_a_row_and_keep_the_focus(screens: Screens) -> None:
    """One place at a time."""
    one, other = await three(screens)
    await one.page.get_by_role("button", name="first", exact=True).focus()
    await one.page.keyboard.press("Alt+ArrowUp")
    for screen in (one, other):
        await shows(screen, "third", "first", "second")
    await expect(one.page.get_by_role("button", name="first", exact=True)).to_be_focused()
    await one.page.keyboard.press("Alt+ArrowUp")
    for screen in (one, other):
        await shows(screen, "first", "third", "second")
    await expect(one.page.get_by_role("button", name="first", exact=True)).to_be_focused()
    await one.page.keyboard.press("Alt+ArrowDown")
    for screen in (one, other):
        await shows(screen, "third", "first", "second")
