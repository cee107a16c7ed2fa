"""The verb `audit sql`: queries of the views of the audit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from app.text.graphemes import shortened
from projections.audit_sql.limits import MAX_ROWS, USUAL_ROWS
from tasktape.cli.client import api_verb
from tasktape.cli.lines import printable

if TYPE_CHECKING:
    from tasktape_client import Client
    from tasktape_client.models import SqlResult

Shown = Literal["table", "json", "csv", "parquet", "arrow"]
BINARY = ("parquet", "arrow")
WIDEST_CELL = 60
"""Characters of a value in a table; longer ones are cut."""


@click.command(
    epilog='Example: tasktape audit sql "select actor, count(*) from events group by 1 order by 2 desc"'
)
@click.argument("statement")
@click.option(
    "--format",
    "shown",
    type=click.Choice(["table", "json", "csv", "parquet", "arrow"]),
    default="table",
    help="The form of the result.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=USUAL_ROWS, show_default=True, help="The most rows."
)
@api_verb
async def sql(client: Client, *, statement: str, shown: Shown, output: Path | None, limit: int) -> None:
    """Query the views of the audit with SQL, as an administrator or an auditor.

    The views are events, changes, tasks, task_versions, lists and members. Give - to read STATEMENT from the
    standard input.
    """
    if shown in BINARY and output is None and sys.stdout.isatty():
        raise click.UsageError(f"{shown} is binary: give --output, or redirect the output")
    if statement == "-":
        statement = click.get_text_stream("stdin").read()
    if shown == "table":
        result = await client.sql(statement, limit=limit)
        body, truncated = "".join(f"{line}\n" for line in table_lines(result)).encode(), result.truncated
    else:
        body, truncated = await client.sql_as(statement, shown, limit=limit)
        body += b"\n" if shown == "json" else b""
    if output is None:
        click.echo(body, nl=False)
    else:
        _write(output, body)
    if truncated:
        click.echo("The query has more rows: see --limit.", err=True)


def _write(output: Path, body: bytes) -> None:
    try:
        output.write_bytes(body)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror or error}") from None


def table_lines(result: SqlResult) -> Iterator[str]:
    """Yield a result as a table for people."""
    rows = [
        [column.name for column in result.columns],
        *([_cell(each) for each in row] for row in result.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(printable(text), WIDEST_CELL)
