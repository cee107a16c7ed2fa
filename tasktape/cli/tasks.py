"""The everyday verbs: add, list, done, edit, rm, show."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from app.recurrence.next_date import DATE_LENGTH
from app.search.sorting import SORT_ORDERS
from tasktape.cli.client import api_verb, find_list, find_task, pending_said, show_task, the_list
from tasktape.cli.fields import CLEARABLE, NAMED_OTHERWISE, PRIORITIES, field_options, fields_of
from tasktape.cli.lines import NOTHING, event_line, field_text, printable, task_line
from tasktape.cli.options import json_option
from tasktape.cli.past_times import moments_given
from tasktape.cli.search import QueryVerb, pointing_at
from tasktape.cli.streams import carried_on
from tasktape.cli.zone import due_given, has_offset, local_zone

if TYPE_CHECKING:
    from tasktape_client import Client, Task

HISTORY_SHOWN = 1000
OF_ITS_LIST = ("stage", "parent_id")
"""Fields whose values depend on which list a task is in."""
OF_STATUS = re.compile(r"(^|\s)-?(is:(open|done)|status:)", re.IGNORECASE)
"""A query that says itself whether tasks are done."""


@click.command(epilog="Example: tasktape add 'call bob #home !high tomorrow 5pm' --list Errands --new-list")
@click.argument("text", nargs=-1, required=True)
@click.option("--plain", is_flag=True, help="Take TEXT as the title, and read nothing in it.")
@click.option("--list", "list_name", help="The list's name or id.  [default: your inbox]")
@click.option("--new-list", is_flag=True, help="Create the list if it does not exist.")
@field_options
@json_option
@api_verb
async def add(
    client: Client,
    *,
    text: tuple[str, ...],
    plain: bool,
    list_name: str | None,
    new_list: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Add a task; TEXT is its title, and its words need no quotes.

    Dates, times and "every monday" in it, #tag, @person and !high are read as fields, which are printed.
    A field that an option sets is not read from TEXT. Text in quotes, or after a backslash, is literal. Quote
    characters that your shell interprets, such as # and !.
    """
    fields = await fields_of(client, given)
    if len(fields.get("due") or "") > DATE_LENGTH and not has_offset(given["due"]):
        fields.setdefault("time_zone", local_zone())  # so that nine o'clock stays nine o'clock
    if list_name is not None:
        fields["list_id"] = await _list_for(client, list_name, make=new_list)
    title = " ".join(text)
    if plain:
        await show_task(client.create_task(title, **fields), as_json=as_json)
        return
    zone = fields.get("time_zone") or local_zone()
    await show_task(client.quick_add(title, zone=zone, **fields), as_json=as_json)


async def _list_for(client: Client, name: str, *, make: bool) -> str:
    found = await find_list(client, name) if make else await the_list(client, name)
    return found or (await client.create_list(name)).id


