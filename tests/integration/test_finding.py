"""Searching tasks over HTTP, compared with plain Python: each filter, each order, the search box, the
past."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from app.log.updates import state_from_json
from app.tasks.state import Task
from tests import finding
from tests.integration.stack import Stack

TAGS, STAGES = ["home", "work", "two words"], ["Next", "Doing it"]
DUES = ["2026-12-01", "2026-12-02", "2026-12-02T12:00:00+01:00", "2026-11-30T23:30:00-05:00"]
WORDS = ["milk", "mild", "bread", "meeting", "follow", "up"]
KEYS = ["rank", "created_at", "updated_at", "due", "priority", "title"]
SORTS = [sign + key for key in KEYS for sign in ("", "-")]
UTC_ZONE = ZoneInfo("UTC")


@dataclass
class Tasks:
    """A user's tasks as in the API, with their comments, and requests for them."""

    client: httpx.AsyncClient
    user: str
    lists: dict[str, str]
    tasks: list[Task] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)

    def texts(self, task: Task) -> list[str]:
        return [task.title, task.notes, *self.said.get(task.id, [])]

    async def ask(self, **params: Any) -> httpx.Response:
        return await self.client.get("/api/tasks", params=params)

    async def found(self, limit: int = 200, **params: Any) -> list[str]:
        """Return the ids of all found tasks, page by page."""
        return [item["id"] for item in await self.items(limit, **params)]

    async def items(self, limit: int = 200, **params: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.ask(limit=limit, **params, **cursor)
            assert page.status_code == 200, page.text
            items += page.json()["items"]
            if page.json()["next_cursor"] is None:
                return items
            cursor = {"cursor": page.json()["next_cursor"]}


@pytest.fixture(scope="module")
async def mine(running_stack: Stack) -> AsyncIterator[Tasks]:
    """Return sixty tasks with all kinds of values, in three lists."""
    user, draw = f"alice-{uuid4().hex[:8]}", random.Random(5)
    async with running_stack.client(user) as client:
        lists = {}
        for name in ("Errands", "At work", "Shared"):
            made = await client.post("/api/lists", json={"name": name})
            lists[name] = made.json()["id"]
        await client.put(f"/api/lists/{lists['Shared']}/members/bob", json={"role": "editor"})
        all_of_it = Tasks(client, user, lists)
        for number in range(60):
            await make(all_of_it, draw, number)
        yield all_of_it


async def make(mine: Tasks, draw: random.Random, number: int) -> None:
    """Create a task that is edited, completed, commented, deleted or none of that."""
    body: dict[str, Any] = {
        "title": f"{draw.choice(['Milk', 'Milk', 'A'])} {' '.join(draw.choices(WORDS, k=2))} {number % 4}",
        "notes": " ".join(draw.choices(WORDS, k=draw.randrange(4))),
        "priority": draw.choice(finding.PRIORITIES),
        "due": draw.choice([None, *DUES]),
        "tags": draw.sample(TAGS, draw.randrange(3)),
        "assignees": draw.sample([mine.user, "bob"], draw.randrange(3)),
        "stage": draw.choice([None, *STAGES]),
        "list_id": draw.choice(list(mine.lists.values())),
    }
    siblings = [
        task
        for task in mine.tasks
        # An open sub-task would open a task that is done.
        if task.list_id == body["list_id"] and task.parent_id is None and task.status == "open"
    ]
    if number % 6 == 5 and siblings:
        body["parent_id"] = siblings[0].id
    path = (await mine.client.post("/api/tasks", json=body)).headers["location"]
    if number % 4 == 1:
        await mine.client.post(f"{path}/complete?cascade=true")
    for _ in range(draw.randrange(3)):
        text = " ".join(draw.choices(WORDS, k=2))
        await mine.client.post(f"{path}/comments", json={"text": text})
        mine.said.setdefault(path.rpartition("/")[2], []).append(text)
    if number % 10 == 9:
        await mine.client.delete(f"{path}?cascade=true")
        return
    task = state_from_json("task", (await mine.client.get(path)).content)
    assert isinstance(task, Task)
    mine.tasks.append(task)


Check = Callable[[Tasks, Task], bool]


def due_on(first: str, end: str) -> Check:
    return lambda _, task: (day := finding.due_day(task, UTC_ZONE)) is not None and first <= str(day) < end


def says(wanted: str) -> Check:
    return lambda mine, task: any(finding.says(text, wanted) for text in mine.texts(task))


BY_PARAMETER: list[tuple[dict[str, Any], Check]] = [
    ({"status": "open"}, lambda _, t: t.status == "open"),
    ({"status": "done"}, lambda _, t: t.status == "done"),
    ({"stage": "Doing it"}, lambda _, t: t.stage == "Doing it"),
    ({"tag": "home"}, lambda _, t: "home" in t.tags),
    ({"tag": ["home", "two words"]}, lambda _, t: {"home", "two words"} <= set(t.tags)),
    ({"assignee": "bob"}, lambda _, t: "bob" in t.assignees),
    ({"priority": "urgent"}, lambda _, t: t.priority == "urgent"),
    ({"due_before": "2026-12-02"}, due_on("", "2026-12-02")),
    ({"due_after": "2026-12-01"}, due_on("2026-12-02", "9")),
    ({"due_after": "2026-11-30", "due_before": "2026-12-02"}, due_on("2026-12-01", "2026-12-02")),
    (
        {"due_before": "2026-12-02T12:30:00+01:00"},
        lambda _, t: t.due is not None and t.due != "2026-12-02",
    ),
    ({"tag": "nothing"}, lambda _, __: False),
    ({"tag": "' OR 1=1 --"}, lambda _, __: False),
]
BY_SEARCH: list[tuple[str, Check]] = [
    ("is:open", lambda _, t: t.status == "open"),
    ("-is:open", lambda _, t: t.status == "done"),
    ("#home", lambda _, t: "home" in t.tags),
    ('-#"two words"', lambda _, t: "two words" not in t.tags),
    ("@me", lambda mine, t: mine.user in t.assignees),
    ("@bob", lambda _, t: "bob" in t.assignees),
    ("by:me", lambda _, __: True),
    ("by:bob", lambda _, __: False),
    ("is:unassigned", lambda _, t: not t.assignees),
    ('stage:"Doing it"', lambda _, t: t.stage == "Doing it"),
    ("p:high", lambda _, t: t.priority == "high"),
    ("p:>=medium", lambda _, t: t.priority in ("medium", "high", "urgent")),
    ("-p:none", lambda _, t: t.priority != "none"),
    ("due:<2026-12-02", due_on("", "2026-12-02")),
    ("due:2026-12-01", due_on("2026-12-01", "2026-12-02")),
    ("due:none", lambda _, t: t.due is None),
    ("-due:2026-12-01", lambda _, t: t.due is None or not due_on("2026-12-01", "2026-12-02")(_, t)),
    ("is:subtask", lambda _, t: t.parent_id is not None),
    ("has:comments", lambda _, t: t.comment_count > 0),
    ("list:errands", lambda mine, t: t.list_id == mine.lists["Errands"]),
    ('-list:"At work"', lambda mine, t: t.list_id != mine.lists["At work"]),
    ("milk", says("milk")),
    ("MIL*", says("mil*")),
    ("-bread", lambda mine, t: not says("bread")(mine, t)),
    ('"follow up"', says("follow up")),
    ("meeting", says("meeting")),
]


@pytest.mark.parametrize(("params", "check"), BY_PARAMETER, ids=[str(each) for each, _ in BY_PARAMETER])
async def test_parameters_find_exactly_the_matching_tasks(
    mine: Tasks, params: dict[str, Any], check: Check
) -> None:
    """In pages of five."""
    expected = finding.in_order([task for task in mine.tasks if check(mine, task)], "rank")
    assert await mine.found(5, **params) == expected


@pytest.mark.parametrize(("text", "check"), BY_SEARCH, ids=[text for text, _ in BY_SEARCH])
async def test_search_box_finds_exactly_the_matching_tasks(mine: Tasks, text: str, check: Check) -> None:
    """For each part of the language."""
    expected = finding.in_order([task for task in mine.tasks if check(mine, task)], "-created_at")
    assert await mine.found(7, q=text, sort="-created_at") == expected


async def test_parameters_and_search_box_combine(mine: Tasks) -> None:
    """In every order; the pages make up the whole."""
    draw = random.Random(8)
    for sort in SORTS * 3:
        params: dict[str, Any] = {"sort": sort}
        checks: list[Check] = []
        for given, check in draw.sample(BY_PARAMETER[:-2], 1):
            params |= given
            checks.append(check)
        parts = draw.sample(BY_SEARCH, draw.randrange(3))
        checks += [check for _, check in parts]
        q = " ".join(text for text, _ in parts)
        expected = [task for task in mine.tasks if all(check(mine, task) for check in checks)]
        whole = await mine.found(q=q, **params)
        assert whole == finding.in_order(expected, sort), (params, q)
        assert await mine.found(4, q=q, **params) == whole


@pytest.mark.parametrize("name", ["Errands", "Shared"])
async def test_one_list_is_searched(mine: Tasks, name: str) -> None:
    """By its id; an invisible one is not found."""
    expected = [task for task in mine.tasks if task.list_id == mine.lists[name]]
    assert await mine.found(4, list_id=mine.lists[name]) == finding.in_order(expected, "rank")
    assert (await mine.ask(list_id=str(uuid4()))).status_code == 404


@pytest.mark.parametrize(
    ("name", "typed"),
    [("\u0130stanbul", "\u0130stanbul"), ("Stra\u00dfe", "STRASSE"), ("\u00c9cole", "e\u0301cole")],
)
async def test_list_names_match_in_any_case(running_stack: Stack, name: str, typed: str) -> None:
    """In any script; an exact match takes precedence."""
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        zoe = Tasks(client, "zoe", {})
        made = (await client.post("/api/lists", json={"name": name})).json()["id"]
        task = (await client.post("/api/tasks", json={"title": "T", "list_id": made})).json()["id"]
        for called in (name, name.upper(), typed):
            assert await zoe.found(q=f'list:"{called}"') == [task]
            assert await zoe.found(q=f'-list:"{called}"') == []


async def test_sub_tasks_of_one_task_are_found(mine: Tasks) -> None:
    parent = next(task.parent_id for task in mine.tasks if task.parent_id)
    expected = [task for task in mine.tasks if task.parent_id == parent]
    assert await mine.found(parent_id=parent) == finding.in_order(expected, "rank")


async def test_matches_are_marked_with_their_field(mine: Tasks) -> None:
    """Every marked word was searched for; without words there is no match."""
    for item in await mine.items(q="mil* bread -up"):
        task = next(task for task in mine.tasks if task.id == item["id"])
        match = item["match"]
        source = {"title": [task.title], "notes": [task.notes], "comment": mine.said.get(task.id, [])}
        plain = match["snippet"].replace("<mark>", "").replace("</mark>", "")
        assert plain in source[match["field"]]
        marked = [part.partition("</mark>")[0] for part in match["snippet"].split("<mark>")[1:]]
        assert marked
        assert all(word.lower().startswith("mil") or word == "bread" for word in marked)
    assert all("match" not in item for item in await mine.items(q="-bread is:open"))


async def test_order_by_relevance(mine: Tasks) -> None:
    """Titles first; then the latest changes."""
    fitting = [task for task in mine.tasks if says("bread")(mine, task)]
    titled = [task for task in fitting if finding.says(task.title, "bread")]
    others = [task for task in fitting if task not in titled]
    assert titled
    assert others
    expected = finding.in_order(titled, "-updated_at") + finding.in_order(others, "-updated_at")
    assert await mine.found(5, q="bread", sort="relevance") == expected


@pytest.mark.parametrize(
    ("params", "field", "place"),
    [
        ({"q": "milk is:opne"}, "q", (8, 4)),
        ({"q": 'milk "bread'}, "q", (5, 6)),
        ({"q": "a due:>9999-12-31"}, "q", (2, 15)),
        ({"due_after": "9999-12-31"}, "due_after", None),
        ({"q": "a list:Nowhere b"}, "q", (2, 12)),
        ({"q": "-list:Nowhere"}, "q", (0, 13)),
        ({"q": "a" * 501}, "q", (500, 1)),
        ({"q": "#home", "sort": "relevance"}, "sort", None),
        ({"q": "-milk", "sort": "relevance"}, "sort", None),
        ({"as_of": "2026-12-01T00:00:00"}, "as_of", None),
        ({"as_of": "2026-12-01"}, "as_of", None),
        ({"as_of": "-1"}, "as_of", None),
        ({"as_of": "0001-01-01T00:00:00+05:00"}, "as_of", None),
        ({"as_of": "9999-12-31T23:59:59-05:00"}, "as_of", None),
        ({"due_before": "tomorrow"}, "due_before", None),
        ({"due_before": "2026-12-01T09:00:00"}, "due_before", None),
        ({"time_zone": "Mars/Olympus"}, "time_zone", None),
        ({"parent_id": "x"}, "parent_id", None),
        ({"sort": "-relevance"}, "sort", None),
    ],
)
async def test_errors_have_their_position(
    mine: Tasks, params: dict[str, str], field: str, place: tuple[int, int] | None
) -> None:
    """422 with the parameter and, within the search box, the characters."""
    answer = await mine.ask(**params)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["message"]
    assert ((error["at"], error["length"]) if "at" in error else None) == place


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("operator", ["", "<", "<=", ">", ">="])
async def test_days_at_both_ends_of_the_calendar_are_searchable(mine: Tasks, day: str, operator: str) -> None:
    """All due dates are after the first days, and before the last ones."""
    all_of_them = {task.id for task in mine.tasks if task.due is not None}
    expected = all_of_them if operator[:1] == (">" if day < "1" else "<") else set()
    for sort in ("rank", "due", "-due"):
        assert set(await mine.found(q=f"due:{operator}{day}", sort=sort)) == expected


async def test_cursor_of_another_search_is_refused(mine: Tasks) -> None:
    """With other words, order or zone."""
    cursor = (await mine.ask(q="mil*", limit=2)).json()["next_cursor"]
    assert (await mine.ask(q="mil*", limit=5, cursor=cursor)).status_code == 200
    assert (await mine.ask(q="#home", sort="relevance", cursor=cursor)).status_code == 422
    others = [{"q": "mil"}, {"q": "mil*", "sort": "title"}, {"q": "mil*", "time_zone": "Asia/Tokyo"}]
    for other in others:
        assert (await mine.ask(**other, cursor=cursor)).status_code == 400


async def test_days_are_those_of_the_time_zone(running_stack: Stack) -> None:
    """A time is on another day elsewhere; a date without a time is the same day everywhere."""
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        zoe = Tasks(client, "zoe", {})
        today = datetime.now(UTC).date()
        dues = {"late": f"{today}T23:30:00Z", "date": str(today), "over": f"{today - timedelta(days=1)}"}
        ids = {
            name: (await client.post("/api/tasks", json={"title": name, "due": due})).json()["id"]
            for name, due in dues.items()
        }
        tomorrow = today + timedelta(days=1)
        assert await zoe.found(q=f"due:{today}") == [ids["late"], ids["date"]]
        assert await zoe.found(q=f"due:{today}", time_zone="Asia/Tokyo") == [ids["date"]]
        assert await zoe.found(due_after=str(today), time_zone="Asia/Tokyo") == [ids["late"]]
        assert await zoe.found(due_before=str(tomorrow), time_zone="Asia/Tokyo") == [ids["date"], ids["over"]]
        assert await zoe.found(q="due:<2026-01-01") == []
        assert ids["over"] in await zoe.found(q="is:overdue")
        await client.post(f"/api/tasks/{ids['over']}/complete")
        assert ids["over"] not in await zoe.found(q="is:overdue")


async def test_pages_are_stable_while_tasks_change(running_stack: Stack) -> None:
    """Unchanged tasks are listed once, whatever is added, done, moved or deleted before or behind."""
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        zoe = Tasks(client, "zoe", {})
        paths = [
            (await client.post("/api/tasks", json={"title": f"T{number}"})).headers["location"]
            for number in range(12)
        ]
        ids = [path.rpartition("/")[2] for path in paths]
        first = (await zoe.ask(q="is:open", limit=4)).json()
        assert [item["id"] for item in first["items"]] == ids[:4]
        await client.post(f"{paths[3]}/complete")
        await client.delete(paths[4])
        await client.post(f"{paths[0]}/move", json={"before": ids[10]})
        await client.post("/api/tasks", json={"title": "New"})
        await client.patch(paths[6], json={"title": "Other"})
        second = (await zoe.ask(q="is:open", limit=4, cursor=first["next_cursor"])).json()
        assert [item["id"] for item in second["items"]] == ids[5:9]
        third = await zoe.ask(q="is:open", limit=200, cursor=second["next_cursor"])
        assert [item["id"] for item in third.json()["items"]][:4] == [ids[9], ids[0], ids[10], ids[11]]


async def test_deleted_contents_are_not_found(running_stack: Stack) -> None:
    """A task until it is restored; a deleted comment, and the previous text of an edited one."""
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        zoe = Tasks(client, "zoe", {})
        path = (await client.post("/api/tasks", json={"title": "Cheese"})).headers["location"]
        said = await client.post(f"{path}/comments", json={"text": "gouda & <b>more</b>"})
        comment = (await client.get(f"{path}/comments")).json()["items"][0]["id"]
        assert said.status_code == 201
        [item] = await zoe.items(q="gouda more")
        assert item["match"] == {
            "field": "comment",
            "snippet": "<mark>gouda</mark> &amp; &lt;b&gt;<mark>more</mark>&lt;/b&gt;",
        }
        assert await zoe.found(q='"cheese gouda"') == []
        await client.patch(f"{path}/comments/{comment}", json={"text": "brie"})
        assert await zoe.found(q="gouda") == []
        assert len(await zoe.found(q="brie cheese")) == 1
        await client.delete(f"{path}/comments/{comment}")
        assert await zoe.found(q="brie") == []
        await client.delete(path)
        assert await zoe.found(q="cheese") == []
        await client.post(f"{path}/restore")
        assert len(await zoe.found(q="chee*")) == 1


async def test_tasks_are_found_as_of_a_time(running_stack: Stack) -> None:
    """By title, list, status and comments of that time; in the lists that the caller sees now."""
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        zoe = Tasks(client, "zoe", {})
        other = (await client.post("/api/lists", json={"name": "Other"})).json()["id"]
        before_all = datetime.now(UTC).isoformat()
        body = {"title": "Cheese", "priority": "low"}
        path = (await client.post("/api/tasks", json=body)).headers["location"]
        gone = (await client.post("/api/tasks", json={"title": "Cheese too"})).headers["location"]
        await client.post(f"{path}/comments", json={"text": "brie"})
        then = (await client.get(path)).json()
        time = datetime.now(UTC).isoformat()
        await client.patch(path, json={"title": "Bread", "priority": "high"})
        comment = (await client.get(f"{path}/comments")).json()["items"][0]["id"]
        await client.delete(f"{path}/comments/{comment}")
        await client.post(f"{path}/move", json={"list_id": other})
        await client.post(f"{path}/complete")
        await client.delete(gone)
        both = [path.rpartition("/")[2], gone.rpartition("/")[2]]
        assert await zoe.found(1, as_of=time) == both
        assert await zoe.found(as_of=time, q="cheese") == both
        assert await zoe.found(as_of=time, list_id=other) == []
        assert await zoe.found(as_of=before_all) == []
        assert await zoe.found(as_of=datetime.now(UTC).isoformat(), q="bread") == both[:1]
        [item] = await zoe.items(as_of=time, q="brie p:low is:open")
        assert item == then | {"match": {"field": "comment", "snippet": "<mark>brie</mark>"}}


async def test_invisible_tasks_are_not_found(running_stack: Stack, mine: Tasks) -> None:
    """Neither by words nor by their list; a member finds them."""
    async with running_stack.client(f"eve-{uuid4().hex[:8]}") as client:
        eve = Tasks(client, "eve", {})
        assert await eve.found(q="mil*") == []
        cursor = (await mine.ask(limit=3)).json()["next_cursor"]
        assert (await eve.ask(limit=3, cursor=cursor)).json()["items"] == []
        assert (await eve.ask(q="list:Errands")).status_code == 422
        assert (await eve.ask(list_id=mine.lists["Shared"])).status_code == 404
    async with running_stack.client("bob") as client:
        bob = Tasks(client, "bob", {})
        shared, check = mine.lists["Shared"], says("mil*")
        expected = [task for task in mine.tasks if task.list_id == shared and check(mine, task)]
        assert await bob.found(q=f"mil* list:{shared}") == finding.in_order(expected, "rank")
