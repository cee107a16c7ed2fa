"""The everyday verbs: add, list, done, edit, rm, show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tasktape.cli.client import (
    api_errors,
    find_list,
    find_task,
    new_key,
    note_pending,
    open_client,
    printable,
    task_line,
    the_list,
)
from tasktape.cli.connection import connection_options
from tasktape.cli.options import json_option
from tasktape.http import Answer, ApiClient

F = TypeVar("F", bound=Callable[..., None])

PRIORITIES = ("none", "low", "medium", "high", "urgent")
CLEARABLE = ("notes", "due", "time_zone", "stage", "tags", "assignees", "priority")
SORTS = ("rank", "created_at", "updated_at", "due", "priority", "title")
HISTORY_SHOWN = 1000
UNTOLD = {"rank"}
"""Fields that say nothing to a person."""
UNTOLD_OF_NEW = {"list_id", "status", "inbox", "members"}
"""Fields that say nothing of something new."""


def _field_options(verb: F) -> F:
    """The options that set a task's fields."""
    options = (
        click.option("--notes", help="More about it."),
        click.option("--due", help="A date (2026-12-01) or a date-time with an offset."),
        click.option("--time-zone", help="Where a due date ends, such as Europe/Madrid."),
        click.option("--priority", type=click.Choice(PRIORITIES)),
        click.option("--tag", "tags", multiple=True, help="May be given several times."),
        click.option("--assignee", "assignees", multiple=True, help="May be given several times."),
        click.option("--stage", help="Where it is in its process."),
    )
    for option in reversed(options):
        verb = option(verb)
    return verb


def _fields(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, ())}


