"""What the everyday verbs share: a client, names for lists, short ids for tasks, and errors on one line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import click

from tasktape.cli.connection import find_connection
from tasktape.http import Answer, ApiClient, ApiError

P = ParamSpec("P")

SHORT_ID_CHARS = 7
MIN_ID_CHARS = 4
SEARCHED_TASKS = 10_000
SEARCHED_LISTS = 2_000
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def api_errors(verb: Callable[P, None]) -> Callable[P, None]:
    """Turn what the API refuses into one line and exit 1."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except ApiError as error:
            raise click.ClickException(str(error)) from None

    return wrapped


def open_client(url: str | None, token: str | None, data: Path | None) -> ApiClient:
    """A client of the API that options and environment name."""
    connection = find_connection(url, token, data)
    return ApiClient(connection.url, connection.token)


def new_key() -> str:
    """An Idempotency-Key for one run of a verb."""
    from uuid_utils import uuid7

    return str(uuid7())


def short(identifier: str) -> str:
    """The end of an id, which differs most between ids."""
    return identifier[-SHORT_ID_CHARS:]


def find_task(client: ApiClient, given: str) -> str:
    """The id of the task that `given` begins or ends. Raises `click.ClickException` if it isn't just one."""
    wanted = given.strip().lower()
    if _UUID.match(wanted):
        return wanted
    if len(wanted) < MIN_ID_CHARS or not re.fullmatch(r"[0-9a-f-]+", wanted):
        raise click.ClickException(f"{given!r} is not an id, nor {MIN_ID_CHARS} or more characters of one")
    tasks = client.items("/api/tasks", at_most=SEARCHED_TASKS, sort="-updated_at")
    found = [task for task in tasks if task["id"].startswith(wanted) or task["id"].endswith(wanted)]
    if len(found) == 1:
        return str(found[0]["id"])
    if not found:
        raise click.ClickException(f"No task has an id that begins or ends with {wanted}")
    examples = ", ".join(f"{short(task['id'])} {task['title'][:30]!r}" for task in found[:3])
    raise click.ClickException(f"{len(found)} tasks have ids with {wanted}: {examples}")


def find_list(client: ApiClient, given: str) -> str | None:
    """The id of the list of this name or id; None if there is none. Raises `click.ClickException` for two."""
    wanted = given.strip()
    if _UUID.match(wanted.lower()):
        return wanted.lower()
    lists = list(client.items("/api/lists", at_most=SEARCHED_LISTS))
    found = [each for each in lists if each["name"] == wanted]
    found = found or [each for each in lists if each["name"].casefold() == wanted.casefold()]
    if len(found) > 1:
        ids = ", ".join(each["id"] for each in found[:3])
        raise click.ClickException(f"{len(found)} lists are called {wanted}: give the id of one ({ids})")
    return str(found[0]["id"]) if found else None


def the_list(client: ApiClient, given: str) -> str:
    """As `find_list`; without one it is an error."""
    found = find_list(client, given)
    if found is None:
        raise click.ClickException(f"There is no list called {given.strip()}")
    return found


def note_pending(answer: Answer) -> bool:
    """Say it if a command's outcome is not known yet; then there is no state to show."""
    if answer.pending is None:
        return False
    where = answer.headers["location"]
    click.echo(f"Written, and not visible yet (is a worker running?); ask {where}", err=True)
    return True


def task_line(task: dict[str, Any]) -> str:
    """A task on one line."""
    mark = "x" if task["status"] == "done" else " "
    parts = [f"[{mark}]", short(task["id"]), task["title"]]
    if task["priority"] != "none":
        parts.append(f"!{task['priority']}")
    if task["due"]:
        parts.append(f"due {task['due']}")
    if task["stage"]:
        parts.append(f"({task['stage']})")
    parts += [f"#{tag}" for tag in task["tags"]]
    parts += [f"@{user}" for user in task["assignees"]]
    return printable("  ".join(parts[:2]) + "  " + " ".join(parts[2:]))


def printable(text: str) -> str:
    """Text from others, without what could take over a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
