"""Task search by every strategy, equal to the fold of the log, in order, now and as of a time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.lists.events import ListCreated, ListDeleted, MemberAdded
from app.log.fold import Folded
from app.log.records import RawRecord
from app.search.criteria import criteria_of
from app.search.parser import parse
from app.search.sorting import SORT_ORDERS
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
    TaskRestored,
)
from app.tasks.state import Task
from projections.batches import Batch, by_partition
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.postgres.periods import Moment
from projections.projector import Projector
from projections.queries.tasks import TaskQueries
from projections.task_search.cost_limits import Bounds
from projections.task_search.ordering import Order, Place
from tests import finding
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of
from tests.thoroughness import examples

LISTS = [str(UUID(int=1 << 120 | number)) for number in range(14)]
"""The first twelve are alice's, the last of these deleted; bob sees the even ones; the others are carol's."""
ALICES = LISTS[:11]
NAMES = ["Home", "home", "Work", *(f"List {number}" for number in range(3, 14))]
WORDS = ["milk", "bread", "mild", "meeting", "follow", "up", "x1"]
TAGS, PEOPLE, STAGES = ["a", "b", "c d"], ["alice", "bob", "dora"], ["Next", "Doing it"]
DUES = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-01T23:30:00-05:00", "2026-03-02T12:00:00+01:00"]
NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")
KEYS = list(SORT_ORDERS)
PARTITIONS = 2


class World:
    """A log of many tasks and its outcomes; many values and times are equal."""

    def __init__(self) -> None:
        self.chance = random.Random(3)
        self.time = START
        self.log = MemoryEventLog(PARTITIONS, self._recorded_at)
        self._versions: dict[str, int] = {}
        self._folded: list[Folded] = []

    async def happen(self, stream: str, event: Any, actor: str = "alice") -> None:
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        # Imported events may be older than those before them.
        time = self.time - timedelta(minutes=self.chance.choice([*[0] * 12, 90, 1_000]))
        given = {"id": str(uuid4()), "stream": stream, "actor": actor, "time": time}
        await self.log.append([record_of(event, version, **given)])

    def _recorded_at(self) -> datetime:
        """Return the time by the log's clock, which is a day ahead and sometimes goes back."""
        return self.time + timedelta(days=1, minutes=-self.chance.choice([*[0] * 9, 25]))

    def text(self, most: int) -> str:
        return " ".join(self.chance.choices(WORDS, k=self.chance.randrange(most + 1)))

    def fields(self) -> dict[str, Any]:
        choice, sample = self.chance.choice, self.chance.sample
        return {
            "title": f"{choice(['Milk', 'milk', 'A'])} {self.text(3)}".strip(),
            "notes": self.text(4),
            "priority": choice(finding.PRIORITIES),
            "due": choice([None, *DUES]),
            "time_zone": choice([None, "Asia/Tokyo"]),
            "tags": tuple(sample(TAGS, self.chance.randrange(3))),
            "assignees": tuple(sample(PEOPLE, self.chance.randrange(3))),
            "stage": choice([None, *STAGES]),
            "estimate": choice([None, 0, 30, 60, 90]),
        }

    async def go_on(self) -> None:
        """Append days of work."""
        await self.make_lists()
        tasks = [f"task:{UUID(int=2 << 120 | number)}" for number in range(260)]
        for number, stream in enumerate(tasks):
            self.time += timedelta(minutes=self.chance.choice([0, 0, 7]))
            fields = self.fields() | {"rank": self.chance.choice(["04i", f"05{number:03}i"])}
            parent = tasks[0].partition(":")[2] if number % 9 == 1 else None
            await self.happen(stream, TaskCreated(self.chance.choice(LISTS), parent_id=parent, **fields))
        for stream in self.chance.choices(tasks, k=500):
            self.time += timedelta(minutes=self.chance.choice([0, 0, 11]))
            for event in self.chance.choice(self.events(stream)):
                await self.happen(stream, event)

    async def make_lists(self) -> None:
        for number, list_id in enumerate(LISTS):
            await self.happen(
                f"list:{list_id}", ListCreated(NAMES[number]), "alice" if number < 12 else "carol"
            )
            if number % 2 == 0:
                await self.happen(f"list:{list_id}", MemberAdded("bob", "viewer"))
        await self.happen(f"list:{LISTS[11]}", ListDeleted())

    def events(self, stream: str) -> Sequence[Sequence[Any]]:
        name, edited = self.chance.choice(list(self.fields().items()))
        comment = f"{stream}-{self._versions[stream]}"
        return (
            (TaskEdited({name: edited}),),
            (TaskCompleted(),),
            (TaskReopened(),),
            (TaskMoved(self.chance.choice(LISTS)),),
            (TaskDeleted(),),
            (TaskDeleted(), TaskRestored()),
            (TaskCommented(comment, self.text(3) or "hm"),),
            (TaskCommented(comment, "bread"), TaskCommentEdited(comment, self.text(2) or "hm")),
            (TaskCommented(comment, "milk"), TaskCommentDeleted(comment)),
            # As other programs may do; it changes nothing.
            (
                TaskCommented(comment, "milk"),
                TaskCommentDeleted(comment),
                TaskCommentEdited(comment, "bread"),
                TaskCommented(comment, "bread"),
            ),
        )

    def states(self, moment: Moment | None = None) -> list[Task]:
        """Return the existing tasks, now or at a past moment."""
        states = {folded.raw.key: folded.after for folded in self.until(moment)}
        return [each for each in states.values() if isinstance(each, Task) and each.deleted_at is None]

    def versions(self) -> dict[str, int]:
        """Return the newest version of each task, also of deleted ones."""
        states = {folded.raw.key: folded.after for folded in self.until(None)}
        return {each.id: each.version for each in states.values() if isinstance(each, Task)}

    def comments(self, moment: Moment | None = None) -> dict[str, dict[str, str]]:
        """Return the existing comments by task, now or at a past moment."""
        said: dict[str, dict[str, str | None]] = {}
        for folded in self.until(moment):
            assert folded.record is not None
            mine = said.setdefault(folded.record.stream.key, {})
            match folded.record.data:
                case TaskCommented(comment_id=key, text=text):
                    mine.setdefault(key, text)
                case TaskCommentEdited(comment_id=key, text=text) if mine[key] is not None:
                    mine[key] = text
                case TaskCommentDeleted(comment_id=key):
                    mine[key] = None
        return {
            task_id: {key: text for key, text in mine.items() if text is not None}
            for task_id, mine in said.items()
        }

    def until(self, moment: Moment | None) -> list[Folded]:
        """Return the outcomes of each stream's records up to the last one that happened by a moment."""
        if not self._folded:
            self._folded = fold_log(self.log.records)[1]
        if moment is None:
            return self._folded
        streams: dict[bytes | None, list[Folded]] = {}
        for folded in self._folded:
            streams.setdefault(folded.raw.key, []).append(folded)
        return [folded for stream in streams.values() for folded in until(stream, moment)]