@click.command(epilog='Example: tasktape add Buy milk --due 2026-12-01 --tag shop --list "Errands"')
@click.argument("title", nargs=-1, required=True)
@click.option("--list", "list_name", help="The list's name or id.  [default: your inbox]")
@click.option("--new-list", is_flag=True, help="Make the list if there is none of that name.")
@_field_options
@json_option
@connection_options
@api_errors
def add(
    title: tuple[str, ...],
    list_name: str | None,
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    new_list: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Add a task called TITLE; its words need no quotes."""
    with open_client(url, token, data) as client:
        body = {"title": " ".join(title), **_fields(**fields)}
        if list_name is not None:
            body["list_id"] = _list_for(client, list_name, make=new_list)
        answer = client.command("POST", "/api/tasks", body, key=new_key())
    _show_answer(answer, as_json=as_json)


def _list_for(client: ApiClient, name: str, *, make: bool) -> str:
    found = find_list(client, name) if make else the_list(client, name)
    if found is None:
        answer = client.command("POST", "/api/lists", {"name": name}, key=new_key())
        return str(answer.headers["location"].rpartition("/")[2] if answer.pending else answer.body["id"])
    return found


@click.command(name="list", epilog="Example: tasktape list --tag shop --sort due")
@click.option("--list", "list_name", help="Of this list, by its name or id.")
@click.option("--status", type=click.Choice(("open", "done", "all")), default="open", show_default=True)
@click.option("--stage")
@click.option("--tag", "tags", multiple=True, help="With all of these tags.")
@click.option("--assignee")
@click.option("--priority", type=click.Choice(PRIORITIES))
@click.option("--due-before", help="A date or a date-time with an offset.")
@click.option("--due-after", help="A date or a date-time with an offset.")
@click.option("--sort", type=click.Choice(SORTS), default="rank", show_default=True)
@click.option("--reverse", is_flag=True, help="From the other end.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@json_option
@connection_options
@api_errors
def list_tasks(
    list_name: str | None,
    limit: int,
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    as_json: bool,
    **chosen: Any,
) -> None:
    """List tasks, one a line: done or not, the end of the id, the title and what else there is."""
    with open_client(url, token, data) as client:
        wanted = _query(**chosen)
        if list_name is not None:
            wanted["list_id"] = the_list(client, list_name)
        tasks = list(client.items("/api/tasks", at_most=limit + 1, **wanted))
    more, shown = len(tasks) > limit, tasks[:limit]
    if as_json:
        click.echo(json.dumps({"items": shown, "more": more}))
        return
    for task in shown:
        click.echo(task_line(task))
    if more:
        click.echo(f"There are more: --limit {limit * 10}", err=True)
    if not shown:
        click.echo("No tasks.", err=True)


def _query(status: str, tags: tuple[str, ...], sort: str, *, reverse: bool, **filters: Any) -> dict[str, Any]:
    """The query parameters that the options of `list` ask for."""
    return {
        **filters,
        "status": None if status == "all" else status,
        "tag": list(tags) or None,
        "sort": ("-" if reverse else "") + sort,
    }


@click.command(epilog="Example: tasktape done 3f9a2c1")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--undo", is_flag=True, help="Reopen instead.")
@json_option
@connection_options
@api_errors
def done(
    ids: tuple[str, ...],
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    undo: bool,
    as_json: bool,
) -> None:
    """Complete tasks. An ID may be cut to its beginning or its end, if that is of one task only."""
    action = "reopen" if undo else "complete"
    with open_client(url, token, data) as client:
        for given in ids:
            path = f"/api/tasks/{find_task(client, given)}/{action}"
            _show_answer(client.command("POST", path, key=new_key()), as_json=as_json)


@click.command(epilog='Example: tasktape edit 3f9a2c1 --title "Buy oat milk" --clear due')
@click.argument("id_", metavar="ID")
@click.option("--title")
@click.option("--list", "list_name", help="Move it to this list, by its name or id.")
@_field_options
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Empty this field.")
@json_option
@connection_options
@api_errors
def edit(
    id_: str,
    list_name: str | None,
    clear: tuple[str, ...],
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    as_json: bool,
    **fields: Any,
) -> None:
    """Change a task: the fields that are given are set, tags and assignees as a whole."""
    changes = _fields(**fields)
    twice = sorted(set(changes) & set(clear))
    if twice:
        raise click.UsageError(f"{twice[0]} can't be set and cleared at once")
    changes |= dict.fromkeys(clear)
    if not changes and list_name is None:
        raise click.UsageError("say what to change; see --help")
    with open_client(url, token, data) as client:
        path = f"/api/tasks/{find_task(client, id_)}"
        answers = []
        if list_name is not None:
            where = {"list_id": the_list(client, list_name)}
            answers.append(client.command("POST", f"{path}/move", where, key=new_key()))
        if changes:
            answers.append(client.command("PATCH", path, changes, key=new_key()))
    _show_answer(answers[-1], as_json=as_json)


@click.command(epilog="Example: tasktape rm 3f9a2c1")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--undo", is_flag=True, help="Restore what was deleted; needs whole ids.")
@json_option
@connection_options
@api_errors
def rm(
    ids: tuple[str, ...],
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    undo: bool,
    as_json: bool,
) -> None:
    """Delete tasks. They stay in the log, and `rm --undo` brings them back."""
    with open_client(url, token, data) as client:
        for given in ids:
            task_id = find_task(client, given)
            path = f"/api/tasks/{task_id}"
            if undo:
                _show_answer(client.command("POST", f"{path}/restore", key=new_key()), as_json=as_json)
                continue
            answer = client.command("DELETE", path, key=new_key())
            if as_json:
                click.echo(json.dumps({"id": task_id, "deleted": answer.pending is None}))
            elif not note_pending(answer):
                click.echo(f"Deleted. To bring it back: tasktape rm --undo {task_id}")


@click.command(epilog="Example: tasktape show 3f9a2c1 --history")
@click.argument("id_", metavar="ID")
@click.option("--history", is_flag=True, help="With all of its events.")
@click.option("--version", type=click.IntRange(1), help="As it was after that many events.")
@click.option("--as-of", help="As it was at this time (RFC 3339).")
@json_option
@connection_options
@api_errors
def show(
    id_: str,
    url: str | None,
    token: str | None,
    data: Path | None,
    *,
    history: bool,
    as_json: bool,
    **then: Any,
) -> None:
    """Show a task with all its fields, now or as it was."""
    if None not in then.values():
        raise click.UsageError("give --version or --as-of, not both")
    with open_client(url, token, data) as client:
        path = f"/api/tasks/{find_task(client, id_)}"
        task = client.get(path, **then).body
        events = list(client.items(f"{path}/history", at_most=HISTORY_SHOWN)) if history else []
    if as_json:
        click.echo(json.dumps({**task, "history": events} if history else task))
        return
    for name, value in task.items():
        if value not in (None, "", []):
            text = ", ".join(value) if isinstance(value, list) else str(value)
            click.echo(f"{name:>13}  {printable(text)}")
    for event in events:
        click.echo(event_line(event, event["changes"]))


def event_line(event: dict[str, Any], changes: dict[str, Any]) -> str:
    """An event on one line: when, who, what, and what it changed."""
    hidden = UNTOLD | (UNTOLD_OF_NEW if event["type"].endswith(".created") else set())
    told = [
        f"{name}: {_brief(after)}"
        for name, (before, after) in changes.items()
        if name not in hidden and (before, after) != (None, "none")
    ]
    return printable(f"{event['time']}  {event['actor']}  {event['type']}  {', '.join(told)}".rstrip())


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _show_answer(answer: Answer, *, as_json: bool) -> None:
    """Show the task that a command answered with."""
    if as_json:
        click.echo(json.dumps(answer.body))
    elif not note_pending(answer):
        click.echo(task_line(answer.body))
