"""The page in real browsers: actions on one screen show on the others, without reloading."""

from __future__ import annotations

import re

from playwright.async_api import WebSocketRoute, expect

from tests.e2e.screens import LIMIT_MS, Screens


async def test_created_task_shows_on_the_other_screen(screens: Screens) -> None:
    """Scenario 1: both screens are live, on different nodes."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await expect(other.row("Buy milk")).to_be_visible()
    await expect(one.row("Buy milk")).to_have_count(1)
    await expect(one.page.locator(".row")).to_have_count(1)
    await one.live()
    await other.live()


async def test_completing_and_reopening_show_on_the_other_screen(screens: Screens) -> None:
    """Scenario 2."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    check = other.page.get_by_role("checkbox", name="Done: Buy milk")
    await expect(check).not_to_be_checked()
    await one.page.get_by_role("checkbox", name="Done: Buy milk").click()
    await expect(check).to_be_checked()
    await expect(other.row("Buy milk")).to_have_class(re.compile(r"\bdone\b"))
    await check.click()
    await expect(one.page.get_by_role("checkbox", name="Done: Buy milk")).not_to_be_checked()


async def test_edited_title_shows_on_the_other_screen(screens: Screens) -> None:
    """Scenario 3: with the other fields of the form."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await one.open("Buy milk")
    await one.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await one.page.get_by_label("Notes").fill("Two litres")
    await one.page.get_by_label("Priority").select_option("high")
    await one.page.get_by_label("Due").fill("2030-01-31")
    await one.page.get_by_role("button", name="Save").click()
    await expect(other.row("Buy oat milk")).to_contain_text("high")
    await expect(other.row("Buy oat milk")).to_contain_text("2030")
    await expect(other.row("Buy milk")).to_have_count(0)
    await other.open("Buy oat milk")
    await expect(other.page.get_by_label("Notes")).to_have_value("Two litres")


async def test_deleting_and_undoing_it_show_on_the_other_screen(screens: Screens) -> None:
    """Scenario 4."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await expect(other.row("Buy milk")).to_be_visible()
    await one.page.get_by_role("button", name="Delete Buy milk").click()
    await expect(other.row("Buy milk")).to_have_count(0)
    await one.page.get_by_role("button", name="Undo").click()
    await expect(other.row("Buy milk")).to_be_visible()
    await expect(one.row("Buy milk")).to_be_visible()


async def test_all_devices_of_a_user_agree(screens: Screens) -> None:
    """Scenario 5: a laptop, a phone and a tablet."""
    laptop = await screens.open(0)
    phone = await screens.open(1, viewport={"width": 375, "height": 740}, has_touch=True)
    tablet = await screens.open(0, viewport={"width": 820, "height": 1180}, has_touch=True)
    await laptop.add("Call Ana")
    await phone.add("Water the plants")
    await tablet.add("Book the train")
    everything = {"Call Ana", "Water the plants", "Book the train"}
    for device in (laptop, phone, tablet):
        for title in everything:
            await expect(device.row(title)).to_be_visible()
        assert set(await device.titles()) == everything


async def test_badge_shows_that_the_server_is_gone_and_nothing_is_missed(screens: Screens) -> None:
    """The page reconnects by itself, and shows changes made on the other node."""
    stack = screens.stack
    one, other = await screens.open(0), await screens.open(1)
    await one.add("before")
    await expect(other.row("before")).to_be_visible()
    port = int(stack.urls[1].rpartition(":")[2])
    [part] = [part for part in stack.parts if part.name == f"api-{port}" and part.process.poll() is None]
    await other.page.evaluate("window.notReloaded = true")
    part.kill()
    await expect(other.page.locator("#badge-text")).to_have_text("Offline")
    await expect(other.page.locator("#status-text")).to_have_text("Reconnecting…")
    await one.add("meanwhile")
    await one.page.get_by_role("button", name="Delete before").click()
    await expect(one.row("meanwhile")).to_be_visible()
    stack.start_api(port)
    await other.live()
    await expect(other.row("meanwhile")).to_be_visible()
    await expect(other.row("before")).to_have_count(0)
    assert await other.page.evaluate("window.notReloaded")
    await one.add("after")
    await expect(other.row("after")).to_be_visible()


async def test_page_recovers_from_a_lost_network(screens: Screens) -> None:
    """Commands that cannot be sent say so; missed changes arrive with the network."""
    one, other = await screens.open(0), await screens.open(1)
    await other.page.context.set_offline(True)
    await other.add("typed while offline")
    await expect(other.page.get_by_text("The server cannot be reached")).to_be_visible()
    await expect(other.page.get_by_label("Title of a new task")).to_have_value("typed while offline")
    await one.add("made meanwhile")
    await other.page.context.set_offline(False)
    await other.live()
    await expect(other.row("made meanwhile")).to_be_visible()
    await other.page.get_by_role("button", name="Add", exact=True).click()
    await expect(one.row("typed while offline")).to_be_visible()


