"""The verb `search`, and the sending and refusal of queries."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from html import unescape
from typing import TYPE_CHECKING, Any

import click

from app.text.graphemes import boundary_after, boundary_before
from tasktape.cli.client import api_verb, the_list
from tasktape.cli.lines import printable, task_line
from tasktape.cli.options import json_option
from tasktape.cli.zone import local_zone

if TYPE_CHECKING:
    from tasktape_client import Client, Task


class QueryVerb(click.Command):
    """A verb with a QUERY whose parts may begin with a minus: `search milk -oat`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # A `-h` for help would be found in `-home`, too.
        self.context_settings = {"ignore_unknown_options": True, "help_option_names": ["--help"]}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Treat `-word` as a part of the query, and `--word` as an option."""
        rest = super().parse_args(ctx, ["--help" if each == "-h" else each for each in args])
        for part in ctx.params.get("query") or ():
            if part.startswith("--"):
                name, known = part.partition("=")[0], [name for each in self.params for name in each.opts]
                raise click.NoSuchOption(name, possibilities=get_close_matches(name, known), ctx=ctx)
        return rest


@click.command(cls=QueryVerb, epilog="Example: tasktape search milk -oat '#shop' 'due:<=2026-12-01'")
@click.argument("query", nargs=-1, required=True)
@click.option("--list", "list_name", help="In this list, by its name or id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
@api_verb
async def search(
    client: Client,
    *,
    query: tuple[str, ...],
    list_name: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find open and done tasks by words of their titles, notes and comments, and by conditions.

    QUERY is in the language of the search box: is:open, @alice, #home, p:high, due:<2026-12-01, mil*, -not,
    "exact words". Quote characters that your shell interprets. The best matches come first.
    """
    words = " ".join(query)
    wanted: dict[str, Any] = {"q": words, "time_zone": local_zone(), "at_most": limit}
    if list_name is not None:
        wanted["list_id"] = await the_list(client, list_name)
    with pointing_at(words):
        found = await _found(client, wanted)
    if as_json:
        click.echo(json.dumps({"items": [task.as_sent() for task in found]}))
        return
    for task in found:
        click.echo(task_line(task))
        if task.match is not None and task.match.field != "title":
            click.echo(f"     {task.match.field}: {marked(task.match.snippet, bold=sys.stdout.isatty())}")
    if not found:
        click.echo("Nothing found.", err=True)


async def _found(client: Client, wanted: dict[str, Any]) -> list[Task]:
    """Return the tasks, best matches first; without words, the last changed ones first."""
    from tasktape_client import TasktapeError

    try:
        return await client.tasks(**wanted, sort="relevance").all()
    except TasktapeError as error:
        if all(each["field"] != "sort" for each in error.errors):
            raise
    return await client.tasks(**wanted, sort="-updated_at").all()


@contextmanager
def pointing_at(query: str) -> Iterator[None]:
    """Show the refused part of a query. Raise `click.ClickException`."""
    from tasktape_client import TasktapeError

    try:
        yield
    except TasktapeError as error:
        for each in error.errors:
            if each["field"] == "q" and each.get("at") is not None:
                start = boundary_before(query, each["at"])
                end = boundary_after(query, each["at"] + each["length"])
                shown = f"{query[:start]}>>>{query[start:end]}<<<{query[end:]}"
                raise click.ClickException(printable(f"{each['message']}: {shown}")) from None
        raise


def marked(snippet: str, *, bold: bool) -> str:
    """Return a snippet of HTML for a terminal, with matches in bold or between stars."""
    start, end = ("\x1b[1m", "\x1b[0m") if bold else ("*", "*")
    parts = re.split(r"(</?mark>)", snippet)
    signs = {"<mark>": start, "</mark>": end}
    return "".join(signs.get(part, printable(unescape(part))) for part in parts)
