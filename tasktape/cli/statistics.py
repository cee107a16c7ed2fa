"""The verb `stats`: the statistics of lists, with small charts of characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

import click

from app.statistics.calendar import USUAL_DAYS
from app.statistics.forecast import MOST_TASKS
from app.statistics.report import GroupBy
from tasktape.cli.client import api_verb, the_list
from tasktape.cli.lines import printable
from tasktape.cli.options import json_option
from tasktape.cli.zone import local_zone, with_offset

if TYPE_CHECKING:
    from tasktape_client import Client
    from tasktape_client.models import Durations, Statistics
    from tasktape_client.statistics import StatisticsOptions

BARS = "▁▂▃▄▅▆▇█"
CHART_CHARS = 60
"""Longer ranges have several days in a character."""
CLEAR = "\x1b[H\x1b[2J"
DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60


@click.command(epilog="Example: tasktape stats --list Errands --from 2026-11-01 --to 2026-11-30")
@click.option("--list", "list_name", help="Of this list, by its name or id.  [default: all your lists]")
@click.option("--from", "first", metavar="DATE", help=f"The first day.  [default: {USUAL_DAYS} days in all]")
@click.option("--to", "last", metavar="DATE", help="The last day.  [default: today]")
@click.option("--zone", "time_zone", help="Time zone of the days.  [default: the list's, else UTC]")
@click.option("--by", "group_by", type=click.Choice(get_args(GroupBy)), help="Also show groups of tasks.")
@click.option("--as-of", metavar="TIME", help="As they were then, such as 2026-11-29T09:00 or RFC 3339.")
@click.option("--as-recorded-at", metavar="TIME", help="As they were known then.")
@click.option(
    "--forecast", type=click.IntRange(1, MOST_TASKS), help="Tasks to forecast.  [default: all open]"
)
@click.option("--watch", is_flag=True, help="Show them again after each change, until Ctrl-C; needs --list.")
@json_option
@api_verb
async def stats(
    client: Client,
    *,
    list_name: str | None,
    watch: bool,
    as_json: bool,
    as_of: str | None,
    as_recorded_at: str | None,
    **options: str | int | None,
) -> None:
    """Show statistics: tasks by day, their times, and a forecast.

    Charts begin with the first day; a higher bar is a larger number.
    """
    given = {name: value for name, value in options.items() if value is not None}
    zone = local_zone()
    times = {"as_of": as_of, "as_recorded_at": as_recorded_at}
    given |= {name: with_offset(time, zone) for name, time in times.items() if time is not None}
    list_id = None if list_name is None else await the_list(client, list_name)
    if watch:
        if list_id is None or given:
            raise click.UsageError("--watch needs --list, and no other options")
        await _watch(client, list_id, as_json=as_json)
        return
    wanted: StatisticsOptions = given  # type: ignore[assignment]
    _show(await client.statistics(list_id, **wanted), as_json=as_json)


async def _watch(client: Client, list_id: str, *, as_json: bool) -> None:
    from tasktape_client import TasktapeError, Unsubscribed
    from tasktape_client.models import StatisticsReport

    channel = f"stats:{list_id}"
    async for item in client.updates([channel]):
        if isinstance(item, StatisticsReport) and item.channel == channel:
            if not as_json and sys.stdout.isatty():
                click.echo(CLEAR, nl=False)
            _show(item.stats, as_json=as_json)
        elif isinstance(item, Unsubscribed) and item.channel == channel:
            raise TasktapeError("you do not see this list any longer", code="not_found")


def _show(found: Statistics, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.as_sent()))
        return
    for line in statistics_lines(found):
        click.echo(printable(line))


def statistics_lines(found: Statistics) -> Iterator[str]:
    """Yield the lines for people."""
    if not found.days:
        yield "No day of this range has begun."
        return
    yield f"{found.days[0].date} to {found.days[-1].date} ({found.time_zone})"
    for name in ("created", "completed", "reopened", "deleted"):
        yield _line(name, numbers := [getattr(day, name) for day in found.days], f"{sum(numbers):,}")
    for name, title in (
        ("open", "open"),
        ("overdue", "overdue"),
        ("in_progress", "in progress"),
        ("done", "done"),
    ):
        yield _line(
            title, numbers := [getattr(day, name) for day in found.days], f"{numbers[-1]:,} at the end"
        )
    for title, times in (
        ("lead time", found.lead_time),
        ("cycle time", found.cycle_time),
        ("age", found.age),
    ):
        yield f"{title:<12} {_times(times)}"
    for band in found.cumulative_flow:
        yield _line(f"  {band.stage or '(no stage)'}", band.tasks, f"{band.tasks[-1]:,} ({band.category})")
    for group in found.groups:
        yield _line(
            f"  {group.key or '(none)'}",
            group.open,
            f"{group.open[-1]:,} open, {sum(group.completed):,} completed",
        )
    yield _forecast(found)


def _line(title: str, numbers: Sequence[int], said: str) -> str:
    return f"{title:<12} {sparkline(numbers)}  {said}"


def sparkline(numbers: Sequence[int]) -> str:
    """Return numbers as bars; of several days in one character, the highest counts."""
    size = -(-len(numbers) // CHART_CHARS) or 1
    tops = [max(numbers[first : first + size]) for first in range(0, len(numbers), size)]
    highest = max(tops, default=0)
    return "".join(BARS[0 if top <= 0 else 1 + (len(BARS) - 2) * top // highest] for top in tops)


def _times(times: Durations) -> str:
    if not times.count or times.p50 is None or times.p85 is None or times.p95 is None:
        return "no tasks"
    tasks = "1 task" if times.count == 1 else f"{times.count:,} tasks"
    shown = ", ".join(
        f"{percent} % up to {_duration(seconds)}"
        for percent, seconds in ((50, times.p50), (85, times.p85), (95, times.p95))
    )
    return f"{shown} ({tasks})"


def _duration(seconds: float) -> str:
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def _forecast(found: Statistics) -> str:
    forecast = found.forecast
    if forecast.tasks == 0:
        return "forecast     nothing is open"
    tasks = "1 task" if forecast.tasks == 1 else f"{forecast.tasks:,} tasks"
    if forecast.p50 is None:
        return f"forecast     {tasks}: too few were completed to tell"
    days = ((50, forecast.p50), (85, forecast.p85), (95, forecast.p95))
    shown = ", ".join(f"{percent} % by {day or 'a later day'}" for percent, day in days)
    return f"forecast     {tasks}: {shown} ({forecast.per_day:.2g} a day)"
