"""Undo in the page: the user's last change is taken back, on every screen."""

from __future__ import annotations

from playwright.async_api import expect

from tests.e2e.screens import Screens


async def test_change_can_be_undone_from_its_message_for_a_while(screens: Screens) -> None:
    """A completion, an edit and a deletion."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await one.check("Buy milk").click()
    done = await one.done("Completed “Buy milk”.")
    await expect(other.check("Buy milk")).to_be_checked()
    await done.get_by_role("button", name="Undo").click()
    await expect(other.check("Buy milk")).not_to_be_checked()
    await one.open("Buy milk")
    await one.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await one.page.get_by_role("button", name="Save").click()
    edited = await one.done("Edited “Buy oat milk”.")
    await expect(other.row("Buy oat milk")).to_be_visible()
    await edited.get_by_role("button", name="Undo").click()
    await expect(other.row("Buy milk")).to_be_visible()
    await one.page.get_by_role("button", name="Delete Buy milk").click()
    deleted = await one.done("Deleted “Buy milk”.")
    await expect(other.row("Buy milk")).to_have_count(0)
    await deleted.get_by_role("button", name="Undo").click()
    await expect(other.row("Buy milk")).to_be_visible()


async def test_control_z_undoes_changes_one_by_one(screens: Screens) -> None:
    """Newest first, except those of another screen; not while text is typed."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await one.add("Buy bread")
    await one.check("Buy milk").click()
    await one.done("Completed “Buy milk”.")
    await expect(other.check("Buy milk")).to_be_checked()
    await one.check("Buy bread").click()
    await one.done("Completed “Buy bread”.")
    await expect(other.check("Buy bread")).to_be_checked()
    await one.page.get_by_label("Title of a new task").press("Control+z")
    await one.check("Buy bread").press("Control+z")
    await expect(other.check("Buy bread")).not_to_be_checked()
    await expect(other.check("Buy milk")).to_be_checked()
    await one.page.keyboard.press("Control+z")
    await expect(other.check("Buy milk")).not_to_be_checked()


async def test_change_overwritten_by_another_user_is_not_undone(screens: Screens) -> None:
    """And the page says why."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await one.check("Buy milk").click()
    await one.done("Completed “Buy milk”.")
    await expect(other.check("Buy milk")).to_be_checked()
    await other.check("Buy milk").click()
    await expect(one.check("Buy milk")).not_to_be_checked()
    await one.check("Buy milk").press("Control+z")
    await expect(one.page.get_by_role("alert")).to_contain_text("changed again")
