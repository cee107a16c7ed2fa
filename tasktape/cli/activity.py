"""The verb `activity`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb, the_list
from tasktape.cli.lines import moment, printable
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client


@click.command(epilog="Example: tasktape activity --list Errands --by bob")
@click.option("--list", "list_name", help="In this list, by its name or id.")
@click.option("--by", "actor", metavar="USER", help="Events of this user.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True)
@json_option
@api_verb
async def activity(
    client: Client, *, list_name: str | None, actor: str | None, limit: int, as_json: bool
) -> None:
    """List the activity in your lists, newest first. Related events share a line."""
    list_id = None if list_name is None else await the_list(client, list_name)
    groups = await client.activity(list_id=list_id, actor=actor, at_most=limit).all()
    if as_json:
        click.echo(json.dumps({"items": [each.as_sent() for each in groups]}))
        return
    for each in groups:
        click.echo(printable(f"{moment(each.last_at)}  {each.summary}"))
    if not groups:
        click.echo("Nothing happened yet.", err=True)
