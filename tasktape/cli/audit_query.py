"""The verb `audit query`: events by filters, their counts, and stories; once, or as they are recorded."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from app.audit.groups import GROUPS
from app.audit.query import DEFAULT_SORT, SORTS
from app.text.graphemes import shortened
from tasktape.cli.audit_filters import filter_options, filters_given
from tasktape.cli.client import api_verb
from tasktape.cli.lines import moment, printable
from tasktape.cli.options import json_option
from tasktape.cli.zone import local_zone

if TYPE_CHECKING:
    from tasktape_client import Client, Connected, Disconnected
    from tasktape_client.models import AuditEvent, StoryEvent

COLUMNS = (
    *("position", "time", "recorded_at", "type", "stream", "version", "outcome", "reason", "actor", "source"),
    *("correlation_id", "causation_id", "sentence", "changes"),
)
"""The columns of CSV. `changes` is JSON."""
CONTEXT_CHARS = 30
"""Longer unchanged parts of a text are shortened."""
SIGNS = {"=": ("", ""), "-": ("[-", "-]"), "+": ("{+", "+}")}


@click.command(epilog="Example: tasktape audit query --field stage --time-from yesterday")
@filter_options
@click.option("--sort", type=click.Choice(SORTS), default=DEFAULT_SORT, show_default=True, help="The order.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--group-by", type=click.Choice(tuple(GROUPS)), help="Count the events by this instead.")
@click.option("--tree", is_flag=True, help="Show what followed from what; needs --correlation-id.")
@click.option("--follow", is_flag=True, help="Show the latest events, then new ones, until Ctrl-C.")
@click.option("--count", type=click.IntRange(1), help="With --follow: end after so many new events.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@api_verb
async def query(client: Client, *, as_csv: bool, as_json: bool, **given: Any) -> None:
    """Find events of the log: when, where in the log, and what who did. All filters must match.

    With --json it is an object for each line.
    """
    wanted = {name: given.pop(name) for name in ("sort", "limit", "group_by", "tree", "follow", "count")}
    if as_csv and as_json:
        raise click.UsageError("give --csv or --json, not both")
    filters = await filters_given(client, **given)
    if wanted["tree"]:
        await _show_story(client, filters, as_json=as_json)
    elif wanted["group_by"] is not None:
        await _show_counts(client, filters, wanted["group_by"], as_json=as_json, as_csv=as_csv)
    else:
        show = _printer(as_json=as_json, as_csv=as_csv)
        if wanted["follow"]:
            await _follow(client, filters, wanted["limit"], wanted["count"], show)
        else:
            await _show_events(client, filters, wanted["sort"], wanted["limit"], show)


# --- events ----------------------------------------------------------------------------------------------


async def _show_events(
    client: Client, filters: Mapping[str, Any], sort: str, limit: int, show: Printer
) -> None:
    shown = 0
    async for event in client.audit_events({**filters, "sort": sort}, at_most=limit):
        show(event)
        shown += 1
    if shown == 0:
        click.echo("No events.", err=True)
    elif shown == limit and sys.stderr.isatty():
        click.echo(f"There may be more than these {limit:,}: give --limit", err=True)


async def _follow(
    client: Client, filters: Mapping[str, Any], limit: int, count: int | None, show: Printer
) -> None:
    latest = client.audit_events({**filters, "sort": "-recorded_at"}, at_most=limit)
    for event in reversed(await latest.all()):
        show(event)
    shown = 0
    async for event in client.audit_tail(filters, latest.positions, on_connection=_say):
        show(event)
        shown += 1
        if shown == count:
            break


def _say(lost: Connected | Disconnected) -> None:
    from tasktape_client import Disconnected

    if isinstance(lost, Disconnected) and sys.stderr.isatty():
        click.echo(printable(f"{lost.reason}; trying again"), err=True)


class Printer:
    """Prints events one by one."""

    def __call__(self, event: AuditEvent) -> None:
        """Print an event for people."""
        time = moment(event.time or event.recorded_at)
        click.echo(printable(f"{time}  {event.position}  {event.sentence}"))
        for line in diff_lines(event):
            click.echo(printable(f"      {line}"))


class JsonPrinter(Printer):
    """Prints each event as a line of JSON."""

    def __call__(self, event: AuditEvent) -> None:
        """Print an event."""
        click.echo(json.dumps(event.as_sent()))


class CsvPrinter(Printer):
    """Prints a table in CSV."""

    def __init__(self) -> None:
        click.echo(csv_line(COLUMNS))

    def __call__(self, event: AuditEvent) -> None:
        """Print an event as a row."""
        sent = event.as_sent() | {"changes": json.dumps(event.changes, ensure_ascii=False)}
        click.echo(csv_line([sent[name] for name in COLUMNS]))


def _printer(*, as_json: bool, as_csv: bool) -> Printer:
    if as_csv:
        return CsvPrinter()
    return JsonPrinter() if as_json else Printer()


def csv_line(values: Sequence[object]) -> str:
    """Return a row of CSV (RFC 4180) without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def diff_lines(event: AuditEvent) -> Iterator[str]:
    """Yield what changed in texts: [-removed-] and {+added+}, with some of the text around."""
    for name, segments in event.diff.items():
        parts = []
        for sign, text in segments:
            begin, end = SIGNS[sign]
            parts.append(f"{begin}{text if sign != '=' else _context(text)}{end}")
        yield f"{name}: {''.join(parts)}"


def _context(text: str) -> str:
    if len(text) <= 2 * CONTEXT_CHARS:
        return text
    return f"{shortened(text, CONTEXT_CHARS)}{shortened(text[::-1], CONTEXT_CHARS, '')[::-1]}"


# --- counts and stories ----------------------------------------------------------------------------------


async def _show_counts(
    client: Client, filters: Mapping[str, Any], group_by: str, *, as_json: bool, as_csv: bool
) -> None:
    groups = await client.audit_counts(group_by, {**filters, "time_zone": local_zone() or "UTC"})
    if as_csv:
        click.echo(csv_line((group_by, "count")))
    for each in groups:
        if as_json:
            click.echo(json.dumps(each.as_sent()))
        elif as_csv:
            click.echo(csv_line((each.key, each.count)))
        else:
            click.echo(printable(f"{each.count:>12,}  {each.key or '(none)'}"))
    if not groups:
        click.echo("No events.", err=True)


async def _show_story(client: Client, filters: Mapping[str, Any], *, as_json: bool) -> None:
    ids = filters.get("correlation_id", ())
    if len(ids) != 1 or len(filters) != 1:
        raise click.UsageError("--tree needs one --correlation-id, and no other filter")
    story = await client.audit_story(ids[0])
    if as_json:
        click.echo(json.dumps(story.as_sent()))
        return
    for line in story_lines(story.events):
        click.echo(printable(line))
    if not story.events:
        click.echo("No events.", err=True)
    if story.truncated:
        click.echo("The story has more events", err=True)


def story_lines(events: Sequence[StoryEvent], depth: int = 0) -> Iterator[str]:
    """Yield the lines of trees: each event, whom it notified, and below it what it caused."""
    indent = "    " * depth
    for event in events:
        yield f"{indent}{moment(event.time or event.recorded_at)}  {event.position}  {event.sentence}"
        for each in event.notifications:
            yield f"{indent}    {each.user} is notified ({each.kind})"
        yield from story_lines(event.effects, depth + 1)
