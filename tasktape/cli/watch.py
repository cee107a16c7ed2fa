"""The verb `watch`: live changes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb
from tasktape.cli.lines import event_line, printable
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client, Connected, Disconnected, Update


@click.command(epilog="Example: tasktape watch --json >> events.jsonl")
@click.option("--count", type=click.IntRange(1), help="End after so many updates.")
@json_option
@api_verb
async def watch(client: Client, *, count: int | None, as_json: bool) -> None:
    """Print the changes in your lists live, until Ctrl-C.

    A broken connection is restored, and missed changes are printed too.
    """
    await client.me()  # report at once a server that is missing or refuses the token
    await _watch(client, count, as_json=as_json)


async def _watch(client: Client, count: int | None, *, as_json: bool) -> None:
    from tasktape_client import Connected, Resync, Unsubscribed
    from tasktape_client.models import StatisticsReport

    def tell(news: Connected | Disconnected) -> None:
        if isinstance(news, Connected):
            _say(f"Watching {client.url} as {news.user}; Ctrl-C ends")
        else:
            _say(f"{news.reason}; trying again")

    shown = 0
    async for update in client.updates(on_connection=tell):
        if isinstance(update, Resync):
            _say("Too many changes were missed; only new ones follow")
            continue
        if isinstance(update, Unsubscribed):
            _say(f"You do not see {update.channel} any longer")
            continue
        if isinstance(update, StatisticsReport):
            continue  # it has no subscription
        click.echo(json.dumps(update.as_sent()) if as_json else _text(update))
        shown += 1
        if shown == count:
            break


def _text(update: Update) -> str:
    """Return an update as one line: the event, and its task or list."""
    name = update.event.stream
    if update.task is not None:
        name = update.task.title
    elif update.list is not None:
        name = update.list.name
    return f"{event_line(update.event, update.changes)}  [{printable(str(name))}]"


def _say(line: str) -> None:
    """Print a message beside the updates, for people only."""
    if sys.stderr.isatty():
        click.echo(printable(line), err=True)
