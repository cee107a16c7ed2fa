"""The verb `audit export`: events of the audit in a file, or on the standard output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from tasktape.cli.audit_filters import filter_options, parameters_given
from tasktape.cli.client import api_verb

if TYPE_CHECKING:
    from tasktape.export_file import Params
    from tasktape_client import Client
    from tasktape_client.exports import Export, ExportFormat

ENDINGS: Mapping[str, ExportFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xes": "xes",
    ".jsonocel": "ocel",
}


@click.command(epilog="Example: tasktape audit export --list Incidents --output incidents.parquet")
@click.option(
    "--format",
    "given_format",
    type=click.Choice(sorted(set(ENDINGS.values()))),
    help="The format.  [default: that of the ending of the file, else jsonl]",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file.  [default: standard output]"
)
@click.option("--resume", is_flag=True, help="Continue the file after an interruption; CSV and JSON lines.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option(
    "--after", default="", metavar="P:OFFSET,…", help="Only records after these positions of the log."
)
@filter_options
@api_verb
async def export(
    client: Client,
    *,
    given_format: ExportFormat | None,
    output: Path | None,
    resume: bool,
    force: bool,
    after: str,
    **filters: Any,
) -> None:
    """Export events of the audit as CSV, JSON lines, Parquet, XES or OCEL 2.0.

    A file has its name when it is complete; until then, it is FILE.partial.
    """
    export_format = given_format or ENDINGS.get("" if output is None else output.suffix.lower(), "jsonl")
    params = await parameters_given(client, **filters)
    if output is None:
        if resume or force:
            raise click.UsageError("--resume and --force go with --output")
        await _print(client, export_format, [*params, ("after", after)])
        return
    if not force and await asyncio.to_thread(output.exists):
        raise click.ClickException(f"{output} exists; --force replaces it")
    try:
        await _write(client, output, export_format, params, after, resume=resume)
    except OSError as error:
        raise click.ClickException(f"{error.filename or output}: {error.strerror or error}") from None


async def _print(client: Client, export_format: ExportFormat, params: Params) -> None:
    if sys.stdout.isatty() and export_format == "parquet":
        raise click.UsageError("parquet is not text; name a file with --output")
    async with client.export(export_format, params) as found:
        async for chunk in found.chunks:
            sys.stdout.buffer.write(chunk)


async def _write(
    client: Client, output: Path, export_format: ExportFormat, params: Params, after: str, *, resume: bool
) -> None:
    from tasktape.export_file import RESUMABLE, Begun, CannotResume, begin, finish, partial_of, rest_of
    from tasktape_client import TasktapeError

    kept_bytes, places = 0, [("after", after)]
    if resume:
        try:
            rest = rest_of(output, export_format, params, after)
        except CannotResume as error:
            raise click.ClickException(str(error)) from None
        kept_bytes, places = rest.kept_bytes, [("after", rest.after), ("until", rest.until)]
    try:
        async with client.export(export_format, [*params, *places]) as found:
            if not resume:
                begin(output, Begun(export_format, params, after, found.until))
            with partial_of(output).open("r+b") as file:
                file.truncate(kept_bytes)
                file.seek(kept_bytes)
                await _receive(found, file, skips_head=kept_bytes > 0 and export_format == "csv")
    except TasktapeError as error:
        again = (
            "; --resume continues it" if export_format in RESUMABLE and partial_of(output).exists() else ""
        )
        raise click.ClickException(f"{error}{again}") from None
    finish(output)


async def _receive(found: Export, file: BinaryIO, *, skips_head: bool) -> None:
    async for chunk in found.chunks:
        rest = chunk
        if skips_head:  # a continued file has its head already
            _, end, rest = chunk.partition(b"\r\n")
            skips_head = not end
        file.write(rest)
