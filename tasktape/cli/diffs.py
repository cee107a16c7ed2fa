"""The verb `diff`: what differs in a list between two times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb, the_list
from tasktape.cli.lines import UNTOLD, brief, printable, task_line
from tasktape.cli.options import json_option
from tasktape.cli.past_times import time_given

if TYPE_CHECKING:
    from tasktape_client import Client
    from tasktape_client.models import Difference

SIGNS = {"added": "+", "removed": "-", "moved": ">", "changed": "~"}


@click.command(epilog="Example: tasktape diff Household --from yesterday")
@click.argument("list_name", metavar="LIST")
@click.option("--from", "start", required=True, help="The earlier time: yesterday, 3 days ago, 2026-12-01.")
@click.option("--to", "end", help="The later time.  [default: now]")
@click.option("--recorded", is_flag=True, help="Compare what Tasktape knew at these times.")
@json_option
@api_verb
async def diff(
    client: Client, *, list_name: str, start: str, end: str | None, recorded: bool, as_json: bool
) -> None:
    """Show what differs in LIST between two times: tasks added (+), removed (-), moved (>), changed (~)."""
    start = time_given(start, "--from")
    end = None if end is None else time_given(end, "--to")
    found = await client.diff(await the_list(client, list_name), start, end, recorded=recorded)
    if as_json:
        sent = found.as_sent()
        sent.pop("next_cursor", None)
        click.echo(json.dumps(sent))
        return
    for kind, sign in SIGNS.items():
        for each in getattr(found, kind):
            _show(sign, each)
    if not any(getattr(found, kind) for kind in SIGNS):
        click.echo("Nothing differs.", err=True)


def _show(sign: str, each: Difference) -> None:
    click.echo(f"{sign} {task_line(each.task)}")
    for name, (before, after) in each.changes.items():
        if name not in UNTOLD:
            click.echo(printable(f"      {name}: {brief(before)} → {brief(after)}"))
