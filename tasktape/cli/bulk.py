"""The verb `bulk`: many commands from a file or a pipe, each with its own outcome."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING

import click

from tasktape.cli.bulk_lines import Line, batches
from tasktape.cli.bulk_pipeline import Pipeline
from tasktape.cli.client import api_verb
from tasktape.cli.lines import printable, task_line
from tasktape.cli.options import json_option
from tasktape.cli.streams import carried_on

if TYPE_CHECKING:
    from tasktape_client import BulkOutcome, Client

MAX_UNREADABLE = 1_000
"""After so many invalid lines, the file is refused as a wrong file."""


@click.command(epilog="Example: tasktape bulk commands.jsonl")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--key",
    metavar="NAME",
    help="A name for this run: repeating the same file with the same name does nothing twice.",
)
@json_option
@api_verb
async def bulk(client: Client, *, file: IO[bytes], key: str | None, as_json: bool) -> None:
    """Execute the commands in FILE (`-` is standard input), one a line in JSON, and print their outcomes.

    A line such as {"command": "complete", "task_id": "…"} or {"command": "create", "body": {"title": "…"}}.
    Commands are executed as they arrive. Related commands keep their order. If one is invalid or refused,
    the exit status is 1, and the others are executed nevertheless. With a --key, an interrupted run can
    be repeated.
    """
    refused = unreadable = 0
    with carried_on():
        async with Pipeline(client) as pipeline:
            async for batch, outcomes in pipeline.results(batches(file.fileno(), key)):
                for line, outcome in zip(batch, outcomes, strict=True):
                    refused += outcome is None or outcome.problem is not None
                    unreadable += outcome is None
                    click.echo(_json_line(line, outcome) if as_json else _line(line, outcome))
                sys.stdout.flush()
                if unreadable >= MAX_UNREADABLE:
                    raise click.ClickException(f"{unreadable:,} lines are no commands: this is another file")
    if refused:
        sys.exit(1)


def _json_line(line: Line, outcome: BulkOutcome | None) -> str:
    if outcome is None:
        return json.dumps({"line": line.number, "error": line.error})
    return json.dumps({"line": line.number, **outcome.as_sent()})


def _line(line: Line, outcome: BulkOutcome | None) -> str:
    if outcome is None:
        return printable(f"line {line.number}: {line.error}")
    if outcome.problem is not None:
        return printable(f"line {line.number}: {outcome.problem.detail}")
    if outcome.task is not None:
        return f"line {line.number}: {task_line(outcome.task)}"
    return f"line {line.number}: " + ("written, and not visible yet" if outcome.status == 202 else "done")
