"""The verbs revert and copy: a list as it was at an earlier time."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb, pending_said, the_list
from tasktape.cli.lines import printable, short
from tasktape.cli.lists import list_line
from tasktape.cli.options import json_option
from tasktape.cli.past_times import EXAMPLES, moment_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasktape_client import Client
    from tasktape_client.models import ListRevert, Refused

as_of_option = click.option("--as-of", metavar="TIME", help=f"The time: {EXAMPLES}.")
as_recorded_at_option = click.option(
    "--as-recorded-at", metavar="TIME", help="The time, as the log knew LIST then; instead of --as-of."
)


@click.command(epilog="Example: tasktape revert Household --as-of 2026-11-29T09:00 --dry-run")
@click.argument("list_name", metavar="LIST")
@as_of_option
@as_recorded_at_option
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_verb
async def revert(
    client: Client,
    *,
    list_name: str,
    as_of: str | None,
    as_recorded_at: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Return the tasks of LIST to how they were at a time.

    New events do it; the history stays. Revert to the time that is printed at the end to undo it.
    """
    time = moment_given(as_of, as_recorded_at)
    list_id = await the_list(client, list_name)
    preview = await client.revert_list(list_id, **time, dry_run=True)
    if dry_run or not preview.changes:
        _show(preview, as_json=as_json)
        return
    if not yes:
        click.confirm(f"{_counted(preview)}. Revert {list_name}?", abort=True, err=True)
    _show(await client.revert_list(list_id, **time), as_json=as_json)


@click.command(epilog='Example: tasktape copy Household --as-of 2026-11-29T09:00 --name "Last week"')
@click.argument("list_name", metavar="LIST")
@as_of_option
@as_recorded_at_option
@click.option("--name", help="The name of the copy.  [default: that of LIST, and the time]")
@json_option
@api_verb
async def copy(
    client: Client,
    *,
    list_name: str,
    as_of: str | None,
    as_recorded_at: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Make a new list of your own, with the stages and tasks that LIST had at a time."""
    time = moment_given(as_of, as_recorded_at)
    list_id = await the_list(client, list_name)
    with pending_said(as_json=as_json):
        made = await client.copy_list(list_id, **time, name=name)
        if as_json:
            click.echo(json.dumps(made.as_sent()))
            return
        click.echo(list_line(made, (await client.me()).user))
        click.echo(f"{made.tasks} {'task' if made.tasks == 1 else 'tasks'} copied")
        _show_refused(made.conflicts)


def _show(result: ListRevert, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.as_sent()))
        return
    for change in result.changes:
        fields = ", ".join(name for name in change.changes if name not in {"deleted_at", "completed_at"})
        names = f" ({fields})" if fields and change.action == "edited" else ""
        click.echo(printable(f"{change.action:8}  {short(change.task_id)}  {change.title}{names}"))
    for each in result.adapted:
        click.echo(printable(f"adapted   {short(each.task_id)}  {each.field}: {each.detail}"))
    _show_refused(result.conflicts)
    click.echo(f"{_counted(result)}.")
    if result.undo_as_of is not None:
        click.echo(f"To undo this: --as-of {result.as_sent()['undo_as_of']}")


def _show_refused(refused: Sequence[Refused]) -> None:
    for each in refused:
        click.echo(printable(f"left      {short(each.task_id)}  {each.title}: {each.detail}"))


def _counted(result: ListRevert) -> str:
    """Return the numbers of changes by their kinds."""
    counts = Counter(change.action for change in result.changes)
    if not counts:
        return "Nothing to revert"
    return ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))