async def test_lists_are_created_and_deleted_on_all_screens(screens: Screens) -> None:
    """With their tasks."""
    one, other = await screens.open(0), await screens.open(1)
    await one.page.get_by_label("Name of a new list").fill("Garden")
    await one.page.get_by_label("Name of a new list").press("Enter")
    await expect(one.page.get_by_role("heading", name="Garden")).to_be_visible()
    await one.add("Water the plants")
    await other.page.get_by_role("button", name="Garden", exact=True).click()
    await expect(other.row("Water the plants")).to_be_visible()
    await one.page.get_by_role("button", name="Delete list").click()
    await one.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await expect(other.page.get_by_role("heading", name="Inbox")).to_be_visible()
    await expect(other.page.get_by_role("button", name="Garden", exact=True)).to_have_count(0)


async def test_deleted_list_is_restored_from_the_message_and_from_the_deleted_lists(
    screens: Screens,
) -> None:
    """With its tasks, on both screens; the other one has it among the deleted lists before."""
    one, other = await screens.open(0), await screens.open(1)
    await one.page.get_by_label("Name of a new list").fill("Garden")
    await one.page.get_by_label("Name of a new list").press("Enter")
    await expect(one.page.get_by_role("heading", name="Garden")).to_be_visible()
    await one.add("Water the plants")
    await expect(one.row("Water the plants")).to_be_visible()
    deleted = other.page.get_by_text("Deleted lists", exact=True)
    await expect(deleted).to_be_hidden()
    for way in ("message", "deleted lists"):
        await one.page.get_by_role("button", name="Delete list").click()
        await one.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
        await expect(one.page.get_by_role("heading", name="Inbox")).to_be_visible()
        await expect(deleted).to_be_visible()
        if way == "message":
            await one.page.get_by_role("button", name="Undo", exact=True).click()
            await expect(one.row("Water the plants")).to_be_visible()
        else:
            await deleted.click()
            await other.page.get_by_role("button", name="Restore Garden").click()
            await expect(other.row("Water the plants")).to_be_visible()
        await expect(deleted).to_be_hidden()
        await one.choose("Garden")
        await expect(one.row("Water the plants")).to_be_visible()


async def test_history_shows_events_as_they_happen(screens: Screens) -> None:
    """Actor, event, time, values before and after: from the log, and live."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await other.open("Buy milk")
    history = other.page.locator("#history li")
    await expect(history).to_have_count(1)
    await one.open("Buy milk")
    await one.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await one.page.get_by_role("button", name="Save").click()
    await expect(history).to_have_count(2)
    await expect(history.nth(0)).to_contain_text(f"{screens.user} created it")
    await expect(history.nth(1)).to_contain_text("title: Buy milk → Buy oat milk")
    await expect(other.page.get_by_label("Title", exact=True)).to_have_value("Buy oat milk")
    async with screens.stack.client(screens.user) as client:
        [task] = (await client.get("/api/tasks")).json()["items"]
        [first, _] = (await client.get(f"/api/tasks/{task['id']}/history")).json()["items"]
    assert await history.nth(0).locator("time").get_attribute("datetime") == first["time"]


async def test_concurrent_edits_of_different_fields_both_apply(screens: Screens) -> None:
    """Another screen's save does not overwrite typed text; the same field is a conflict with a message."""
    one, other = await screens.open(0), await screens.open(1)
    await one.add("Buy milk")
    await other.open("Buy milk")
    await one.open("Buy milk")
    await other.page.get_by_label("Notes").fill("Two litres")
    await one.page.get_by_label("Title", exact=True).fill("Buy oat milk")
    await one.page.get_by_role("button", name="Save").click()
    await expect(other.page.get_by_label("Title", exact=True)).to_have_value("Buy oat milk")
    await expect(other.page.get_by_label("Notes")).to_have_value("Two litres")
    await other.page.get_by_role("button", name="Save").click()
    await one.open("Buy oat milk")
    await expect(one.page.get_by_label("Notes")).to_have_value("Two litres")


async def test_text_is_never_markup(screens: Screens) -> None:
    """Any title, note or list name is shown verbatim."""
    one, other = await screens.open(0), await screens.open(1)
    attack = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    await one.add(attack)
    await one.page.get_by_label("Name of a new list").fill(attack)
    await expect(other.row(attack)).to_be_visible()
    await other.open(attack)
    await other.page.get_by_label("Notes").fill(attack)
    await other.page.get_by_role("button", name="Save").click()
    await one.open(attack)
    await expect(one.page.locator("#history li")).to_have_count(2)
    for screen in (one, other):
        assert await screen.page.evaluate("window.hacked") is None
        assert await screen.page.locator("main img, aside img").count() == 1  # the one of the sign-in form