def until(stream: Sequence[Folded], moment: Moment) -> Sequence[Folded]:
    """Return the records of a stream up to the last one that happened by a moment."""
    times = [
        folded.record.time if moment.clock == "event" else folded.raw.recorded_at
        for folded in stream
        if folded.record is not None
    ]
    return stream[: max((at for at, time in enumerate(times, 1) if time <= moment.time), default=0)]


@pytest.fixture(scope="module")
async def world() -> World:
    """Return the filled log."""
    made = World()
    await made.go_on()
    return made


@pytest.fixture(scope="module")
async def database(database_url: str, world: World) -> AsyncIterator[Database]:
    """Yield tables of that log."""
    schema = f"f_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    opened = await open_database(database_url, schema, pool_size=2)
    projector = Projector(opened, world.log.read, None)
    for batch in batches(world.log.records):
        await projector.project(batch)
    yield opened
    await opened.close()


def batches(records: Sequence[RawRecord]) -> Iterator[Batch]:
    """Yield the log in batches of several sizes: versions end within a batch and between two."""
    for partition, of_partition in by_partition(records).items():
        for size, first in zip(cycle([1, 7, 60]), range(0, len(of_partition), 60), strict=False):
            part = of_partition[first : first + 60]
            for start in range(0, len(part), size):
                yield {partition: part[start : start + size]}


Check = Callable[[Task, list[str]], bool]
"""A predicate of a task with these texts."""


def due_in(first: str | None, end: str | None) -> Check:
    def check(task: Task, _: list[str]) -> bool:
        day = finding.due_day(task, ZONE)
        return day is not None and (first or "") <= day.isoformat() < (end or "9")

    return check


def by_instant(check: Callable[[datetime], bool]) -> Check:
    return lambda task, _: (instant := finding.due_instant(task)) is not None and check(instant)


def has(wanted: str) -> Check:
    return lambda _, texts: any(finding.says(text, wanted) for text in texts)


def overdue(task: Task, _: list[str]) -> bool:
    if task.due is None or task.status == "done":
        return False
    if len(task.due) == 10:
        return task.due < "2026-03-02"
    return datetime.fromisoformat(task.due) < NOW


NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)
PARTS: dict[str, Check] = {
    "is:open": lambda t, _: t.status == "open",
    "is:done": lambda t, _: t.status == "done",
    "#a": lambda t, _: "a" in t.tags,
    'tag:"c d"': lambda t, _: "c d" in t.tags,
    "@me": lambda t, _: "alice" in t.assignees,
    "@dora": lambda t, _: "dora" in t.assignees,
    "is:unassigned": lambda t, _: not t.assignees,
    "by:alice": lambda t, _: t.created_by == "alice",
    'stage:"Doing it"': lambda t, _: t.stage == "Doing it",
    "p:high": lambda t, _: t.priority == "high",
    "p:>=medium": lambda t, _: t.priority in ("medium", "high", "urgent"),
    "p:<low": lambda t, _: t.priority == "none",
    "p:>urgent": lambda _, __: False,
    "is:subtask": lambda t, _: t.parent_id is not None,
    "has:notes": lambda t, _: t.notes != "",
    "has:comments": lambda t, _: t.comment_count > 0,
    "estimate:60": lambda t, _: t.estimate == 60,
    "estimate:>30": lambda t, _: t.estimate is not None and t.estimate > 30,
    "estimate:<=30": lambda t, _: t.estimate is not None and t.estimate <= 30,
    "estimate:none": lambda t, _: t.estimate is None,
    "estimate:<0": lambda _, __: False,
    "due:none": lambda t, _: t.due is None,
    "due:2026-03-01": due_in("2026-03-01", "2026-03-02"),
    "due:today": due_in("2026-03-02", "2026-03-03"),
    "due:tomorrow": due_in("2026-03-03", "2026-03-04"),
    "due:<today": due_in(None, "2026-03-02"),
    "due:>2026-03-01": due_in("2026-03-02", None),
    "due:week": due_in("2026-03-02", "2026-03-09"),
    "due:<2026-03-02T12:00:00+01:00": by_instant(lambda instant: instant < NOON),
    "due:<=2026-03-02T12:00:00+01:00": by_instant(lambda instant: instant <= NOON),
    "due:2026-03-02T12:00:00+01:00": by_instant(lambda instant: instant == NOON),
    "is:overdue": overdue,
    "list:home": lambda t, _: t.list_id in LISTS[:2],
    f"list:{LISTS[5]}": lambda t, _: t.list_id == LISTS[5],
    "milk": has("milk"),
    "mil*": has("mil*"),
    "MEETING": has("meeting"),
    '"follow up"': has("follow up"),
    '"milk milk bread"': has("milk milk bread"),
    "bread": has("bread"),
    "nowhere": lambda _, __: False,
}
"""Parts of searches, and what each means, on 2 March in New York."""

searches = st.lists(st.tuples(st.sampled_from(sorted(PARTS)), st.booleans()), max_size=4)
bounds = st.builds(
    Bounds,
    walked=st.sampled_from([0, 5, 40, 1_000]),
    walked_versions=st.sampled_from([0, 40, 4_000]),
    expected=st.sampled_from([0, 10, 1_000_000]),
    gathered=st.sampled_from([0, 5, 40, 8_000]),
    bucket=st.sampled_from([0.0, 20.0]),
    at_once=st.sampled_from([1, 10, 4_000]),
    abreast=st.sampled_from([1, 3, 32]),
)
orders = st.builds(Order, key=st.sampled_from(KEYS), descending=st.booleans())
moments = st.builds(
    lambda minutes, clock: Moment(START + timedelta(minutes=minutes), clock),
    st.integers(-1_010, 6_000),
    st.sampled_from(["event", "recorded"]),
)


async def pages(
    queries: TaskQueries, text: str, order: Order | None, limit: int, moment: Moment | None = None
) -> list[str]:
    """Return the ids of all tasks that a search finds for alice, page by page."""
    criteria = criteria_of(parse(text, me="alice"), now=NOW, zone=ZONE)
    found: list[str] = []
    after: Place | None = None
    for _ in range(300):
        page = await queries.page("alice", criteria, order, after=after, limit=limit, moment=moment)
        found += [task.id for task in page.items]
        assert page.end is None or len(page.items) == limit
        if page.end is None:
            return found
        after = page.end
    raise AssertionError("the pages do not end")


def meant(world: World, parts: Sequence[tuple[str, bool]], moment: Moment | None = None) -> list[Task]:
    """Return the matching tasks of the fold."""
    said = world.comments(moment)
    return [
        task
        for task in world.states(moment)
        if task.list_id in ALICES
        and all(
            PARTS[part](task, [task.title, task.notes, *said.get(task.id, {}).values()]) != negated
            for part, negated in parts
        )
    ]


def text_of(parts: Sequence[tuple[str, bool]]) -> str:
    return " ".join("-" * negated + part for part, negated in parts)


