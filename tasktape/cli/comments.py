"""The verbs for comments: comment, comments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb, find_id, find_task, pending_said
from tasktape.cli.lines import moment, printable, short
from tasktape.cli.options import json_option
from tasktape.cli.past_times import moments_given

if TYPE_CHECKING:
    from tasktape_client import Client, Comment

SHOWN = 1_000


@click.command(epilog='Example: tasktape comment 3f9a2c1 "@bob oat milk will do"')
@click.argument("id_", metavar="ID")
@click.argument("text", nargs=-1)
@click.option("--edit", "edited", metavar="COMMENT_ID", help="Replace this comment with TEXT.")
@click.option("--delete", "deleted", metavar="COMMENT_ID", help="Delete this comment.")
@json_option
@api_verb
async def comment(
    client: Client, *, id_: str, text: tuple[str, ...], edited: str | None, deleted: str | None, as_json: bool
) -> None:
    """Add TEXT to a task as a comment; @name mentions a member of its list."""
    if bool(text) == bool(deleted) or (edited and deleted):
        raise click.UsageError("give TEXT, or --delete")
    task_id, words = await find_task(client, id_), " ".join(text)
    given = edited or deleted
    of_it = client.comments(task_id, at_most=SHOWN)
    comment_id = given and await find_id(given, of_it, "comment", lambda each: each.text)
    with pending_said(as_json=as_json):
        if comment_id is None:
            _show(await client.comment(task_id, words), as_json=as_json)
        elif edited:
            _show(await client.edit_comment(task_id, comment_id, words), as_json=as_json)
        else:
            await client.delete_comment(task_id, comment_id)
            click.echo(json.dumps({"id": comment_id, "deleted": True}) if as_json else "Deleted.")


@click.command(epilog="Example: tasktape comments 3f9a2c1")
@click.argument("id_", metavar="ID")
@click.option("--as-of", help="As they were at this time: yesterday, 3 days ago, 2026-12-01T09:00.")
@click.option("--as-recorded-at", help="As Tasktape knew them at this time, before later imports.")
@json_option
@api_verb
async def comments(
    client: Client, *, id_: str, as_of: str | None, as_recorded_at: str | None, as_json: bool
) -> None:
    """List the comments of a task, oldest first: the end of the id, time, author, text."""
    then = moments_given(as_of, as_recorded_at)
    found = await client.comments(await find_task(client, id_), **then, at_most=SHOWN).all()
    if as_json:
        click.echo(json.dumps({"items": [each.as_sent() for each in found]}))
        return
    for each in found:
        _show(each, as_json=False)
    if not found:
        click.echo("No comments.", err=True)


def _show(said: Comment, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(said.as_sent()))
        return
    first, *rest = said.text.splitlines()
    click.echo(printable(f"{short(said.id)}  {moment(said.created_at)}  {said.author}  {first}"))
    for line in rest:
        click.echo(f"    {printable(line)}")
