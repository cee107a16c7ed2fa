"""The verbs move, skip and undo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.client import api_verb, find_task, pending_said, show_task, the_list
from tasktape.cli.lines import task_line
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client


@click.command(epilog="Example: tasktape move 3f9a2c1 --before 77b01ee")
@click.argument("id_", metavar="ID")
@click.option("--list", "list_name", help="To this list, by its name or id.")
@click.option("--before", metavar="ID", help="To the place before this task.")
@click.option("--after", metavar="ID", help="To the place after this task.")
@click.option("--stage", help="To this stage.")
@click.option("--cascade", is_flag=True, help="Complete open sub-tasks too, if that stage means done.")
@json_option
@api_verb
async def move(
    client: Client,
    *,
    id_: str,
    list_name: str | None,
    before: str | None,
    after: str | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Move a task to another list, place in its list, or stage."""
    if before is not None and after is not None:
        raise click.UsageError("give --before or --after, not both")
    if (list_name, before, after, rest["stage"]) == (None, None, None, None):
        raise click.UsageError("give a destination; see --help")
    moved = client.move_task(
        await find_task(client, id_),
        list_id=None if list_name is None else await the_list(client, list_name),
        before=None if before is None else await find_task(client, before),
        after=None if after is None else await find_task(client, after),
        **rest,
    )
    await show_task(moved, as_json=as_json)


@click.command(epilog="Example: tasktape skip 3f9a2c1")
@click.argument("id_", metavar="ID")
@json_option
@api_verb
async def skip(client: Client, *, id_: str, as_json: bool) -> None:
    """Skip this occurrence of a recurring task: the task moves to its next date."""
    await show_task(client.skip_task(await find_task(client, id_)), as_json=as_json)


@click.command(epilog="Example: tasktape undo 3f9a2c1")
@click.argument("id_", metavar="ID")
@click.option(
    "--version",
    type=click.IntRange(1),
    help="The change to undo, as `show --history` counts.  [default: your last one]",
)
@json_option
@api_verb
async def undo(client: Client, *, id_: str, version: int | None, as_json: bool) -> None:
    """Undo one of your own changes: restore its fields, unless somebody changed them since."""
    with pending_said(as_json=as_json):
        task = await client.undo(await find_task(client, id_), version)
        if as_json:
            click.echo(json.dumps(task and task.as_sent()))
        else:
            click.echo("The task no longer exists." if task is None else task_line(task))
