"""The verb `rebuild`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.errors import Malformed
from app.positions import parse_positions
from tasktape.cli.options import data_option, local_errors
from tasktape.cli.rebuild_progress import RebuildProgress
from tasktape.cli.stores import open_stores
from tasktape.cli.worker import one_line_errors

if TYPE_CHECKING:
    from app.settings import Settings
    from projections.generations.comparison import Difference
    from projections.rebuild.part import Part


def parsed(_context: click.Context, _option: click.Parameter, text: str | None) -> Mapping[int, int] | None:
    """Return the positions, as offsets by partition. Raise `click.BadParameter`."""
    try:
        return None if text is None else parse_positions(text)
    except Malformed as error:
        raise click.BadParameter(error.detail) from None


@click.command(epilog="Example: tasktape rebuild --verify")
@click.argument("names", metavar="[READ MODEL]...", nargs=-1)
@click.option(
    "--verify", is_flag=True, help="Compare all rows with the live ones first; switch if all are equal."
)
@click.option(
    "--dry-run", is_flag=True, help="Print the number of events, the time and the space it would take."
)
@click.option(
    "--from-position",
    "positions",
    metavar="P:OFFSET,…",
    callback=parsed,
    help="Keep the rows of earlier records; of the read model audit only.",
)
@click.option("--throttle", metavar="N", type=click.IntRange(min=1), help="Read at most N events a second.")
@click.option(
    "--drop-retired", is_flag=True, help="Drop the former read models afterwards, and all older ones."
)
@data_option
@local_errors
@one_line_errors
def rebuild(
    names: tuple[str, ...],
    data: Path | None,
    *,
    verify: bool,
    dry_run: bool,
    drop_retired: bool,
    positions: Mapping[int, int] | None,
    throttle: int | None,
) -> None:
    """Rebuild read models from the log, all or those named, while everything runs, and switch to them.

    Running API nodes and workers follow by themselves. Ctrl-C stops it; the next `rebuild` of the same ones
    continues. The former read models stay until --drop-retired.
    """
    from streams.rebuilding import Different, rebuild_all
    from streams.rebuilding import drop_retired as drop

    if dry_run and (verify or drop_retired or positions):
        raise click.UsageError("--dry-run changes nothing; it goes with READ MODEL and --throttle only")
    part = _part(names, positions)
    with open_stores(data, log_level="warning") as settings:
        if dry_run:
            _print_estimate(settings, throttle, part)
            return
        try:
            with RebuildProgress() as progress:
                line = asyncio.run(rebuild_all(settings, progress, part=part, per_s=throttle, verify=verify))
        except Different as error:
            _print_differences(error.differences)
            raise click.ClickException(
                "the rebuilt read models differ from the live ones, which stay live; "
                "`tasktape rebuild` without --verify switches to them"
            ) from None
        click.echo(line)
        if drop_retired:
            click.echo(asyncio.run(drop(settings)))


def _part(names: Collection[str], positions: Mapping[int, int] | None) -> Part | None:
    """Return what to rebuild, with the read models that are made of it, of which a line says so."""
    from projections.read_models.registry import BY_NAME, MADE_OF, with_dependents
    from projections.rebuild.part import Part

    if not names and positions is None:
        return None
    for name in names:
        if name not in BY_NAME:
            raise click.UsageError(f"there is no read model {name!r}; there are {', '.join(BY_NAME)}")
    together = with_dependents(set(names))
    for name in sorted(together.difference(names)):
        click.echo(f"read models: {name} is rebuilt too, because it is made of {' and '.join(MADE_OF[name])}")
    try:
        return Part(together, positions)
    except Malformed as error:
        raise click.UsageError(error.detail) from None


def _print_estimate(settings: Settings, throttle: int | None, part: Part | None) -> None:
    from streams.rebuild_estimate import estimate

    found = asyncio.run(estimate(settings, throttle, part))
    click.echo(
        f"{found.events:,} events, about {found.seconds:,.0f} s, "
        f"about {found.bytes / 1e6:,.0f} MB beside the live ones"
    )


def _print_differences(differences: Sequence[Difference]) -> None:
    for difference in differences:
        click.echo(f"{difference.table}: {difference.rows} rows differ")
        for line in difference.lines:
            click.echo(f"  {line}")
