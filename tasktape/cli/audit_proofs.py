"""The verbs `audit head`, `keys`, `prove`, `consistency` and `verifier`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.client import api_verb

if TYPE_CHECKING:
    from tasktape_client import Client

SIZE = click.IntRange(min=0)


@click.command(epilog="Example: tasktape audit head >> heads.txt")
@click.option("--size", type=SIZE, help="The head of so many records, instead of the last one.")
@api_verb
async def head(client: Client, *, size: int | None) -> None:
    """Print a signed tree head. Keep it where nobody who runs Tasktape can change it."""
    answer = await client.read("/api/audit/tree-head", {"size": size})
    click.echo(answer.body["note"])


@click.command(epilog="Example: tasktape audit keys > keys.json")
@api_verb
async def keys(client: Client) -> None:
    """Print the public keys that verify tree heads, with the times from which they sign."""
    await _print(client, "/api/audit/keys", {})


@click.command(epilog="Example: tasktape audit prove 0:121 > proof.json")
@click.argument("position")
@click.option("--size", type=SIZE, help="In the head of so many records, instead of the last one.")
@api_verb
async def prove(client: Client, *, position: str, size: int | None) -> None:
    """Print a proof that the record at POSITION is in a signed tree head."""
    await _print(client, "/api/audit/proof", {"position": position, "size": size})


@click.command(epilog="Example: tasktape audit consistency --from 120 > growth.json")
@click.option("--from", "old", type=SIZE, required=True, help="The number of records of an earlier head.")
@click.option("--to", "new", type=SIZE, help="That of a later head, instead of the last one.")
@api_verb
async def consistency(client: Client, *, old: int, new: int | None) -> None:
    """Print a proof that a tree head has all records of an earlier one, unchanged."""
    await _print(client, "/api/audit/consistency", {"from": old, "to": new})


@click.command(epilog="Example: tasktape audit verifier > verify.py && python verify.py --help")
def verifier() -> None:
    """Print a program, in one file, that verifies heads, proofs and backups without Tasktape."""
    from importlib.resources import files

    click.echo(files("tasktape").joinpath("offline_verifier.py").read_text(encoding="utf-8"), nl=False)


async def _print(client: Client, path: str, params: dict[str, Any]) -> None:
    answer = await client.read(path, params)
    click.echo(json.dumps(answer.body, indent=2))
