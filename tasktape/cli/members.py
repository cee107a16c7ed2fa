"""The verbs for the members of a list: share, unshare, members, leave, hand-over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb, pending_said, the_list
from tasktape.cli.lines import printable
from tasktape.cli.lists import show_list
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client
    from tasktape_client.models import Role

ROLES = ("owner", "editor", "viewer")


@click.command(epilog="Example: tasktape share Errands bob --role viewer")
@click.argument("list_name", metavar="LIST")
@click.argument("user")
@click.option("--role", type=click.Choice(ROLES), help="[default: editor, or the present role of a member]")
@json_option
@api_verb
async def share(client: Client, *, list_name: str, user: str, role: Role | None, as_json: bool) -> None:
    """Add USER to LIST, or change the role of a member.

    Viewers read, editors change tasks, owners also manage members.
    """
    list_id = await the_list(client, list_name)
    if role is None:  # Sharing a list again does not take an owner's rights away.
        role = (await client.list(list_id)).members.get(user.strip(), "editor")
    await show_list(client, client.set_member(list_id, user, role), as_json=as_json)


@click.command(epilog="Example: tasktape unshare Errands bob")
@click.argument("list_name", metavar="LIST")
@click.argument("user")
@json_option
@api_verb
async def unshare(client: Client, *, list_name: str, user: str, as_json: bool) -> None:
    """Remove USER from LIST, at once."""
    list_id = await the_list(client, list_name)
    with pending_said(as_json=as_json):
        await client.remove_member(list_id, user)
        removal = json.dumps({"list_id": list_id, "removed": user})
        click.echo(removal if as_json else printable(f"{user} sees it no longer."))


@click.command(epilog="Example: tasktape members Errands")
@click.argument("list_name", metavar="LIST")
@json_option
@api_verb
async def members(client: Client, *, list_name: str, as_json: bool) -> None:
    """List the members of LIST, one a line, with their roles."""
    found = (await client.list(await the_list(client, list_name))).members
    if as_json:
        click.echo(json.dumps({"members": found}))
        return
    for user, role in sorted(found.items(), key=lambda each: (ROLES.index(each[1]), each[0])):
        click.echo(printable(f"{role:>6}  {user}"))


@click.command(epilog="Example: tasktape leave Errands")
@click.argument("list_name", metavar="LIST")
@json_option
@api_verb
async def leave(client: Client, *, list_name: str, as_json: bool) -> None:
    """Leave LIST: you lose access to it, the other members keep it."""
    list_id = await the_list(client, list_name)
    with pending_said(as_json=as_json):
        await client.leave_list(list_id)
        click.echo(json.dumps({"list_id": list_id, "left": True}) if as_json else "You left.")


@click.command(name="hand-over", epilog="Example: tasktape hand-over Errands bob")
@click.argument("list_name", metavar="LIST")
@click.argument("user")
@json_option
@api_verb
async def hand_over(client: Client, *, list_name: str, user: str, as_json: bool) -> None:
    """Make USER, a member, the owner of LIST; you stay as an editor."""
    handed = client.hand_over(await the_list(client, list_name), user)
    await show_list(client, handed, as_json=as_json)
