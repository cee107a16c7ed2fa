"""The verb `audit rotate-key`: the next key that signs tree heads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from tasktape.cli.options import data_option, local_errors

LEAD_S = 60
"""The time in which all workers have read the file again, with some to spare."""


@click.command("rotate-key", epilog="Example: tasktape audit rotate-key")
@click.option("--at", "time", metavar="TIME", help="When it begins to sign.  [default: in a minute]")
@data_option
@local_errors
def rotate_key(time: str | None, data: Path | None) -> None:
    """Add a key that signs tree heads from TIME on, and print its public part.

    It is added to the file that TASKTAPE_TREE_HEAD_KEYS names, else to that of the data folder. Workers read
    the file again by themselves; copy it to those on other machines before TIME. The former key signs the
    first tree head of the new one too, so keep it in the file.
    """
    from app.settings import BadSettings
    from app.values import instant
    from streams.tree_heads.keys import add_key
    from tasktape.cli.texts import variable
    from tasktape.local.data_dir import data_dir

    named = variable("TASKTAPE_TREE_HEAD_KEYS")
    path = Path(named) if named else data_dir(data).tree_head_keys
    try:
        soon = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        since = soon if time is None else instant(time).astimezone(UTC)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from None
    try:
        click.echo(add_key(path, since).public)
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