@click.command(
    name="list", cls=QueryVerb, epilog="Example: tasktape list '#shop due:<=2026-12-01' --sort due"
)
@click.argument("query", nargs=-1)
@click.option("--list", "list_name", help="Of this list, by its name or id.")
@click.option("--status", type=click.Choice(("open", "done", "all")), help="[default: open]")
@click.option("--stage")
@click.option("--tag", "tags", multiple=True, help="With all of these tags.")
@click.option("--assignee")
@click.option("--priority", type=click.Choice(PRIORITIES))
@click.option("--due-before", help="A day or a time: tomorrow, dec 24, 2026-12-01T09:00.")
@click.option("--due-after", help="A day or a time: tomorrow, dec 24, 2026-12-01T09:00.")
@click.option("--as-of", help="As they were at this time: yesterday, 3 days ago, 2026-12-01T09:00.")
@click.option("--as-recorded-at", help="As Tasktape knew them at this time, before later imports.")
@click.option("--sort", type=click.Choice(list(SORT_ORDERS)), default="rank", show_default=True)
@click.option("--reverse", is_flag=True, help="From the other end.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@json_option
@api_verb
async def list_tasks(
    client: Client,
    *,
    query: tuple[str, ...],
    list_name: str | None,
    limit: int,
    as_json: bool,
    **chosen: Any,
) -> None:
    """List tasks, one a line: done or not, the end of the id, the title and other fields.

    QUERY is in the language of the search box; see `tasktape search`.
    """
    words = " ".join(query)
    wanted = _filters(words, **chosen)
    if list_name is not None:
        wanted["list_id"] = await the_list(client, list_name)
    with pointing_at(words):
        tasks = await client.tasks(**wanted, at_most=limit + 1).all()
    more, shown = len(tasks) > limit, tasks[:limit]
    if as_json:
        click.echo(json.dumps({"items": [task.as_sent() for task in shown], "more": more}))
        return
    for task in shown:
        click.echo(task_line(task))
    if more:
        click.echo(f"There are more: --limit {limit * 10}", err=True)
    if not shown:
        click.echo("No tasks.", err=True)


def _filters(
    words: str, *, status: str | None, tags: tuple[str, ...], sort: str, reverse: bool, **filters: Any
) -> dict[str, Any]:
    """Return the filters for a query and the options of `list`."""
    for name in ("due_before", "due_after"):
        if filters[name] is not None:
            filters[name] = due_given(filters[name], local_zone(), f"--{name.replace('_', '-')}")
    filters |= moments_given(filters["as_of"], filters["as_recorded_at"])
    if status is None and not OF_STATUS.search(words):
        status = "open"
    return {
        **filters,
        "q": words or None,
        "time_zone": local_zone(),
        "status": None if status == "all" else status,
        "tag": list(tags) or None,
        "sort": ("-" if reverse else "") + sort,
    }


@click.command(epilog="Example: tasktape done 3f9a2c1")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--undo", is_flag=True, help="Reopen instead.")
@click.option("--cascade", is_flag=True, help="Complete open sub-tasks too.")
@json_option
@api_verb
async def done(client: Client, *, ids: tuple[str, ...], undo: bool, cascade: bool, as_json: bool) -> None:
    """Complete tasks. An ID may be its beginning or its end, if only one task matches."""

    def act(task_id: str) -> Awaitable[Task]:
        return client.reopen_task(task_id) if undo else client.complete_task(task_id, cascade=cascade)

    await _each(client, ids, act, as_json=as_json)


@click.command(epilog="Example: tasktape rm 3f9a2c1")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--undo", is_flag=True, help="Restore deleted tasks; needs whole ids.")
@click.option("--cascade", is_flag=True, help="Sub-tasks too.")
@json_option
@api_verb
async def rm(client: Client, *, ids: tuple[str, ...], undo: bool, cascade: bool, as_json: bool) -> None:
    """Delete tasks. They stay in the log, and `rm --undo` restores them."""
    if undo:
        await _each(client, ids, lambda each: client.restore_task(each, cascade=cascade), as_json=as_json)
        return
    with carried_on():
        for given in ids:
            task_id = await find_task(client, given)
            with pending_said(as_json=as_json):
                await client.delete_task(task_id, cascade=cascade)
                back = f"Deleted. To bring it back: tasktape rm --undo {task_id}"
                click.echo(json.dumps({"id": task_id, "deleted": True}) if as_json else back)


async def _each(
    client: Client, ids: tuple[str, ...], act: Callable[[str], Awaitable[Task]], *, as_json: bool
) -> None:
    """Run a command for each of some tasks, and show each task."""
    with carried_on():
        for given in ids:
            await show_task(act(await find_task(client, given)), as_json=as_json)


@click.command(epilog='Example: tasktape edit 3f9a2c1 --title "Buy oat milk" --clear due')
@click.argument("id_", metavar="ID")
@click.option("--title")
@click.option("--list", "list_name", help="Move it to this list, by its name or id.")
@field_options
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Empty this field.")
@click.option(
    "--scope",
    type=click.Choice(("this", "following")),
    help="Of a recurring task: this occurrence, or all to come.  [default: a due date for this one]",
)
@click.option("--cascade", is_flag=True, help="Complete open sub-tasks too, if the stage means done.")
@click.option(
    "--if-match",
    type=click.IntRange(0),
    metavar="VERSION",
    help="The version that it is meant for: other changes since then stay, one of the same field is refused.",
)
@json_option
@api_verb
async def edit(
    client: Client,
    *,
    id_: str,
    list_name: str | None,
    clear: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Change a task: the given fields are set; tags, assignees and reminders as a whole."""
    how: dict[str, Any] = {name: given.pop(name) for name in ("scope", "cascade", "if_match")}
    set_fields = {name for name, value in given.items() if value not in (None, ())}
    if not set_fields and not clear and list_name is None:
        raise click.UsageError("give a field to change; see --help")
    if how["if_match"] is not None and list_name is not None:
        raise click.UsageError("--if-match is for fields: move the task by itself")
    if twice := sorted(set_fields & set(clear)):
        raise click.UsageError(f"{twice[0]} cannot be set and cleared at once")
    cleared = {NAMED_OTHERWISE.get(name, name): None for name in clear}
    changes: Any = await fields_of(client, given) | cleared
    task_id = await find_task(client, id_)
    if list_name is None:
        await show_task(client.edit_task(task_id, changes, **how), as_json=as_json)
        return
    list_id = await the_list(client, list_name)
    there: Any = {name: changes.pop(name) for name in OF_ITS_LIST if name in changes}
    # Send first what may be refused for itself: then nothing has been done.
    if changes:
        with pending_said():
            await client.edit_task(task_id, changes, scope=how["scope"])
    moving = client.move_task(task_id, list_id=list_id)
    with pending_said(), _after("it was changed, but not moved" if changes else ""):
        if not there:
            await show_task(moving, as_json=as_json)
            return
        await moving
    with _after(f"it was moved, but {' and '.join(there)} not set"):
        await show_task(client.edit_task(task_id, there, **how), as_json=as_json)


@contextmanager
def _after(done: str) -> Iterator[None]:
    """Add to an error that an earlier command is done. Raise `click.ClickException`."""
    from tasktape_client import Pending, TasktapeError

    try:
        yield
    except Pending:
        raise
    except TasktapeError as error:
        raise click.ClickException(f"{done}: {error}" if done else str(error)) from None


@click.command(epilog="Example: tasktape show 3f9a2c1 --history")
@click.argument("id_", metavar="ID")
@click.option("--history", is_flag=True, help="With all of its events: version, time, actor, changes.")
@click.option("--version", type=click.IntRange(1), help="As it was after that many events.")
@click.option("--as-of", help="As it was at this time: yesterday, 3 days ago, 2026-12-01T09:00.")
@click.option("--as-recorded-at", help="As Tasktape knew it at this time, before later imports.")
@json_option
@api_verb
async def show(
    client: Client,
    *,
    id_: str,
    history: bool,
    version: int | None,
    as_of: str | None,
    as_recorded_at: str | None,
    as_json: bool,
) -> None:
    """Show a task with all its fields, now or at an earlier time."""
    then = moments_given(as_of, as_recorded_at)
    if version is not None and any(then.values()):
        raise click.UsageError("give --version or a time, not both")
    task_id = await find_task(client, id_)
    task = (await client.task(task_id, version=version, **then)).as_sent()
    events = await client.history(task_id, at_most=HISTORY_SHOWN).all() if history else []
    if as_json:
        extra = {"history": [event.as_sent() for event in events]} if history else {}
        click.echo(json.dumps({**task, **extra}))
        return
    for name, value in task.items():
        if value not in NOTHING:
            click.echo(f"{name:>15}  {printable(field_text(value))}")
    for event in events:
        click.echo(f"{event.version:>3}  {event_line(event, event.changes)}")
