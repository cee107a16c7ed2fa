"""Sharing a list from the page: members see it at once, with their role, until it is taken away."""

from __future__ import annotations

from uuid import uuid4

from playwright.async_api import Locator, expect

from tests.e2e.screens import Screen, Screens


async def shared(screens: Screens, role: str) -> tuple[Screen, Screen, str]:
    """Return both screens after Ann created a list and added Bob in the page."""
    user = f"bob {uuid4().hex[:6]}"
    ann, bob = await screens.open(0), await screens.open(1, user=user)
    await ann.page.get_by_label("Name of a new list").fill("Garden")
    await ann.page.get_by_label("Name of a new list").press("Enter")
    await expect(ann.page.get_by_role("heading", name="Garden")).to_be_visible()
    await ann.add("Water the plants")
    box = await share_box(ann)
    await box.get_by_label("Name of a person").fill(user)
    await box.get_by_label("Role of the new person").select_option(role)
    await box.get_by_role("button", name="Add", exact=True).click()
    await expect(box.get_by_label(f"Role of {user}")).to_be_visible()
    await bob.choose("Garden")
    await expect(bob.row("Water the plants")).to_be_visible()
    return ann, bob, user


async def share_box(screen: Screen) -> Locator:
    """Return the dialog of a list's members."""
    await screen.page.get_by_role("button", name="Share").click()
    return screen.page.get_by_role("dialog", name="Share")


async def test_viewer_sees_no_way_to_edit(screens: Screens) -> None:
    """Until the role changes, and again when it is taken back."""
    ann, bob, user = await shared(screens, "Can view")
    await expect(bob.page.get_by_text("View only")).to_be_visible()
    await expect(bob.page.get_by_label("Title of a new task")).to_be_hidden()
    await expect(bob.check("Water the plants")).to_be_disabled()
    await expect(bob.page.get_by_role("button", name="Delete Water the plants")).to_be_hidden()
    await bob.open("Water the plants")
    await expect(bob.page.get_by_label("Title", exact=True)).to_be_disabled()
    for name in ("Save", "Comment", "Create the sub-task"):
        await expect(bob.page.get_by_role("button", name=name)).to_be_hidden()
    role = ann.page.get_by_role("dialog").get_by_label(f"Role of {user}")
    await role.select_option("Can edit")
    await expect(bob.page.get_by_label("Title", exact=True)).to_be_enabled()
    await expect(bob.page.get_by_label("Title of a new task")).to_be_visible()
    await bob.add("Buy seeds")
    await expect(ann.row("Buy seeds")).to_be_attached()
    await role.select_option("Can view")
    await expect(bob.page.get_by_label("Title of a new task")).to_be_hidden()


async def test_removed_list_disappears_at_once(screens: Screens) -> None:
    """With its open task; later events in it are not shown."""
    ann, bob, user = await shared(screens, "Can edit")
    await bob.open("Water the plants")
    await ann.page.get_by_role("dialog").get_by_role("button", name=f"Remove {user}").click()
    await expect(bob.page.get_by_role("heading", name="Inbox")).to_be_visible()
    await expect(bob.page.get_by_role("button", name="Garden", exact=True)).to_have_count(0)
    await expect(bob.page.get_by_role("complementary", name="Task")).to_be_hidden()
    await ann.page.get_by_role("dialog").get_by_label("Name of a person").fill(user)
    await ann.page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    await bob.choose("Garden")
    await expect(bob.row("Water the plants")).to_be_visible()


async def test_members_leave_and_the_last_owner_stays(screens: Screens) -> None:
    """A former member disappears from the others' dialog; a single owner gets the reason."""
    ann, bob, user = await shared(screens, "Can edit")
    box = await share_box(bob)
    await expect(box.get_by_label("Name of a person")).to_be_hidden()
    await expect(box.get_by_label(f"Role of {user}")).to_be_disabled()
    await box.get_by_role("button", name="Leave this list").click()
    await bob.page.get_by_role("button", name="Leave", exact=True).click()
    await expect(bob.page.get_by_role("heading", name="Inbox")).to_be_visible()
    box = ann.page.get_by_role("dialog", name="Share")
    await expect(box.get_by_role("listitem")).to_have_count(1)
    await box.get_by_role("button", name="Leave this list").click()
    await ann.page.get_by_role("button", name="Leave", exact=True).click()
    await expect(box.get_by_role("alert")).to_contain_text("owner")
