"""The verb `notifications`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import SEARCHED, api_verb, find_id
from tasktape.cli.lines import moment, printable, short
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client, Notification


@click.command(epilog="Example: tasktape notifications --unread")
@click.option("--unread", is_flag=True, help="Only unread ones.")
@click.option("--read", "read", multiple=True, metavar="ID", help="Mark this one as read.")
@click.option("--mark-unread", "kept", multiple=True, metavar="ID", help="Keep this one for later.")
@click.option("--read-all", is_flag=True, help="Mark all of them as read.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@api_verb
async def notifications(
    client: Client,
    *,
    unread: bool,
    read: tuple[str, ...],
    kept: tuple[str, ...],
    read_all: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List your notifications, newest first, or mark them as read.

    One a line: a star if it is unread, the end of its id, time, kind, actor, and task or list.
    """
    for given in read:
        await client.read_notification(await _find(client, given))
    for given in kept:
        await client.unread_notification(await _find(client, given))
    if read_all:
        await client.read_all_notifications()
    if read or kept or read_all:
        left = (await client.me()).unread
        click.echo(json.dumps({"unread": left}) if as_json else f"{left} unread.")
        return
    found = await client.notifications(unread=unread, at_most=limit).all()
    if as_json:
        click.echo(json.dumps({"items": [each.as_sent() for each in found]}))
        return
    for each in found:
        click.echo(_line(each))
    if not found:
        click.echo("No notifications.", err=True)


async def _find(client: Client, given: str) -> str:
    newest = client.notifications(at_most=SEARCHED)
    return await find_id(given, newest, "notification", lambda each: each.title)


def _line(notification: Notification) -> str:
    mark = "[ ]" if notification.read else "[*]"
    parts = [
        mark,
        short(notification.id),
        moment(notification.time),
        notification.kind,
        notification.actor or "",
        f"[{notification.title}]",
    ]
    return printable("  ".join([*parts, notification.excerpt or ""]).rstrip())
