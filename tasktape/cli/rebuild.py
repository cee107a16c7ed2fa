"""The verb `rebuild`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasktape.cli.options import data_option, local_errors
from tasktape.cli.rebuild_progress import RebuildProgress
from tasktape.cli.stores import open_stores
from tasktape.cli.worker import one_line_errors

if TYPE_CHECKING:
    from app.settings import Settings
    from projections.generations.comparison import Difference


@click.command(epilog="Example: tasktape rebuild --verify")
@click.option(
    "--verify", is_flag=True, help="Compare all rows with the live ones first; switch if all are equal."
)
@click.option(
    "--dry-run", is_flag=True, help="Print the number of events, the time and the space it would take."
)
@click.option("--throttle", metavar="N", type=click.IntRange(min=1), help="Read at most N events a second.")
@click.option(
    "--drop-retired", is_flag=True, help="Drop the former read models afterwards, and all older ones."
)
@data_option
@local_errors
@one_line_errors
def rebuild(
    data: Path | None, *, verify: bool, dry_run: bool, drop_retired: bool, throttle: int | None
) -> None:
    """Rebuild the read models from the log, while everything runs, and switch to the new ones.

    Running API nodes and workers follow by themselves. Ctrl-C stops it; the next `rebuild` continues. The
    former read models stay until --drop-retired.
    """
    from streams.rebuilding import Different, rebuild_all
    from streams.rebuilding import drop_retired as drop

    if dry_run and (verify or drop_retired):
        raise click.UsageError("--dry-run changes nothing; it goes with --throttle only")
    with open_stores(data, log_level="warning") as settings:
        if dry_run:
            _print_estimate(settings, throttle)
            return
        try:
            with RebuildProgress() as progress:
                line = asyncio.run(rebuild_all(settings, progress, per_s=throttle, verify=verify))
        except Different as error:
            _print_differences(error.differences)
            raise click.ClickException(
                "the rebuilt read models differ from the live ones, which stay live; "
                "`tasktape rebuild` without --verify switches to them"
            ) from None
        click.echo(line)
        if drop_retired:
            click.echo(asyncio.run(drop(settings)))


def _print_estimate(settings: Settings, throttle: int | None) -> None:
    from streams.rebuild_estimate import estimate

    found = asyncio.run(estimate(settings, throttle))
    click.echo(
        f"{found.events:,} events, about {found.seconds:,.0f} s, "
        f"about {found.bytes / 1e6:,.0f} MB beside the live ones"
    )


def _print_differences(differences: Sequence[Difference]) -> None:
    for difference in differences:
        click.echo(f"{difference.table}: {difference.rows} rows differ")
        for line in difference.lines:
            click.echo(f"  {line}")
