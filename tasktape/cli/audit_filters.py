"""The filters of the audit as options of verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from app.audit.filters import FILTERS
from app.stream_ids import task_stream
from tasktape.cli.client import find_task, the_list
from tasktape.cli.past_times import time_given

if TYPE_CHECKING:
    from tasktape_client import Client

PREFIX = "filter_"
"""The beginning of the names of the parameters of verbs."""
SAME_TITLES = 50
"""Tasks that are looked at for one with a title."""
_TIMES = frozenset({"time_from", "time_to", "recorded_from", "recorded_to"})


def filter_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each filter, and those for a list and a task by their names."""
    for name, each in reversed(list(FILTERS.items())):
        verb = click.option(
            _option(name),
            f"{PREFIX}{name}",
            multiple=each.repeatable,
            metavar="TIME" if name in _TIMES else name.upper(),
            help=f"{each.documentation}.",
        )(verb)
    verb = click.option("--task", help="Events of this task, by its title or id.")(verb)
    return click.option("--list", "list_name", help="Events of this list, by its name or id.")(verb)


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


async def filters_given(
    client: Client, *, list_name: str | None, task: str | None, **given: Any
) -> dict[str, Any]:
    """Return the filters for the API. Raise `click.ClickException` or `click.BadParameter`."""
    filters: dict[str, Any] = {}
    for parameter, value in given.items():
        name = parameter.removeprefix(PREFIX)
        if value is None or value == ():
            continue
        filters[name] = time_given(value, _option(name)) if name in _TIMES else value
    if list_name is not None:
        filters["list_id"] = [*filters.get("list_id", ()), await the_list(client, list_name)]
    if task is not None:
        filters["stream"] = [*filters.get("stream", ()), task_stream(await _task_called(client, task))]
    return filters


async def parameters_given(client: Client, **given: Any) -> list[tuple[str, str]]:
    """Return the same filters as parameters of a request."""
    filters = await filters_given(client, **given)
    return [
        (name, each)
        for name, value in filters.items()
        for each in ([value] if isinstance(value, str) else value)
    ]


async def _task_called(client: Client, given: str) -> str:
    """Return the id of the task with this title, or else with this id. Raise `click.ClickException`."""
    words = given.replace('"', " ")
    found = [each async for each in client.tasks(q=f'"{words}"', at_most=SAME_TITLES) if each.title == given]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found[:3])
        raise click.ClickException(f"{len(found)} tasks are called {given}: give the id of one ({ids})")
    return found[0].id if found else await find_task(client, given)
