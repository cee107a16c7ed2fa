"""Rebuilding of read models from the log: a new generation is filled, and swapped with the live one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from app.errors import Unavailable
from app.settings import Settings
from projections.generations.comparison import Comparison, Difference
from projections.generations.lifecycle import begin_again, begin_rebuild, drop_all_but_live
from projections.generations.opening import NotSetUp, open_database
from projections.generations.rebuild_lock import rebuild_lock
from projections.generations.swap import align, swap
from projections.postgres import checkpoints
from projections.postgres.database import Database
from projections.read_models.registry import BY_NAME, ReadModel, name_of
from projections.rebuild.copying import copy_live
from projections.rebuild.following import Follower, TooFar
from projections.rebuild.indexes import make_indexes
from projections.rebuild.load_progress import end_load
from projections.rebuild.load_progress import loaded as read_loaded
from projections.rebuild.load_progress import read as read_progress
from projections.rebuild.part import Part
from streams.event_log import KafkaEventLog, topic_ends
from streams.loading import load, opened
from streams.paced_log import PacedLog
from streams.same_log import check_same_log

ROUNDS = 50
"""The most rounds in which a rebuild follows the log; each has the records that were added meanwhile."""
FOLLOWED_S = 3.0
"""The time in which all processes have followed a swap (`streams.generation_watch`)."""
NOTHING_RETIRED = "read models: there are no retired ones"


class Different(Exception):
    """Error if the rebuilt read models are not equal to the live ones, which stay live."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        super().__init__("the rebuilt read models differ from the live ones")
        self.differences = differences


Report = Callable[[int, int], None]
"""A listener to the number of records that are done, and that of all."""
Ends = Callable[[], Awaitable[Mapping[int, int]]]


def unreported(_done: int, _all: int) -> None:
    """Ignore the progress of a rebuild."""


async def rebuild_all(
    settings: Settings,
    report: Report = unreported,
    *,
    part: Part | None = None,
    per_s: float | None = None,
    verify: bool = False,
) -> str:
    """Rebuild read models beside the live ones, and swap; return a line that reports it.

    With `part`, rebuild only that, and copy the rest. Continue a rebuild of the same part that was
    interrupted. Fold at most `per_s` records a second. With `verify`, swap only if all rows are equal to the
    live ones. Raise `Conflict` while another one runs, `Different`, `Malformed`, `WrongLog`, and
    `Unavailable`.
    """
    loaded = None
    if part is not None:
        loaded = part.loaded(settings.partitions)
        part.check_within(
            await topic_ends(settings.kafka_brokers, settings.events_topic, settings.partitions)
        )
    async with rebuild_lock(settings.database_url, settings.schema_name, wait=False):
        number = await begin_rebuild(settings.database_url, settings.schema_name, settings.partitions, loaded)
        if number is None:
            raise NotSetUp(
                "there are no read models of this version; run `tasktape migrate`, which fills them"
            )
        live = await open_database(settings.database_url, settings.schema_name, pool_size=1)
        try:
            return await _Rebuild(settings, number, report, per_s).beside(live, verify=verify)
        finally:
            await live.close()


async def fill(settings: Settings, number: int, report: Report = unreported) -> str:
    """Fill a generation to the end of the log and make it the live one; return a line that reports it.

    Unlike `rebuild_all`, it does not look where the former one was. Raise `Unavailable`.
    """
    return await _Rebuild(settings, number, report, None).to_the_end()


