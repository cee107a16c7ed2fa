"""The call for statistics."""

from __future__ import annotations

from datetime import date, datetime
from typing import Unpack

from typing_extensions import TypedDict  # the base of those of the models

from tasktape_client.calls import Calls, path_of, typed
from tasktape_client.models import Statistics
from tasktape_client.models.statistics import GroupBy


class StatisticsOptions(TypedDict, total=False):
    """The options of statistics.

    `first` and `last` are days in `time_zone`, by default the last 30 in the list's. `as_of` is by the times
    of events, `as_recorded_at` by those of the log. `forecast` is a number of tasks, by default all open
    ones.
    """

    first: date | str | None
    last: date | str | None
    time_zone: str | None
    group_by: GroupBy | None
    as_of: datetime | str | None
    as_recorded_at: datetime | str | None
    forecast: int | None
    seed: int | None


class StatisticsCalls(Calls):
    """The call for statistics. It raises `TasktapeError`."""

    async def statistics(
        self, list_id: str | None = None, **options: Unpack[StatisticsOptions]
    ) -> Statistics:
        """Return the statistics of a list, or of all lists of the caller together."""
        names = {"first": "from", "last": "to"}
        params = {names.get(name, name): value for name, value in options.items()}
        answer = await self.read(path_of("stats"), {"list_id": list_id, **params})
        return typed(Statistics, answer.body)
