"""The verb `rebuild`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from tasktape.cli.options import data_option, local_errors
from tasktape.cli.rebuild_progress import RebuildProgress
from tasktape.cli.stores import open_stores
from tasktape.cli.worker import one_line_errors


@click.command(epilog="Example: tasktape rebuild")
@click.option(
    "--drop-retired", is_flag=True, help="Drop the former read models afterwards, and all older ones."
)
@click.option("--throttle", metavar="N", type=click.IntRange(min=1), help="Read at most N events a second.")
@data_option
@local_errors
@one_line_errors
def rebuild(data: Path | None, *, drop_retired: bool, throttle: int | None) -> None:
    """Rebuild the read models from the log, while everything runs, and switch to the new ones.

    Running API nodes and workers follow by themselves. Ctrl-C stops it; the next `rebuild` continues. The
    former read models stay until --drop-retired.
    """
    from streams.rebuilding import drop_retired as drop
    from streams.rebuilding import rebuild_all

    with open_stores(data, log_level="warning") as settings:
        with RebuildProgress() as progress:
            line = asyncio.run(rebuild_all(settings, progress, per_s=throttle))
        click.echo(line)
        if drop_retired:
            click.echo(asyncio.run(drop(settings)))