class _Rebuild:
    """The filling of one generation, which can be interrupted at any time and begun again."""

    def __init__(self, settings: Settings, number: int, report: Report, per_s: float | None) -> None:
        self._settings = settings
        self._number = number
        self._report = report
        self._per_s = per_s
        self._done = self._all = 0

    async def beside(self, live: Database, *, verify: bool) -> str:
        """Fold to where the live generation is, compare the two if asked to, and swap."""

        async def live_offsets() -> Mapping[int, int]:
            found = await checkpoints.read(live.pool, range(self._settings.partitions))
            return {partition: checkpoint.next_offset for partition, checkpoint in found.items()}

        async with opened(self._settings, self._number) as (database, event_log):
            await check_same_log(self._settings.kafka_brokers, self._settings.events_topic, event_log, live)
            await self._load(database, await live_offsets())
            follower = self._follower(database, event_log)
            for _ in range(ROUNDS):
                ends = await self._expect(database, await live_offsets())
                await follower.up_to(ends)
                with contextlib.suppress(TooFar):
                    if verify:
                        await self._compare(live, database, follower)
                        verify = False
                    await self._swap(follower)
                    return self._line(await read_loaded(database.pool), ends)
        raise Unavailable(
            "records are projected faster than they are rebuilt; run it again later to continue"
        )

    async def to_the_end(self) -> str:
        """Fold to the end of the log, note everything as emitted, and swap."""
        async with opened(self._settings, self._number) as (database, event_log):
            await self._load(database, await event_log.ends())
            follower, reached = self._follower(database, event_log), None
            for _ in range(ROUNDS):
                ends = await self._expect(database, await event_log.ends())
                if ends == reached:
                    break
                await follower.up_to(ends)
                reached = ends
            await follower.settle(range(self._settings.partitions))
            made = await read_loaded(database.pool)
        await swap(self._settings.database_url, self._settings.schema_name, self._number)
        return self._line(made, ends)

    async def _swap(self, follower: Follower) -> None:
        await swap(self._settings.database_url, self._settings.schema_name, self._number, follower.finish)

    async def _compare(self, live: Database, building: Database, follower: Follower) -> None:
        """Compare both generations as of one moment, for as long as it takes. Raise `Different`."""
        taken: list[Comparison] = []

        async def take(ends: Mapping[int, int]) -> None:
            await follower.finish(ends)
            taken.append(await Comparison.begin(self._settings.database_url))

        try:
            await align(self._settings.database_url, self._settings.schema_name, self._number, take)
            schemas = live.live.schema, building.live.schema
            differences = await taken[0].differences(*schemas)
        finally:
            for comparison in taken:
                comparison.end()
        if differences:
            raise Different(differences)

    async def _load(self, database: Database, ends: Mapping[int, int]) -> None:
        """Copy and load in bulk what is missing, then make the indexes."""
        place = self._settings.database_url, self._settings.schema_name, self._number
        if await read_progress(database.pool) is None:
            return
        await copy_live(*place)
        if not await self._load_all(database, ends):
            # What is parked differs, so no other read model can be kept.
            await begin_again(*place, self._settings.partitions)
            await database.pool.expire_connections()
            await self._load_all(database, ends)
        await make_indexes(*place)
        await end_load(database, range(self._settings.partitions))

    async def _load_all(self, database: Database, ends: Mapping[int, int]) -> bool:
        """Load all partitions; return whether all are finished."""
        progress = await read_progress(database.pool)
        assert progress is not None
        # A partition that is finished stays where it is, and is followed later.
        ends = {
            partition: end if (until := progress[partition].until) is None else until
            for partition, end in ends.items()
        }
        self._done, self._all = 0, sum(ends.values())
        await load(self._settings, self._number, progress, ends, self._count, self._per_s)
        reached = await read_progress(database.pool)
        return reached is not None and all(each.finished for each in reached.values())

    async def _expect(self, database: Database, ends: Mapping[int, int]) -> Mapping[int, int]:
        reached = await checkpoints.read(database.pool, list(ends))
        self._all = sum(ends.values())
        self._done = sum(min(ends[partition], each.next_offset) for partition, each in reached.items())
        self._count(0)
        return ends

    def _follower(self, database: Database, event_log: KafkaEventLog) -> Follower:
        return Follower(database, PacedLog(event_log, self._per_s), self._count)

    def _count(self, records: int) -> None:
        self._done += records
        self._report(self._done, max(self._done, self._all))

    def _line(self, made: Sequence[ReadModel], ends: Mapping[int, int]) -> str:
        if not made:
            return f"read models: copied as generation {self._number}, with their new indexes"
        records = f"as generation {self._number} from {sum(ends.values())} records"
        if len(made) == len(BY_NAME):
            return f"read models: rebuilt {records}"
        return f"read models: rebuilt {', '.join(map(name_of, made))} {records}; copied the others"


async def drop_retired(settings: Settings) -> str:
    """Drop the generations that are not live, also one whose rebuild was interrupted; return a report.

    Raise `Conflict` while a rebuild runs, and `Unavailable`.
    """
    async with rebuild_lock(settings.database_url, settings.schema_name, wait=False):
        await asyncio.sleep(FOLLOWED_S)
        dropped = await drop_all_but_live(settings.database_url, settings.schema_name)
    return f"read models: dropped generation {', '.join(map(str, dropped))}" if dropped else NOTHING_RETIRED
