"""The verb `dead-letters`: records that could not be folded, and the two ways on. For administrators."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tasktape.cli.client import api_errors, open_client, printable
from tasktape.cli.connection import connection_options
from tasktape.cli.options import json_option

SHOWN = 10_000


@click.group(
    name="dead-letters",
    epilog="Example: tasktape dead-letters list",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def dead_letters() -> None:
    """See and settle records that could not be folded, and those that wait behind them."""


@dead_letters.command(name="list", epilog="Example: tasktape dead-letters list --json")
@json_option
@connection_options
@api_errors
def list_letters(url: str | None, token: str | None, data: Path | None, *, as_json: bool) -> None:
    """List parked records: place, whether its stream waits for it, attempts, age, stream and reason."""
    with open_client(url, token, data) as client:
        letters = list(client.items("/api/dead-letters", at_most=SHOWN))
    if as_json:
        click.echo(json.dumps({"items": letters}))
        return
    for each in letters:
        mark = "holds" if each["holds"] else "waits" if each["stream"] else "alone"
        where = each["stream"] or "no stream"
        age_s = int(each["age_s"])
        line = f"{each['position']}  {mark}  {each['attempts']} tried  {age_s} s  {where}  {each['reason']}"
        click.echo(printable(line))
    if not letters:
        click.echo("No dead letters.", err=True)


@dead_letters.command(epilog="Example: tasktape dead-letters retry 0:121")
@click.argument("position")
@json_option
@connection_options
@api_errors
def retry(position: str, url: str | None, token: str | None, data: Path | None, *, as_json: bool) -> None:
    """Try the record at POSITION again, and those behind it; after an upgrade, say."""
    _settle("retry", position, (url, token, data), as_json=as_json)


@dead_letters.command(epilog="Example: tasktape dead-letters skip 0:121")
@click.argument("position")
@json_option
@connection_options
@api_errors
def skip(position: str, url: str | None, token: str | None, data: Path | None, *, as_json: bool) -> None:
    """Pass over the record at POSITION for good, and try those behind it."""
    _settle("skip", position, (url, token, data), as_json=as_json)


def _settle(
    action: str, position: str, where: tuple[str | None, str | None, Path | None], *, as_json: bool
) -> None:
    from uuid_utils import uuid7

    with open_client(*where) as client:
        body = client.command("POST", f"/api/dead-letters/{position}/{action}", key=str(uuid7())).body
    if as_json:
        click.echo(json.dumps(body))
    else:
        click.echo(
            f"{body['appended']} records were appended; `tasktape dead-letters list` shows what is left"
        )
