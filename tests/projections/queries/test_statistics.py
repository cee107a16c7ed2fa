"""Statistics by the read model, compared with those computed from the fold of the log."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, get_args
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.lists.events import ListCreated, ListEdited
from app.log.fold import Folded
from app.statistics.calendar import days_between
from app.statistics.percentiles import SHOWN, percentile
from app.statistics.report import GroupBy
from app.tasks.events import (
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
    TaskRestored,
    TaskUndone,
)
from app.zones import zone
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.statistics import NoSuchList, StatisticsQueries, Wanted
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.naive_statistics import naive_statistics
from tests.spec import record_of
from tests.thoroughness import examples

NOW = datetime(2026, 4, 20, 15, 30, tzinfo=UTC)
STAGES = (
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
)
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")


@dataclass(repr=False)
class Site:
    """A database with a projector, and the log that it reads."""

    database: Database
    log: MemoryEventLog
    projector: Projector
    queries: StatisticsQueries
    clock: list[datetime]
    versions: dict[str, int] = field(default_factory=dict)

    async def write(self, stream: str, event: Any, time: datetime, user: str) -> None:
        """Append an event of this time."""
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        record = record_of(event, version, stream=stream, id=str(uuid4()), time=time, actor=user)
        await self.log.append([record])

    async def project(self) -> list[Folded]:
        """Project what was appended since the last time, and return its fold."""
        for partition, end in (await self.log.ends()).items():
            await self.projector.catch_up(partition, end)
        mine, self.versions = self.versions, {}
        return fold_log(raw for raw in self.log.records if raw.stream in mine)[1]


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 2))
    database = await open_database(database_url, schema, pool_size=2)
    yield database
    await database.close()


@pytest.fixture(scope="module")
async def site(database: Database) -> Site:
    clock = [NOW]
    log = MemoryEventLog(2, lambda: clock[0])
    return Site(database, log, Projector(database, log.read, None), StatisticsQueries(database), clock)


@dataclass
class History:
    """A random history of two lists of a new user."""

    site: Site
    chance: random.Random
    out_of_order: bool
    user: str = field(default_factory=lambda: f"user {uuid4().hex[:8]}")

    async def happen(self) -> list[str]:
        """Write it, and return the ids of the lists; only the first one has stages."""
        lists = [str(uuid4()) for _ in range(2)]
        start = NOW - timedelta(days=40)
        for number, list_id in enumerate(lists):
            stages = STAGES if number == 0 else ()
            zone_name = self.chance.choice([None, *ZONES])
            created = ListCreated("A list", stages=stages, time_zone=zone_name)  # type: ignore[arg-type]
            self.site.clock[0] = start
            await self.site.write(f"list:{list_id}", created, start, self.user)
        for _ in range(self.chance.randrange(1, 9)):
            await self.task(lists)
        return lists

    async def task(self, lists: Sequence[str]) -> None:
        stream = f"task:{uuid4()}"
        time = NOW - timedelta(minutes=self.chance.randrange(30 * 24 * 60))
        list_id = self.chance.choice(lists)
        created = TaskCreated(
            list_id,
            "A task",
            priority=self.chance.choice(["none", "high"]),
            due=self.due(),
            time_zone=self.chance.choice([None, "Asia/Tokyo"]),
            tags=self.some("a", "b"),
            assignees=self.some("bob", "carol"),
            stage=self.chance.choice([None, "To do", "Doing"]),
            estimate=self.chance.choice([None, 30, 60]),
        )
        events: list[Any] = [created, *(self.event(lists) for _ in range(self.chance.randrange(7)))]
        recorded = time
        for event in events:
            recorded = max(recorded, min(NOW, time + timedelta(minutes=self.chance.randrange(300))))
            self.site.clock[0] = recorded
            await self.site.write(stream, event, time, self.user)
            step = self.chance.choice([0, 1, 50, 700, 5000])
            back = self.out_of_order and self.chance.random() < 0.3
            time += timedelta(minutes=-step if back else step)

    def event(self, lists: Sequence[str]) -> Any:
        """Return an event that may follow any other."""
        stage = self.chance.choice([None, "To do", "Doing", "Done"])
        edits: list[dict[str, Any]] = [
            {"title": "Another title"},
            {"stage": stage},
            {"due": self.due()},
            {"assignees": self.some("bob", "carol"), "tags": self.some("a", "b")},
            {"estimate": self.chance.choice([None, 10]), "priority": "low"},
            {"status": self.chance.choice(["open", "done"])},
        ]
        moves = [] if self.out_of_order else [TaskMoved(self.chance.choice(lists), stage=stage)]
        return self.chance.choice(
            [
                *(TaskEdited(edit) for edit in edits),
                TaskCompleted(stage="Done"),
                TaskCompleted(),
                TaskReopened(stage="To do"),
                TaskDeleted(),
                TaskRestored(),
                TaskCommented(str(uuid4()), "A comment"),
                TaskUndone(1, {"status": "done", "deleted_at": None}),
                *moves,
            ]
        )

    def due(self) -> str | None:
        day = (NOW + timedelta(days=self.chance.randrange(-30, 5))).date()
        return self.chance.choice([None, f"{day}", f"{day}T12:00:00+02:00"])

    def some(self, *names: str) -> tuple[str, ...]:
        return tuple(name for name in names if self.chance.random() < 0.4)


def sampled(values: Sequence[float]) -> tuple[float | None, ...]:
    """Return the number of durations and their percentiles."""
    p50, p85, p95 = (percentile(values, fraction) for fraction in SHOWN)
    return len(values), *(None if each is None else round(each, 3) for each in (p50, p85, p95))


@settings(
    max_examples=examples(25),
    deadline=None,
    # The database remembers earlier examples: a smaller one takes as long to try.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), out_of_order=st.booleans(), data=st.data())
async def test_statistics_equal_those_of_the_fold(
    site: Site, *, seed: int, out_of_order: bool, data: st.DataObject
) -> None:
    """For any history, also with events out of order, now and at both kinds of earlier times."""
    history = History(site, random.Random(seed), out_of_order)
    lists = await history.happen()
    folded = await site.project()
    list_id = data.draw(st.sampled_from([lists[0], lists[1], None]), "list")
    minutes = st.integers(0, 45 * 24 * 60)
    as_of = data.draw(st.none() | minutes.map(lambda n: NOW - timedelta(minutes=n)), "as of")
    recorded = data.draw(st.none() | minutes.map(lambda n: NOW - timedelta(minutes=n)), "as recorded at")
    group_by = data.draw(st.sampled_from(get_args(GroupBy)), "group by")
    time_zone = data.draw(st.none() | st.sampled_from(ZONES), "time zone")
    wanted = Wanted(list_id, time_zone=time_zone, group_by=group_by, as_of=as_of, as_recorded_at=recorded)
    found = await site.queries.of_user(history.user, wanted, NOW)
    moment = wanted.moment(NOW)
    days = days_between(None, None, zone(found.time_zone), moment)
    chosen = lists if list_id is None else [list_id]
    naive = naive_statistics(
        folded,
        chosen,
        {lists[0]: {stage["name"]: stage["category"] == "open" for stage in STAGES}},
        moment,
        as_of=as_of,
        as_recorded_at=recorded,
    )
    assert [asdict(day) for day in found.days] == naive.days(days)
    lead, cycle = naive.times(days)
    assert tuple(asdict(found.lead_time).values()) == pytest.approx(sampled(lead))
    assert tuple(asdict(found.cycle_time).values()) == pytest.approx(sampled(cycle))
    bands: dict[tuple[str | None, str], list[int]] = {}
    for stage, numbers in ((band.stage, band.tasks) for band in found.cumulative_flow):
        before = bands.get((stage, ""), [0] * len(numbers))
        bands[stage, ""] = [a + b for a, b in zip(before, numbers, strict=True)]
    expected: dict[tuple[str | None, str], list[int]] = {}
    for (stage, _), numbers in naive.flow(days).items():
        before = expected.get((stage, ""), [0] * len(numbers))
        expected[stage, ""] = [a + b for a, b in zip(before, numbers, strict=True)]
    assert bands == expected
    groups = {
        group.key: {name: list(getattr(group, name)) for name in asdict(group) if name != "key"}
        for group in found.groups
    }
    assert groups == {
        key: counts for key, counts in naive.groups(days, group_by).items() if any(map(any, counts.values()))
    }


async def one_list(site: Site, *, time_zone: str | None = None) -> tuple[str, str]:
    """Return a new user and a list of theirs."""
    user, list_id = f"user {uuid4().hex[:8]}", str(uuid4())
    site.clock[0] = NOW
    await site.write(f"list:{list_id}", ListCreated("A list", time_zone=time_zone), NOW, user)
    return user, list_id


async def test_days_are_those_of_the_list_as_it_is_now(site: Site) -> None:
    """A new time zone moves all events to its days; a request may have another one."""
    user, list_id = await one_list(site, time_zone="America/New_York")
    late = datetime(2026, 4, 10, 3, 30, tzinfo=UTC)
    await site.write(f"task:{uuid4()}", TaskCreated(list_id, "A task"), late, user)
    await site.project()

    async def created(time_zone: str | None = None) -> list[str]:
        found = await site.queries.of_user(user, Wanted(list_id, time_zone=time_zone), NOW)
        return [str(day.date) for day in found.days if day.created]

    assert await created() == ["2026-04-09"]
    assert await created("Asia/Kathmandu") == ["2026-04-10"]
    site.versions = {f"list:{list_id}": 1}
    await site.write(f"list:{list_id}", ListEdited({"time_zone": None}), NOW, user)
    await site.project()
    assert await created() == ["2026-04-10"]


async def test_nothing_happened_before_the_first_event(site: Site) -> None:
    """All numbers are 0, there are no percentiles, and the forecast is for today."""
    user, list_id = await one_list(site)
    await site.write(f"task:{uuid4()}", TaskCreated(list_id, "A task"), NOW, user)
    await site.project()
    for time in (datetime(1, 1, 1, tzinfo=UTC), NOW - timedelta(days=400)):
        for wanted in (Wanted(list_id, as_of=time), Wanted(list_id, as_recorded_at=time)):
            found = await site.queries.of_user(user, wanted, NOW)
            assert len(found.days) in (1, 30)
            assert {number for day in found.days for number in list(asdict(day).values())[:-1]} == {0}
            assert (found.open_tasks, found.cumulative_flow, found.lead_time.p50) == ([], [], None)
            assert found.forecast.p85 == found.days[-1].date
    later = await site.queries.of_user(user, Wanted(list_id, first=date(2030, 1, 1)), NOW)
    assert later.days == []


async def test_stages_that_the_list_lost_keep_their_category(site: Site) -> None:
    user, list_id = await one_list(site)
    site.versions = {f"list:{list_id}": 1}
    for stages in (STAGES, ({"name": "Open", "category": "open"},)):
        await site.write(f"list:{list_id}", ListEdited({"stages": stages}), NOW, user)  # type: ignore[typeddict-item]
    stream = f"task:{uuid4()}"
    for hours, event in enumerate(
        [TaskCreated(list_id, "A task", stage="To do"), TaskEdited({"stage": "Doing"}), TaskCompleted("Done")]
    ):
        await site.write(stream, event, NOW - timedelta(hours=10 - 3 * hours), user)
    await site.project()
    found = await site.queries.of_user(user, Wanted(list_id), NOW)
    assert (found.lead_time.p50, found.cycle_time.p50) == (6 * 3600, 3 * 3600)
    assert [(band.stage, band.category) for band in found.cumulative_flow] == [("Done", "done")]


async def test_open_tasks_have_their_age(site: Site) -> None:
    """The oldest first, with the time since when they are in progress."""
    user, list_id = await one_list(site)
    site.versions = {f"list:{list_id}": 1}
    await site.write(f"list:{list_id}", ListEdited({"stages": STAGES}), NOW, user)  # type: ignore[typeddict-item]
    old, new = (str(uuid4()) for _ in range(2))
    await site.write(f"task:{new}", TaskCreated(list_id, "New", stage="To do"), NOW - timedelta(1), user)
    await site.write(f"task:{old}", TaskCreated(list_id, "Old", stage="To do"), NOW - timedelta(9), user)
    await site.write(f"task:{old}", TaskEdited({"stage": "Doing"}), NOW - timedelta(4), user)
    await site.project()
    found = await site.queries.of_user(user, Wanted(list_id), NOW)
    assert [(task.id, task.age_s / 86400, task.started_at) for task in found.open_tasks] == [
        (old, 9, NOW - timedelta(4)),
        (new, 1, None),
    ]
    assert (found.age.count, found.age.p50) == (2, 5 * 86400)
    assert found.days[-1].in_progress == 1
    assert found.forecast.tasks == 2
    assert found.forecast.p50 is None


async def test_lists_of_others_are_not_found(site: Site) -> None:
    user, list_id = await one_list(site)
    await site.project()
    assert (await site.queries.of_user(user, Wanted(list_id), NOW)).list_id == list_id
    with pytest.raises(NoSuchList):
        await site.queries.of_user("somebody else", Wanted(list_id), NOW)
    nothing = await site.queries.of_user("somebody else", Wanted(), NOW)
    assert (nothing.list_id, nothing.time_zone, nothing.days[-1].scope) == (None, "UTC", 0)


async def test_costly_statistics_answer_again_for_four_times_as_long_as_they_took(site: Site) -> None:
    """Whoever asks; those of fewer changes, and other questions, are computed at once."""
    user, list_id = await one_list(site)
    site.versions = {f"list:{list_id}": 1}
    await site.write(f"task:{uuid4()}", TaskCreated(list_id, "One"), NOW, user)
    await site.project()
    ticks = count()
    queries = StatisticsQueries(site.database, 1, lambda: float(next(ticks)))
    first = await queries.of_user(user, Wanted(list_id), NOW)
    await site.write(f"task:{uuid4()}", TaskCreated(list_id, "Two"), NOW, user)
    await site.project()
    assert first.days[-1].open == 1
    assert await queries.of_list(list_id, NOW) is first
    with pytest.raises(NoSuchList):
        await queries.of_user("somebody else", Wanted(list_id), NOW)
    assert (await queries.of_user(user, Wanted(list_id, seed=2), NOW)).days[-1].open == 2
    for _ in range(9):
        next(ticks)
    assert (await queries.of_user(user, Wanted(list_id), NOW)).days[-1].open == 2
    rarely = StatisticsQueries(site.database, 3)
    assert await rarely.of_list(list_id, NOW) is not await rarely.of_list(list_id, NOW)
