"""The verb `watch`: what happens, as it happens."""

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
    """Print what happens in your lists, as it happens, until Ctrl-C.

    A connection that breaks is made again, and what was missed meanwhile is printed too.
    """
    await client.me()  # a server that is not there, or does not know us, is told of at once
    await _watch(client, count, as_json=as_json)


async def _watch(client: Client, count: int | None, *, as_json: bool) -> None:
    from tasktape_client import Connected, Resync, Unsubscribed

    def tell(news: Connected | Disconnected) -> None:
        if isinstance(news, Connected):
            _say(f"Watching {client.url} as {news.user}; Ctrl-C ends")
        else:
            _say(f"{news.reason}; trying again")

    shown = 0
    async for update in client.updates(on_connection=tell):
        if isinstance(update, Resync):
            _say("Too much was missed to tell: what follows is new")
            continue
        if isinstance(update, Unsubscribed):
            _say(f"You do not see {update.channel} any longer")
            continue
        click.echo(json.dumps(update.as_sent()) if as_json else _text(update))
        shown += 1
        if shown == count:
            break


def _text(update: Update) -> str:
    """An update on one line: the event, and which task or list it is about."""
    name = update.event.stream
    if update.task is not None:
        name = update.task.title
    elif update.list is not None:
        name = update.list.name
    return f"{event_line(update.event, update.changes)}  [{printable(str(name))}]"


def _say(line: str) -> None:
    """Say something beside the updates, to a person only."""
    if sys.stderr.isatty():
        click.echo(printable(line), err=True)
