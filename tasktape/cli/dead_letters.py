"""The verb `dead-letters`: records that could not be folded, for administrators to retry or skip."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tasktape.cli.client import api_verb
from tasktape.cli.failures import Verbs
from tasktape.cli.lines import printable
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape_client import Client
    from tasktape_client.models import LettersWritten

SHOWN = 10_000


@click.group(
    name="dead-letters",
    cls=Verbs,
    epilog="Example: tasktape dead-letters list",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def dead_letters() -> None:
    """List, retry and skip records that could not be folded, and those that wait behind them."""


@dead_letters.command(name="list", epilog="Example: tasktape dead-letters list --json")
@json_option
@api_verb
async def list_letters(client: Client, *, as_json: bool) -> None:
    """List parked records: position, whether its stream waits for it, attempts, age, stream and reason."""
    letters = await client.dead_letters(at_most=SHOWN).all()
    if as_json:
        click.echo(json.dumps({"items": [each.as_sent() for each in letters]}))
        return
    for each in letters:
        mark = "holds" if each.holds else "waits" if each.stream else "alone"
        where = each.stream or "no stream"
        age = f"{int(each.age_s)} s"
        click.echo(
            printable(f"{each.position}  {mark}  {each.attempts} tried  {age}  {where}  {each.reason}")
        )
    if not letters:
        click.echo("No dead letters.", err=True)


@dead_letters.command(epilog="Example: tasktape dead-letters retry 0:121")
@click.argument("position")
@json_option
@api_verb
async def retry(client: Client, *, position: str, as_json: bool) -> None:
    """Retry the record at POSITION, and those behind it, for example after an upgrade."""
    _show(await client.retry_dead_letter(position), as_json=as_json)


@dead_letters.command(epilog="Example: tasktape dead-letters skip 0:121")
@click.argument("position")
@json_option
@api_verb
async def skip(client: Client, *, position: str, as_json: bool) -> None:
    """Skip the record at POSITION permanently, and retry those behind it."""
    _show(await client.skip_dead_letter(position), as_json=as_json)


def _show(written: LettersWritten, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(written.as_sent()))
    else:
        left = "`tasktape dead-letters list` shows what is left"
        click.echo(f"{written.appended} records were appended; {left}")
