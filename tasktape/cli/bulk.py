"""The verb `bulk`: many commands from a file, each with an outcome of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from tasktape.cli.client import api_verb
from tasktape.cli.lines import printable, task_line
from tasktape.cli.options import json_option
from tasktape.cli.streams import carried_on

if TYPE_CHECKING:
    from tasktape.client import BulkOutcome, Client
    from tasktape.client.calls import Creation

AT_ONCE = 100
MAX_COMMANDS = 100_000
MAX_CHARACTERS = 200_000
"""Of commands that are sent at once: as UTF-8 less than a server takes. A larger one is sent alone."""


class Numbered(NamedTuple):
    """A command, which line of the file it is, and how long that is."""

    line: int
    command: dict[str, Any]
    characters: int


@click.command(epilog="Example: tasktape bulk commands.jsonl")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option(
    "--key",
    metavar="NAME",
    help="Call this run so: of the same file under the same name, nothing is done twice.",
)
@json_option
@api_verb
async def bulk(client: Client, *, file: IO[str], key: str | None, as_json: bool) -> None:
    """Carry out the commands in FILE (`-` is standard input), each a line of JSON; tell what became of each.

    A line such as {"command": "complete", "task_id": "…"} or {"command": "create", "body": {"title": "…"}}.
    The exit status is 1 if any was refused; the others are carried out all the same. With a --key, a run
    that broke off can be repeated.
    """
    commands = _commands(file)
    refused = 0
    with carried_on():
        for part in _parts(commands):
            named: Creation = {} if key is None else {"key": f"{key}:{part[0].line}"}
            outcomes = await client.bulk([each.command for each in part], **named)
            for each, outcome in zip(part, outcomes, strict=True):
                refused += outcome.problem is not None
                click.echo(_json_line(each.line, outcome) if as_json else _line(each.line, outcome))
    if refused:
        sys.exit(1)


def _parts(commands: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    """The commands, as many at once as one request may have."""
    part: list[Numbered] = []
    characters = 0
    for each in commands:
        if part and (len(part) == AT_ONCE or characters + each.characters > MAX_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(each)
        characters += each.characters
    if part:
        yield part


def _commands(file: IO[str]) -> list[Numbered]:
    """The commands of a file. Raises `click.ClickException`; then none is sent."""
    found: list[Numbered] = []
    try:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            command = json.loads(line)
            if not isinstance(command, dict):
                raise click.ClickException(f"line {number}: not a JSON object")
            found.append(Numbered(number, command, len(line)))
            if len(found) > MAX_COMMANDS:
                raise click.ClickException(f"more than {MAX_COMMANDS:,} commands")
    except UnicodeDecodeError:
        raise click.ClickException("the file is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise click.ClickException(f"line {number}: not JSON: {error.msg}, at column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"line {number}: not JSON: {error}") from None
    return found


def _json_line(number: int, outcome: BulkOutcome) -> str:
    return json.dumps({"line": number, **outcome.as_sent()})


def _line(number: int, outcome: BulkOutcome) -> str:
    if outcome.problem is not None:
        return printable(f"line {number}: {outcome.problem.detail}")
    if outcome.task is not None:
        return f"line {number}: {task_line(outcome.task)}"
    return f"line {number}: " + ("written, and not visible yet" if outcome.status == 202 else "done")
