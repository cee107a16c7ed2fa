"""The past of lists in memory, from the fold of a log: it passes the tests of `ListPast`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.dates import format_time
from app.errors import Unavailable
from app.lists.state import TaskList
from app.log.fold import Folded
from app.log.updates import is_gone, state_json
from app.tasks.state import Task
from projections.queries.replay import Place, SnapshotPage, Span
from tests.folding import update_of

_FIRST = b'{"at":'


@dataclass(frozen=True)
class Page:
    """See `api.replay.source.Page`."""

    times: Sequence[datetime]
    sizes: Sequence[int]
    end: Place | None
    messages: Sequence[bytes]

    def updates(self, prefix: bytes, first: int, end: int) -> Sequence[bytes]:
        """See `api.replay.source.Page`."""
        return [message.replace(_FIRST, prefix, 1) for message in self.messages[first:end]]


@dataclass
class MemoryPast:
    """An `api.replay.source.Past` of the accepted records of a log, in pages of a few."""

    outcome: Iterable[Folded]
    page_size: int = 3
    query_ticks: int = 0
    """Number of rounds of the event loop that a query takes."""
    failures: int = 0
    """Number of the next queries that fail."""
    queries: int = 0
    events_by_place: list[tuple[Place, Folded]] = field(init=False)

    def __post_init__(self) -> None:
        accepted = [each for each in self.outcome if each.outcome == "accepted" and each.record is not None]
        times: dict[str, datetime] = {}
        placed = []
        for folded in reversed(accepted):
            assert folded.record is not None
            stream = folded.record.stream
            times[stream] = min(folded.record.time, times.get(stream, folded.record.time))
            placed.append((Place(times[stream], *folded.raw.position), folded))
        self.events_by_place = sorted(placed, key=lambda each: each[0])
        self._channels = {each[0]: update_of(each[1]).channels for each in placed}

    def of_list(self, list_id: str) -> list[tuple[Place, Folded]]:
        """Return the events of a list and of the tasks in it, in order."""
        channel = f"list:{list_id}"
        return [each for each in self.events_by_place if channel in self._channels[each[0]]]

    def message(self, place: Place, folded: Folded) -> bytes:
        """Return the message of an event, without a channel."""
        return b'%s"%s",%s' % (_FIRST, format_time(place.at).encode(), update_of(folded).value[1:])

    async def span(self, list_id: str) -> Span | None:
        """See `api.replay.source.Past`."""
        await self._query()
        places = [place for place, _ in self.of_list(list_id)]
        return Span(places[0].at, places[-1].at) if places else None

    async def events(
        self, list_id: str, after: Place, until: datetime, types: Collection[str] | None
    ) -> Page:
        """See `api.replay.source.Past`."""
        await self._query()
        found = [each for each in self.of_list(list_id) if after < each[0] and each[0].at <= until]
        page = found[: self.page_size]
        wanted = [each for each in page if types is None or _type(each[1]) in types]
        messages = [self.message(*each) for each in wanted]
        end = page[-1][0] if len(found) > len(page) else None
        return Page([place.at for place, _ in wanted], list(map(len, messages)), end, messages)

    async def tasks(self, list_id: str, time: datetime, after: Place) -> SnapshotPage:
        """See `api.replay.source.Past`."""
        await self._query()
        newest: dict[str, tuple[Place, Task]] = {}
        for place, folded in self.events_by_place:
            if place.at <= time and isinstance(folded.after, Task):
                newest[folded.after.id] = (place, folded.after)
        found = sorted(
            (place, state_json(task))
            for place, task in newest.values()
            if task.list_id == list_id and not is_gone(task) and place > after
        )
        page = found[: self.page_size]
        return SnapshotPage([state for _, state in page], page[-1][0] if len(found) > len(page) else None)

    async def list_at(self, list_id: str, time: datetime) -> bytes:
        """See `api.replay.source.Past`."""
        await self._query()
        states = [
            each.after
            for place, each in self.events_by_place
            if place.at <= time and isinstance(each.after, TaskList) and each.after.id == list_id
        ]
        return b"null" if not states or is_gone(states[-1]) else state_json(states[-1])

    async def _query(self) -> None:
        self.queries += 1
        for _ in range(self.query_ticks):
            await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable("the database is unavailable")


def _type(folded: Folded) -> str:
    assert folded.record is not None
    return folded.record.type
