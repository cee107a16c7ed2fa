"""Activity rules of the page compared with the server's: live entries make the groups that are read."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from api.endpoints.activity import group_json
from app.activity import PHRASES, activity_type, grouped
from app.lists.events import (
    ListCreated,
    ListEdited,
    ListHandedOver,
    ListRenamed,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
)
from app.lists.state import TaskList
from app.log.event_json import changes_json, event_of
from app.log.fold import Folded, changes
from app.log.records import event_data_json
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskReverted,
    TaskSkipped,
    TaskUndone,
)
from app.tasks.state import Task
from projections.queries.activity import FeedEvent
from tests.e2e.screens import Screens
from tests.feeds import feed_of
from tests.folding import fold_log, update_of
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of

LISTS = [str(UUID(int=1 << 120 | number)) for number in range(3)]
SOURCES = ["/tasktape/api"] * 8 + ["/tasktape/import/zo%C3%AB%20%25", "/tasktape/policy/recurrence"]
LIST_EVENTS: Sequence[Any] = [
    ListRenamed("Garden"),
    ListEdited({"stages": ({"name": "Done", "category": "done"},)}),
    ListEdited({"time_zone": "Europe/Berlin"}),
    MemberAdded("bob", "editor"),
    MemberRoleChanged("bob", "viewer"),
    ListHandedOver("bob"),
    MemberRemoved("bob"),
]
JOIN = """
async (given) => {
  const { runs, phrases } = JSON.parse(given);
  const { activityOf, join } = await import("/page/activity_groups.js");
  for (const { groups, news, lists } of runs) {
    for (const { update, known } of news) {
      const activity = activityOf(update, (id) => lists.includes(id), known);
      if (activity !== null) join(groups, activity, phrases);
    }
  }
  return JSON.stringify(runs.map(({ groups }) => groups));
}
"""
"""Takes and gives JSON: Playwright takes minutes to look through so many objects."""


class Clock:
    """A clock that advances some minutes from one record to the next."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._now = chance, START

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=self._chance.randrange(900))
        return self._now


def task_events(chance: random.Random) -> list[Any]:
    """Generate the events of a task after its creation."""
    return [
        TaskEdited({"title": f"“{chance.randrange(9)}” {{n}} $&"}),
        TaskEdited({"stage": "Done", "status": "done"}),
        TaskCompleted(),
        TaskReopened(),
        TaskMoved(chance.choice(LISTS), rank="0123456789abcd"),
        TaskMoved(chance.choice(LISTS), stage="Doing"),
        TaskMoved(chance.choice(LISTS), stage="Done", status="done"),
        TaskSkipped("2026-03-02", "FREQ=DAILY"),
        TaskCommented("c", "Which one?"),
        TaskCommentEdited("c", "Which?"),
        TaskCommentDeleted("c"),
        TaskReminded("2026-03-01T09:00:00Z"),
        TaskUndone(1, {"title": "as it was"}),
        TaskReverted(1, {"title": "as it was"}),
        TaskDeleted(),
        TaskRestored(),
    ]


async def random_log(chance: random.Random) -> list[Folded]:
    """Generate a folded log with everything that the feed may meet."""
    histories = {f"list:{each}": [ListCreated("Home"), *chance.sample(LIST_EVENTS, 4)] for each in LISTS}
    histories[f"list:{LISTS[0]}"][0] = ListCreated("Inbox", inbox=True)
    for number in range(30):
        created = TaskCreated(chance.choice(LISTS), f"task {number}")
        rest = chance.sample(task_events(chance), chance.randrange(6))
        histories[f"task:{UUID(int=2 << 120 | number)}"] = [created, *rest]
    log, versions = MemoryEventLog(3, Clock(chance)), dict.fromkeys(histories, 0)
    turns = [stream for stream, events in histories.items() for _ in events]
    chance.shuffle(turns)
    for stream in turns:
        versions[stream] += 1
        given = {
            "id": f"{stream}-{versions[stream]}",
            "stream": stream,
            "actor": chance.choice(["ann", "bob"]),
            "source": chance.choice(SOURCES),
        }
        record = record_of(histories[stream][versions[stream] - 1], versions[stream], **given)
        await log.append([record, replace(record, id=f"{record.id} again")])  # the second one is superseded
    return fold_log(log.records)[1]


def groups_json(log: Sequence[Folded], lists: Collection[str]) -> list[dict[str, Any]]:
    """Return the groups of a log as in the API; the order of `task_ids` does not count."""
    shown = {folded.raw.position: shown_of(folded) for folded in log}
    groups = from_json(to_json([group_json(group, shown) for group in grouped(feed_of(log, lists))]))
    return [unordered(group) for group in groups]


def unordered(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "task_ids": sorted(group["task_ids"])}


def shown_of(folded: Folded) -> FeedEvent:
    """Return the event of a record and the title after it, as the audit gives them to the feed."""
    record, after = folded.record, folded.after
    assert record is not None
    assert isinstance(after, Task | TaskList)
    difference = changes_json(changes(folded.before, after))
    title = after.title if isinstance(after, Task) else after.name
    return FeedEvent(event_of(folded, event_data_json(record.data), difference), title)


def news_of(folded: Folded) -> dict[str, Any]:
    """Return the update of a record, and what the page knew of its task."""
    known = None
    if isinstance(folded.after, Task):
        known = {"title": folded.after.title, "list_id": folded.after.list_id}
    return {"update": {**from_json(update_of(folded).value), "channel": ""}, "known": known}


async def test_live_entries_make_the_groups_that_are_read(screens: Screens) -> None:
    """Any log, of which any part is read first and the rest arrives in any order, for any lists."""
    chance, runs, expected = random.Random(7), [], []
    types: set[str | None] = set()
    for _ in range(40):
        log = await random_log(chance)
        lists = chance.sample(LISTS, chance.randrange(1, 4))
        read = chance.randrange(len(log))
        news = [news_of(folded) for folded in log[read:]]
        chance.shuffle(news)
        runs.append({"groups": groups_json(log[:read], lists), "news": news, "lists": lists})
        expected.append(groups_json(log, lists))
        types |= {activity_type(folded) for folded in log}
    assert types >= set(PHRASES) - {"task.moved_out", "list.deleted", "list.restored"}
    screen = await screens.open(0)
    phrases = await screen.page.evaluate("fetch('/page/phrases.json').then((answer) => answer.json())")
    given = to_json({"runs": runs, "phrases": phrases}).decode()
    joined = from_json(await screen.page.evaluate(JOIN, given))
    assert [[unordered(group) for group in groups] for groups in joined] == expected
