"""Task details on two screens: changes on one show on the other."""

from __future__ import annotations

from playwright.async_api import expect

from tests.e2e.screens import Screen, Screens


async def both(screens: Screens, title: str, **context: str) -> tuple[Screen, Screen]:
    """Return two screens with the same task open."""
    one, other = await screens.open(0, **context), await screens.open(1, **context)
    await one.add(title)
    await one.open(title)
    await other.open(title)
    return one, other


async def save(screen: Screen) -> None:
    await screen.page.get_by_role("button", name="Save", exact=True).click()


async def test_people_tags_time_and_reminders_are_set(screens: Screens) -> None:
    """They show on the other screen and when opened again."""
    one, other = await both(screens, "Call Ana", timezone_id="Europe/Madrid")
    await one.page.get_by_label("Due").fill("2030-01-31")
    await one.page.get_by_label("Time", exact=True).fill("09:30")
    await one.page.get_by_label("Assignees").fill(f"{screens.user}, zoe")
    await one.page.get_by_label("Tags").fill("home, phone , home")
    await one.page.get_by_label("Estimate in minutes").fill("90")
    await one.page.get_by_label("Remind", exact=True).select_option("1 hour before")
    await one.page.get_by_label("Remind", exact=True).select_option("At a time …")
    await one.page.get_by_label("When to remind").fill("2030-01-30T18:00")
    await save(one)
    for text in ("9:30", "1 h 30 min", f"@{screens.user}", "@zoe", "#home", "#phone"):
        await expect(other.row("Call Ana")).to_contain_text(text)
    await expect(other.page.get_by_label("Time", exact=True)).to_have_value("09:30")
    await expect(other.page.get_by_label("Tags")).to_have_value("home, phone")
    reminders = other.page.get_by_role("list", name="Reminders").get_by_role("listitem")
    await expect(reminders).to_have_count(2)
    await other.page.get_by_role("button", name="Remove the reminder: 1 hour before").click()
    await save(other)
    await expect(other.page.get_by_role("complementary", name="Task")).to_be_hidden()
    async with screens.stack.client(screens.user) as client:
        [task] = (await client.get("/api/tasks")).json()["items"]
    assert task["estimate"] == 90
    assert task["reminders"] == [{"at": "2030-01-30T18:00:00+01:00"}]
    assert (task["due"], task["time_zone"]) == ("2030-01-31T09:30:00+01:00", "Europe/Madrid")


async def test_rule_counts_from_today_and_an_occurrence_is_skipped(screens: Screens) -> None:
    """A custom rule is accepted; an invalid one gets a reason in words."""
    one, other = await both(screens, "Take the bins out")
    await one.page.get_by_label("Repeats").select_option("Custom rule …")
    await one.page.get_by_label("Rule (RFC 5545)").fill("FREQ=SOMETIMES")
    await save(one)
    await expect(one.page.get_by_role("alert")).to_contain_text("recurrence")
    await one.page.get_by_label("Rule (RFC 5545)").fill("freq=daily;interval=2")
    await one.page.get_by_label("Due").fill("2030-01-30")
    await save(one)
    await expect(other.page.get_by_label("Rule (RFC 5545)")).to_have_value("FREQ=DAILY;INTERVAL=2")
    await other.page.get_by_role("button", name="Skip", exact=True).click()
    await expect(one.row("Take the bins out")).to_contain_text("Feb 1")
    await expect(other.page.get_by_label("Due")).to_have_value("2030-02-01")


async def test_comments_show_on_both_screens(screens: Screens) -> None:
    """When added, edited and deleted, as plain text."""
    one, other = await both(screens, "Buy milk")
    said = f"@{screens.user} <b>which</b> one?"
    await one.page.get_by_label("New comment").fill(said)
    await one.page.get_by_label("New comment").press("Control+Enter")
    for screen in (one, other):
        await expect(screen.page.locator(".comment")).to_contain_text(said)
        await expect(screen.row("Buy milk")).to_contain_text("1 comment")
    await other.page.locator(".comment").get_by_role("button", name="Edit").click()
    await other.page.get_by_label("Text of the comment").fill("The oat one.")
    await other.page.get_by_role("button", name="Save comment").click()
    for screen in (one, other):
        await expect(screen.page.locator(".comment")).to_contain_text("The oat one.")
    await one.page.locator(".comment").get_by_role("button", name="Delete").click()
    for screen in (one, other):
        await expect(screen.page.locator(".comment")).to_have_count(0)


async def test_sub_tasks_are_shown_below_their_task_and_completed_with_it(screens: Screens) -> None:
    """They are counted; completing the task asks about them."""
    one, other = await both(screens, "Plan the menu")
    for title in ("Starters", "Cake"):
        await one.page.get_by_label("New sub-task").fill(title)
        await one.page.get_by_label("New sub-task").press("Enter")
        await expect(other.page.get_by_role("checkbox", name=f"Sub-task done: {title}")).to_be_visible()
    await other.page.get_by_role("checkbox", name="Sub-task done: Cake").click()
    await expect(one.row("Plan the menu")).to_contain_text("1/2 sub-tasks")
    await expect(one.page.locator(".row .title")).to_have_text(["Plan the menu", "Starters", "Cake"])
    await one.check("Plan the menu").click()
    await one.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(one.check("Plan the menu")).not_to_be_checked()
    await one.check("Plan the menu").click()
    await one.page.get_by_role("dialog").get_by_role("button", name="With sub-tasks").click()
    for title in ("Plan the menu", "Starters"):
        await expect(other.check(title)).to_be_checked()


async def test_conflicting_edit_offers_both_versions(screens: Screens) -> None:
    """The chosen one counts, and nothing else is lost."""
    one, other = await both(screens, "Buy milk")
    await other.page.get_by_label("Title", exact=True).fill("Buy rice milk")
    await other.page.get_by_label("Notes").fill("Two litres")
    await one.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await one.page.get_by_label("Priority").select_option("High")
    await save(one)
    await expect(other.row("Buy oat milk")).to_be_visible()
    await save(other)
    box = other.page.get_by_role("dialog", name="Conflicting changes")
    await expect(box).to_contain_text("Buy oat milk")
    await expect(box).to_contain_text("Buy rice milk")
    await box.get_by_label("Theirs").check()
    await box.get_by_role("button", name="Save").click()
    await one.open("Buy oat milk")
    await expect(one.page.get_by_label("Notes")).to_have_value("Two litres")
    await expect(one.page.get_by_label("Priority")).to_have_value("high")


async def test_list_with_stages_offers_them(screens: Screens) -> None:
    """The done stage completes."""
    async with screens.stack.client(screens.user) as client:
        stages = [{"name": "To do", "category": "open"}, {"name": "Shipped", "category": "done"}]
        await client.post("/api/lists", json={"name": "Work", "stages": stages})
    screen = await screens.open(0)
    await screen.choose("Work")
    await screen.add("Write it")
    await expect(screen.row("Write it")).to_contain_text("To do")
    await screen.open("Write it")
    await screen.page.get_by_label("Stage").select_option("Shipped")
    await save(screen)
    await expect(screen.check("Write it")).to_be_checked()
    await expect(screen.row("Write it")).to_contain_text("Shipped")
