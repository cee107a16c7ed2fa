"""Completion in shells: of verbs and options by click, of names by short, silent requests to the API."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from tasktape.cli.texts import Text

if TYPE_CHECKING:
    from tasktape_client import Client

Candidates = Callable[["Client"], AsyncIterator[tuple[str, str]]]
"""Names, each with a description."""

TIMEOUT_S = 2.0
"""The longest time to wait for names."""
MAX_LOOKED_AT = 500
MAX_SHOWN = 50
SHELLS = ("bash", "zsh", "fish")
_UNSAFE = re.compile(r"[^\w@%+=:,./-]")


@click.command(epilog="Example: tasktape completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script for SHELL that completes verbs, options, lists, tags, users, stages and tasks.

    In bash, add its output to ~/.bashrc; in zsh, to ~/.zshrc, after compinit; in fish, write it to
    ~/.config/fish/completions/tasktape.fish.
    """
    found = get_completion_class(shell)
    assert found is not None
    program = click.get_current_context().find_root().command
    source = found(program, {}, "tasktape", "_TASKTAPE_COMPLETE")
    click.echo(source.source_template % source.source_vars())


class Named(Text):
    """A text that names an existing object, and that shells complete."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names with this beginning; none if the API does not answer in time."""
        del param
        with suppress(Exception):  # Never fail: the user is typing a line.
            return asyncio.run(self._found(ctx, incomplete))
        return []

    async def _found(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from tasktape.cli.client import open_client

        given = {name: _given(ctx, name) for name in ("url", "token", "data")}
        typed = incomplete.lstrip("\"'").casefold()
        found: dict[str, CompletionItem] = {}
        async with asyncio.timeout(TIMEOUT_S), open_client(**given) as client:
            async for name, about in self._candidates(client):
                if name.casefold().startswith(typed) and len(found) < MAX_SHOWN:
                    found.setdefault(name, CompletionItem(_word(name), help=about))
        return list(found.values())


def complete_names(command: click.Command) -> None:
    """Make shells complete the names that a verb and its sub-verbs take."""
    for param in command.params:
        candidates = _CANDIDATES.get(param.name or "")
        if candidates is not None and type(param.type) is Text:
            param.type = Named(candidates)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        complete_names(below)


def _given(ctx: click.Context, name: str) -> Any:
    """Return an option's value, which may stand before a verb of a group."""
    return ctx.params.get(name) or (_given(ctx.parent, name) if ctx.parent is not None else None)


def _word(name: str) -> str:
    """Return a name as one quoted word, because bash inserts it unchanged."""
    is_bash = os.environ.get("_TASKTAPE_COMPLETE", "").startswith("bash")
    return shlex.quote(name) if is_bash and _UNSAFE.search(name) else name


async def _lists(client: Client) -> AsyncIterator[tuple[str, str]]:
    async for each in client.lists(at_most=MAX_LOOKED_AT):
        if "\n" not in each.name:
            yield each.name, f"{len(each.members)} members"


async def _stages(client: Client) -> AsyncIterator[tuple[str, str]]:
    async for each in client.lists(at_most=MAX_LOOKED_AT):
        for stage in each.stages:
            yield stage["name"], each.name


async def _users(client: Client) -> AsyncIterator[tuple[str, str]]:
    yield (await client.me()).user, "yourself"
    async for each in client.lists(at_most=MAX_LOOKED_AT):
        for user in each.members:
            yield user, each.name


async def _tags(client: Client) -> AsyncIterator[tuple[str, str]]:
    async for task in client.tasks(sort="-updated_at", at_most=MAX_LOOKED_AT):
        for tag in task.tags:
            yield tag, ""


async def _tasks(client: Client) -> AsyncIterator[tuple[str, str]]:
    from tasktape.cli.lines import printable, short

    async for task in client.tasks(sort="-updated_at", status="open", at_most=MAX_LOOKED_AT):
        yield short(task.id), printable(task.title)


_CANDIDATES: dict[str, Candidates] = {
    "list_name": _lists,
    "stage": _stages,
    "tags": _tags,
    "assignee": _users,
    "assignees": _users,
    "user": _users,
    "id_": _tasks,
    "ids": _tasks,
    "parent": _tasks,
    "before": _tasks,
    "after": _tasks,
}
"""The completion of each parameter, by its name."""
