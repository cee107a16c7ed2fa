"""The verb `audit parquet`: a copy of the audit in Parquet files by day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.audit_filters import filter_options, parameters_given
from tasktape.cli.client import api_verb
from tasktape.cli.options import json_option

if TYPE_CHECKING:
    from tasktape.parquet_copy.update import Part
    from tasktape_client import Client


@click.command(epilog="Example: tasktape audit parquet ./audit-copy")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@filter_options
@json_option
@api_verb
async def parquet(client: Client, *, folder: Path, as_json: bool, **filters: Any) -> None:
    """Bring a copy of the audit in DIR up to date, or begin one.

    Its Parquet files are in a folder for each day on which events were recorded, for DuckDB, Spark and
    pandas. Each event is there once, also if an earlier run was interrupted. Run it again for later events.
    """
    from pyarrow import parquet as pq

    from app.positions import format_positions, parse_positions
    from tasktape.parquet_copy.manifest import BadCopy
    from tasktape.parquet_copy.update import PART_EVENTS, Part, bring_up_to_date

    query = tuple(await parameters_given(client, **filters))
    added = 0

    async def fetch(after: Mapping[int, int]) -> Part:
        params = [*query, ("after", format_positions(after)), ("limit", str(PART_EVENTS))]
        async with client.export("parquet", params) as export:
            content = BytesIO(b"".join([chunk async for chunk in export.chunks]))
        return Part(pq.read_table(content), parse_positions(export.until))

    def progress(events: int) -> None:
        nonlocal added
        added += events

    try:
        manifest = await bring_up_to_date(folder, query, fetch, progress)
    except BadCopy as error:
        raise click.ClickException(f"{folder}: {error}") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder}: {error.strerror or error}") from None
    events = sum(each.events for each in manifest.files)
    if as_json:
        report = {"added": added, "events": events, "files": len(manifest.files)}
        click.echo(json.dumps(report | {"positions": format_positions(manifest.positions)}))
    else:
        click.echo(f"{folder}: {added:,} events added; {events:,} in {len(manifest.files):,} files")