@given(parts=searches, order=orders, limit=st.sampled_from([3, 7, 50, 200]), bounds=bounds)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
async def test_pages_are_the_matching_tasks_in_order(
    world: World,
    database: Database,
    parts: list[tuple[str, bool]],
    order: Order,
    limit: int,
    bounds: Bounds,
) -> None:
    """For any search and order, any strategy and any page ends."""
    sort = f"{'-' * order.descending}{order.key}"
    found = await pages(TaskQueries(database.pool, bounds), text_of(parts), order, limit)
    assert found == finding.in_order(meant(world, parts), sort)


@given(parts=searches, order=orders, limit=st.sampled_from([7, 200]), bounds=bounds, moment=moments)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
async def test_pages_as_of_a_time_are_the_tasks_that_matched_then(
    world: World,
    database: Database,
    parts: list[tuple[str, bool]],
    order: Order,
    limit: int,
    bounds: Bounds,
    moment: Moment,
) -> None:
    """By both clocks, also where they went back; with titles, lists, comments and all."""
    sort = f"{'-' * order.descending}{order.key}"
    found = await pages(TaskQueries(database.pool, bounds), text_of(parts), order, limit, moment)
    assert found == finding.in_order(meant(world, parts, moment), sort)


@pytest.mark.parametrize("parts", [[("mil*", False)], [("milk", False), ("bread", False), ("#a", True)]])
@pytest.mark.parametrize("small", [Bounds(walked=5, expected=5, gathered=5), Bounds()])
async def test_relevance_is_matches_in_the_title_then_latest_change(
    world: World, database: Database, parts: list[tuple[str, bool]], small: Bounds
) -> None:
    """All the words have to be in the title for that."""
    tiers = tiers_of(meant(world, parts), [part for part, _ in parts if not part.startswith("#")])
    assert all(tiers)
    expected = [task_id for tier in tiers for task_id in finding.in_order(tier, "-updated_at")]
    assert await pages(TaskQueries(database.pool, small), text_of(parts), None, 9) == expected


def tiers_of(tasks: Sequence[Task], words: Sequence[str]) -> tuple[list[Task], list[Task]]:
    """Return the tasks with all words in their titles, and the others."""
    titled = [task for task in tasks if all(finding.says(task.title, word) for word in words)]
    return titled, [task for task in tasks if task not in titled]


@given(
    words=st.lists(st.sampled_from(["milk", "mil*", "bread"]), min_size=1, max_size=2, unique=True),
    excluded=st.sampled_from([(), (("#a", True),), (("bread", True),)]),
    limit=st.sampled_from([7, 200]),
    bounds=bounds,
    moment=moments,
)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
async def test_relevance_as_of_a_time_is_that_of_then(
    world: World,
    database: Database,
    words: list[str],
    excluded: tuple[tuple[str, bool], ...],
    limit: int,
    bounds: Bounds,
    moment: Moment,
) -> None:
    """Tasks with all the words in their titles of then come first, by their last changes until then.

    If too many of them have changed since, they come by their creation.
    """
    parts = [*((word, False) for word in words), *excluded]
    newest = world.versions()
    expected: list[str] = []
    for tier in tiers_of(meant(world, parts, moment), words):
        changed = [task for task in tier if task.version < newest[task.id]]
        sort = "created_at" if len(changed) > bounds.gathered else "-updated_at"
        expected += finding.in_order(tier, sort)
    queries = TaskQueries(database.pool, bounds)
    assert await pages(queries, text_of(parts), None, limit, moment) == expected


@pytest.mark.parametrize(
    ("fitting", "buckets", "with_words", "gathers"),
    [
        (1_000, 1, False, True),
        (10_000, 1, False, False),
        (10_000, 400, False, True),
        (10_000, 400, True, True),
        (20_000, 400, False, False),
        (20_000, 400, True, True),
        (40_000, 4_000, True, False),
    ],
)
def test_planner_looks_up_rare_matches_and_walks_for_frequent_ones(
    *, fitting: int, buckets: int, with_words: bool, gathers: bool
) -> None:
    """Of 200,000 tasks, for a page of fifty."""
    steps = 2 * buckets + 50 * 200_000 / fitting
    chosen = Bounds().prefers_lookup(fitting, buckets=buckets, steps=steps, with_words=with_words)
    assert chosen == gathers


async def test_only_own_lists_are_searched(world: World, database: Database) -> None:
    """Viewers too; not deleted lists, and strangers find nothing."""
    criteria = criteria_of(parse("mil*", me="bob"), now=NOW, zone=ZONE)
    queries = TaskQueries(database.pool)
    found = await queries.page("bob", criteria, Order("title"), after=None, limit=200)
    states = {task.id: task for task in world.states()}
    assert {states[task.id].list_id for task in found.items} <= set(LISTS[::2]) - {LISTS[11]}
    assert found.items
    assert (await queries.page("eve", criteria, Order("title"), after=None, limit=200)).items == []