async def test_signing_in_and_out_by_hand(screens: Screens) -> None:
    """A link's token leaves the URL; an invalid one has a message; signing out removes it."""
    screen = await screens.visit(screens.stack.urls[0])
    await screen.page.get_by_label("Access token").fill("nonsense")
    await screen.page.get_by_role("button", name="Sign in").click()
    await expect(screen.page.get_by_role("alert")).to_contain_text("token")
    await screen.page.get_by_label("Access token").fill(screens.stack.token(screens.user))
    await screen.page.get_by_role("button", name="Sign in").click()
    await screen.live()
    await expect(screen.page.locator("#user")).to_have_text(screens.user)
    await screen.page.reload()
    await screen.live()
    await screen.page.get_by_role("button", name="Sign out").click()
    await expect(screen.page.get_by_label("Access token")).to_be_visible()
    await screen.page.reload()
    await expect(screen.page.get_by_label("Access token")).to_be_visible()
    linked = await screens.open(1)
    assert linked.page.url == f"{screens.stack.urls[1]}/"


async def test_expired_token_asks_to_sign_in_again(screens: Screens) -> None:
    """Instead of reconnecting for ever."""
    for ttl_s in (6, 18, 54):  # A busy machine may need longer to draw the page.
        token = screens.stack.token(screens.user, ttl_s=ttl_s)
        screen = await screens.visit(f"{screens.stack.urls[0]}/#token={token}")
        badge = screen.page.locator("#badge-text", has_text="Live")
        await expect(badge.or_(screen.alert).first).to_be_visible()
        if await badge.is_visible():
            break
    await expect(screen.alert).to_contain_text("Sign in again", timeout=ttl_s * 1_000 + LIMIT_MS)


async def test_page_fits_a_narrow_phone_in_light_and_dark(screens: Screens) -> None:
    """Nothing exceeds 375 pixels, and the contrast suffices."""
    for scheme in ("light", "dark"):
        phone = await screens.open(0, viewport={"width": 375, "height": 700}, color_scheme=scheme)
        await phone.add("A task with a title that is long enough to need more than the one line it has " * 2)
        await expect(phone.page.locator(".row:not(.draft)").first).to_be_visible()
        assert await phone.page.evaluate("document.documentElement.scrollWidth") == 375
        ground = await phone.page.evaluate("getComputedStyle(document.body).backgroundColor")
        text = await phone.page.evaluate("getComputedStyle(document.body).color")
        assert _contrast(ground, text) > 7


async def test_many_tasks_are_read_page_by_page(screens: Screens) -> None:
    """The newest come first; shown tasks stay up to date."""
    async with screens.stack.client(screens.user) as client:
        await client.get("/api/me")
        first = (await client.post("/api/tasks", json={"title": "task 0"})).json()
        commands = [{"command": "create", "body": {"title": f"task {number}"}} for number in range(1, 203)]
        for begin in range(0, len(commands), 100):
            answer = await client.post("/api/bulk", json={"commands": commands[begin : begin + 100]})
            assert answer.status_code == 200
        last = (await client.post("/api/tasks", json={"title": "the last"})).json()
        screen = await screens.open(1)
        await expect(screen.page.locator(".row")).to_have_count(200)
        await client.patch(f"/api/tasks/{first['id']}", json={"title": "still the first"})
        await client.patch(f"/api/tasks/{last['id']}", json={"title": "still the last"})
        await expect(screen.row("still the last")).to_be_visible()
        await expect(screen.page.locator(".row")).to_have_count(200)
        await screen.add("newer than all")
        await expect(screen.row("newer than all")).to_be_visible()
        await screen.page.get_by_role("button", name="Show more").click()
        await expect(screen.row("still the first")).to_be_visible()
        await expect(screen.page.locator(".row")).to_have_count(205)


async def test_resync_reads_the_snapshot_again(screens: Screens) -> None:
    """When too many updates were missed to be sent, the page still ends with the current state."""
    screen = await screens.open(0)
    await screen.add("Buy milk")
    await expect(screen.row("Buy milk")).to_be_visible()
    sockets: list[WebSocketRoute] = []

    async def tamper(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda message: None if '"update"' in str(message) else socket.send(message))
        sockets.append(socket)

    await screen.page.route_web_socket("**/ws", tamper)
    await screen.page.reload()
    await screen.live()
    async with screens.stack.client(screens.user) as client:
        await client.post("/api/tasks", json={"title": "missed"})
        [milk] = [
            task for task in (await client.get("/api/tasks")).json()["items"] if task["title"] == "Buy milk"
        ]
        await client.delete(f"/api/tasks/{milk['id']}")
        await client.post("/api/lists", json={"name": "missed list"})
    await expect(screen.row("Buy milk")).to_be_visible()
    sockets[-1].send('{"type":"resync","channel":"list:x","reason":"too much was missed"}')
    await expect(screen.row("missed")).to_be_visible()
    await expect(screen.row("Buy milk")).to_have_count(0)
    await expect(screen.page.get_by_role("button", name="missed list")).to_be_visible()


async def test_server_that_starts_late_is_awaited(screens: Screens) -> None:
    """The page says so, and continues by itself once it can be reached."""
    screen = await screens.open(0)
    await screen.page.route("**/api/**", lambda route: route.abort())
    await screen.page.reload()
    await expect(screen.page.get_by_role("alert")).to_contain_text("cannot be reached")
    await screen.page.unroute("**/api/**")
    await screen.live()


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG defines it."""
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
