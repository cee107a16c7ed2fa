"""The common part of the verbs that use the API: a client, names of lists, short ids, errors on one line."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.text.graphemes import shortened
from app.text.names import caseless
from tasktape.cli.connection import connection_options, find_connection
from tasktape.cli.failures import did_you_mean
from tasktape.cli.lines import printable, reading_lines, short, task_line
from tasktape.cli.streams import OutputFailed

if TYPE_CHECKING:
    from tasktape_client import Client, Comment, Notification, Patience, Task, TasktapeError
    from tasktape_client.calls import Items

Named = TypeVar("Named", "Task", "Comment", "Notification")

MIN_ID_CHARS = 4
MAX_ID_CHARS = 36
SEARCHED = 10_000
SEARCHED_LISTS = 2_000
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def api_verb(verb: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a verb of a coroutine that gets a client. A refusal of the API is one line and exit status 1."""

    @functools.wraps(verb)
    def run(url: str | None, token: str | None, data: Path | None, **given: Any) -> None:
        async def with_client() -> None:
            async with open_client(url, token, data) as client:
                with after_commands(client):
                    await verb(client, **given)

        with one_line_errors():
            asyncio.run(with_client())

    return connection_options(run)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a refusal of the API into one line. Raise `click.ClickException`."""
    from tasktape_client import TasktapeError

    try:
        with pending_said():
            yield
    except TasktapeError as error:
        raise click.ClickException(_told(error)) from None


@contextmanager
def after_commands(client: Client) -> Iterator[None]:
    """Let no failure look as if nothing had been done when commands were carried out before it.

    Raises `click.ClickException`, and `OutputFailed` that says so.
    """
    from tasktape_client import Pending, TasktapeError

    try:
        yield
    except OutputFailed as failed:
        failed.is_done = bool(client.positions)
        raise
    except Pending:
        raise
    except TasktapeError as error:
        if not client.positions:
            raise
        raise click.ClickException(f"{_told(error)}; the commands before it are done") from None


def _told(error: TasktapeError) -> str:
    """Return a refusal of the API on one line, in the words of the command line."""
    return printable(f"{error}{_sides(error)}".replace("?cascade=true", "--cascade"))


def _sides(error: TasktapeError) -> str:
    """Return both sides of a conflict, field by field."""
    return "".join(
        f"; {name}: theirs {json.dumps(value, ensure_ascii=False)},"
        f" yours {json.dumps(error.yours.get(name), ensure_ascii=False)}"
        for name, value in error.theirs.items()
    )


def open_client(
    url: str | None, token: str | None, data: Path | None, *, patience: Patience | None = None
) -> Client:
    """Return a client of the API that options and environment name."""
    from tasktape_client import Client

    connection = find_connection(url, token, data)
    try:
        return Client(connection.url, connection.token, patience=patience)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None


@contextmanager
def pending_said(*, as_json: bool = False) -> Iterator[None]:
    """Report a command whose outcome is not known yet; then there is nothing else to show."""
    from tasktape_client import Pending

    try:
        yield
    except Pending as pending:
        if as_json:
            click.echo(json.dumps({"position": pending.position, "outcome": "pending"}))
        else:
            where = f"/api/outcomes/{pending.position}"
            click.echo(f"Written, but not visible yet (is a worker running?); ask {where}", err=True)


async def show_task(command: Awaitable[Task], *, as_json: bool) -> None:
    """Show the task that a command returned."""
    with pending_said(as_json=as_json):
        task = await command
        click.echo(json.dumps(task.as_sent()) if as_json else task_line(task))
        for effect in () if as_json else task.effects:
            click.echo(printable(f"     also {effect.type} {short(effect.task_id)}: {effect.detail}"))
        if task.quick is not None and not as_json:
            for line in reading_lines(task.quick):
                click.echo(line, err=True)


# --- names -----------------------------------------------------------------------------------------------


async def find_task(client: Client, given: str) -> str:
    """Return the id of the task that `given` begins or ends, which the server looks up.

    Raises `click.ClickException` if it isn't just one.
    """
    wanted = _id_part(given)
    if _UUID.match(wanted):
        return wanted
    found = await client.task_ids(wanted)
    if found.more:
        raise click.ClickException(f"Many tasks have ids that begin or end with {wanted}: give more of it")
    return _the_one(wanted, "task", [(each.id, each.title) for each in found.items])


async def find_id(given: str, items: Items[Named], kind: str, label: Callable[[Named], str]) -> str:
    """Return the id that `given` begins or ends, among some.

    Raises `click.ClickException` if it isn't just one.
    """
    wanted = _id_part(given)
    if _UUID.match(wanted):
        return wanted
    fitting = [item async for item in items if item.id.startswith(wanted) or item.id.endswith(wanted)]
    return _the_one(wanted, kind, [(item.id, label(item)) for item in fitting])


def _id_part(given: str) -> str:
    """Return an id, or a part of one. Raises `click.ClickException`."""
    wanted = given.strip().lower()
    if not MIN_ID_CHARS <= len(wanted) <= MAX_ID_CHARS or not re.fullmatch(r"[0-9a-f-]+", wanted):
        raise click.ClickException(f"{given!r} is not an id, nor {MIN_ID_CHARS} or more characters of one")
    return wanted


def _the_one(wanted: str, kind: str, found: list[tuple[str, str]]) -> str:
    """Return the only id of those that were found. Raises `click.ClickException`."""
    if len(found) == 1:
        return found[0][0]
    if not found:
        raise click.ClickException(f"No {kind} has an id that begins or ends with {wanted}")
    examples = ", ".join(f"{short(each)} {shortened(label, 30)!r}" for each, label in found[:3])
    raise click.ClickException(f"{len(found)} {kind}s have ids with {wanted}: {examples}")


async def find_list(client: Client, given: str, *, deleted: bool = False) -> str | None:
    """Return the id of the list with this name or id; None if there is none.

    With `deleted`, search the deleted lists that the user may restore. Raise `click.ClickException` for two.
    """
    wanted = given.strip()
    if _UUID.match(wanted.lower()):
        return wanted.lower()
    lists = await client.lists(deleted=deleted, at_most=SEARCHED_LISTS).all()
    found = [each for each in lists if each.name == wanted]
    found = found or [each for each in lists if caseless(each.name) == caseless(wanted)]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found[:3])
        kind = "deleted lists" if deleted else "lists"
        raise click.ClickException(f"{len(found)} {kind} are called {wanted}: give the id of one ({ids})")
    return found[0].id if found else None


async def the_list(client: Client, given: str) -> str:
    """Return the id like `find_list`; raise if there is none."""
    found = await find_list(client, given)
    if found is None:
        names = [each.name async for each in client.lists(at_most=SEARCHED_LISTS)]
        meant = did_you_mean(given.strip(), names)
        raise click.ClickException(f"There is no list called {given.strip()}{'.' if meant else ''}{meant}")
    return found


async def the_deleted_list(client: Client, given: str) -> str:
    """Return the id of a deleted list by name or id. Raise `click.ClickException` unless unique."""
    found = await find_list(client, given, deleted=True)
    if found is None:
        raise click.ClickException(f"There is no deleted list called {given.strip()} that you may restore")
    return found
