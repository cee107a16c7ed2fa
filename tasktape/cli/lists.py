"""The verb `lists`: show, create, rename, delete and restore lists, and set their stages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.client import api_verb, pending_said, the_deleted_list, the_list
from tasktape.cli.connection import connection_options
from tasktape.cli.failures import Verbs
from tasktape.cli.lines import moment, printable
from tasktape.cli.options import json_option
from tasktape.cli.past_times import moments_given

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tasktape_client import Client, TaskList
    from tasktape_client.models import Stage

SHOWN = 2_000
CATEGORIES = ("open", "active", "done")


@click.group(
    name="lists",
    cls=Verbs,
    epilog="Example: tasktape lists --json",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@json_option
@connection_options
@click.pass_context
def lists(context: click.Context, /, **given: Any) -> None:
    """Show, create, rename, delete and restore lists, set their stages. Alone it is `lists list`."""
    if context.invoked_subcommand is None:
        context.invoke(list_lists, **given)
    else:  # options before a verb belong to the verb
        context.default_map = {context.invoked_subcommand: given}


@lists.command(name="list", epilog="Example: tasktape lists list")
@click.option(
    "--deleted", is_flag=True, help="Those that were deleted and that you may restore, the last one first."
)
@click.option("--as-of", help="As they were at this time: yesterday, 3 days ago, 2026-12-01T09:00.")
@click.option("--as-recorded-at", help="As Tasktape knew them at this time, before later imports.")
@json_option
@api_verb
async def list_lists(
    client: Client,
    *,
    as_json: bool,
    deleted: bool = False,
    as_of: str | None = None,
    as_recorded_at: str | None = None,
) -> None:
    """List your lists, one a line: the id, the name, your role, its members and its stages."""
    then = moments_given(as_of, as_recorded_at)
    me = (await client.me()).user
    found = await client.lists(deleted=deleted, **then, at_most=SHOWN).all()
    if as_json:
        click.echo(json.dumps({"items": [each.as_sent() for each in found]}))
        return
    for each in found:
        click.echo(list_line(each, me))


@lists.command(epilog='Example: tasktape lists create "Garden" --stage Planned:open --stage Planted:done')
@click.argument("name", nargs=-1, required=True)
@click.option("--stage", "stages", multiple=True, metavar="NAME[:CATEGORY]", help="One of its stages.")
@json_option
@api_verb
async def create(client: Client, *, name: tuple[str, ...], stages: tuple[str, ...], as_json: bool) -> None:
    """Create a list called NAME that you own."""
    made = client.create_list(" ".join(name), stages=[stage(text) for text in stages])
    await show_list(client, made, as_json=as_json)


@lists.command(epilog="Example: tasktape lists rename Errands Shopping")
@click.argument("list_name", metavar="LIST")
@click.argument("name")
@json_option
@api_verb
async def rename(client: Client, *, list_name: str, name: str, as_json: bool) -> None:
    """Give LIST another NAME."""
    renamed = client.rename_list(await the_list(client, list_name), name)
    await show_list(client, renamed, as_json=as_json)


@lists.command(epilog="Example: tasktape lists stages Website Ideas Doing:active Live:done")
@click.argument("list_name", metavar="LIST")
@click.argument("stages", nargs=-1, metavar="[NAME[:CATEGORY]]...")
@click.option("--none", is_flag=True, help="Without stages of its own, a list takes any.")
@json_option
@api_verb
async def stages(
    client: Client, *, list_name: str, stages: tuple[str, ...], none: bool, as_json: bool
) -> None:
    """Show the stages of LIST, or set all of them in this order.

    The CATEGORY is the state of the tasks in the stage: open (the default), active or done.
    """
    if none and stages:
        raise click.UsageError("give stages or --none, not both")
    list_id = await the_list(client, list_name)
    if none or stages:
        await show_list(client, client.set_stages(list_id, [stage(text) for text in stages]), as_json=as_json)
        return
    found = (await client.list(list_id)).stages
    if as_json:
        click.echo(json.dumps({"stages": list(found)}))
    for each in () if as_json else found:
        click.echo(printable(f"{each['name']}:{each['category']}"))


@lists.command(name="zone", epilog="Example: tasktape lists zone Errands Europe/Madrid")
@click.argument("list_name", metavar="LIST")
@click.argument("zone", required=False)
@click.option("--none", is_flag=True, help="Remove the zone: days are those of UTC.")
@json_option
@api_verb
async def set_zone(client: Client, *, list_name: str, zone: str | None, none: bool, as_json: bool) -> None:
    """Show the time zone of the days in the statistics of LIST, or set it to ZONE."""
    if none and zone is not None:
        raise click.UsageError("give ZONE or --none, not both")
    list_id = await the_list(client, list_name)
    if none or zone is not None:
        await show_list(client, client.set_time_zone(list_id, zone), as_json=as_json)
        return
    found = (await client.list(list_id)).time_zone
    click.echo(json.dumps({"time_zone": found}) if as_json else printable(found or "UTC"))


@lists.command(epilog="Example: tasktape lists delete Errands --yes")
@click.argument("list_name", metavar="LIST")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_verb
async def delete(client: Client, *, list_name: str, yes: bool, as_json: bool) -> None:
    """Delete LIST and its tasks. An owner can restore them: tasktape lists restore LIST."""
    list_id = await the_list(client, list_name)
    if not yes:
        click.confirm(f"Delete {list_name} with its tasks?", abort=True, err=True)
    with pending_said(as_json=as_json):
        await client.delete_list(list_id)
        click.echo(json.dumps({"id": list_id, "deleted": True}) if as_json else "Deleted.")


@lists.command(epilog="Example: tasktape lists restore Errands")
@click.argument("list_name", metavar="LIST")
@json_option
@api_verb
async def restore(client: Client, *, list_name: str, as_json: bool) -> None:
    """Restore the deleted LIST, with its members, its stages and its tasks."""
    restored = client.restore_list(await the_deleted_list(client, list_name))
    await show_list(client, restored, as_json=as_json)


def stage(text: str) -> Stage:
    """Return a stage from `NAME` or `NAME:CATEGORY`. Raise `click.BadParameter`."""
    name, colon, category = text.rpartition(":")
    if not colon:
        return {"name": text, "category": "open"}
    match category:
        case "open" | "active" | "done":
            return {"name": name, "category": category}
        case _:
            raise click.BadParameter(f"{category!r} is not one of {', '.join(CATEGORIES)}")


async def show_list(client: Client, command: Awaitable[TaskList], *, as_json: bool) -> None:
    """Show the list that a command returned."""
    with pending_said(as_json=as_json):
        task_list = await command
        if as_json:
            click.echo(json.dumps(task_list.as_sent()))
        else:
            click.echo(list_line(task_list, (await client.me()).user))


def list_line(task_list: TaskList, me: str) -> str:
    """Return a list as one line."""
    parts = [task_list.id, task_list.name, f"({task_list.members.get(me, 'not yours')})"]
    parts += [f"@{user}" for user in sorted(task_list.members) if user != me]
    if task_list.stages:
        parts.append(" > ".join(each["name"] for each in task_list.stages))
    if task_list.deleted_at is not None:
        parts.append(f"deleted {moment(task_list.deleted_at)}")
    return printable("  ".join(parts))
