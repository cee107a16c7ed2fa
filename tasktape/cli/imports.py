"""The verb `import`."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.text.graphemes import shortened
from tasktape.cli.client import open_client
from tasktape.cli.connection import connection_options
from tasktape.cli.options import json_option
from tasktape.cli.streams import output_after
from tasktape.cli.texts import is_text
from tasktape.importers.stages import name_in

if TYPE_CHECKING:
    from tasktape.importers.run import Progress
    from tasktape.importers.server import Destination
    from tasktape.importers.summary import Summary

SHOWN = 20
"""The number of refused and diverged tasks to name on a terminal; `--json` names more."""
MAX_NAME_CHARS = 200


@click.command(name="import", epilog="Example: tasktape import incidents.xes.gz --list Incidents")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--list", "list_name", help="The list to import to.  [default: named after the file]")
@click.option(
    "--add-stages", is_flag=True, help="Give the list the stages that it lacks, instead of taking its own."
)
@click.option("--format", "file_format", type=click.Choice(["xes"]), default="xes", show_default=True)
@json_option
@connection_options
def import_file(
    file: Path,
    list_name: str | None,
    file_format: str,
    *,
    add_stages: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """Import tasks with their whole histories from FILE, plain or gzipped.

    XES (IEEE 1849): each trace becomes a task, each of its events an event with its own time and actor. What
    is there already is not written again, so an import that was interrupted goes on when it is run again. A
    trace that cannot be used is refused as a whole; then the exit status is 1.

    In a list that has stages of its own, a stage is the list's of the same name, else the first that means
    the same: open, active or done.
    """
    del file_format  # there is one, so far
    if list_name is not None and not list_name.strip():
        raise click.BadParameter("it is empty", param_hint="--list")
    try:
        result = asyncio.run(_run(file, list_name or name_of(file), add_stages=add_stages, **where))
    except KeyboardInterrupt:
        click.echo("\nInterrupted. Imported tasks stay; run the same command again to continue.", err=True)
        sys.exit(130)
    with output_after(done=result["added"] > 0):
        click.echo(json.dumps(result) if as_json else "\n".join(_text(result)))
    if not result["visible"]:
        raise click.ClickException("All is in the log, but the read models have not got there yet")
    if result["refused"]:
        sys.exit(1)


def name_of(file: Path) -> str:
    """Return the name of a file's list: that of the file without endings. Raise `click.BadParameter`."""
    name = file.name
    for ending in (".gz", ".xes", ".xml"):
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    if not is_text(name):
        raise click.BadParameter("the name of the file is not valid text: give --list", param_hint="FILE")
    return shortened(name_in(name), MAX_NAME_CHARS, sign="") or "Import"


async def _run(file: Path, list_name: str, *, add_stages: bool, **where: Any) -> dict[str, Any]:
    """Import, and return the result in the form of `--json`."""
    from uuid_utils import uuid7

    from tasktape.importers.files import ImportFile
    from tasktape.importers.run import import_xes
    from tasktape.importers.server import PATIENCE, ImportServer
    from tasktape.importers.summary import Summary
    from tasktape_client import TasktapeError

    summary, started = Summary(), time.monotonic()
    try:
        async with open_client(**where, patience=PATIENCE) as client:
            server = ImportServer(client, run_id=str(uuid7()), add_stages=add_stages)
            with ImportFile(file) as source, _progress(source.size, file.name) as progress:
                to = await import_xes(source, server, list_name, summary, progress)
            visible = to is None or await server.wait_visible(summary)
    except TasktapeError as error:
        raise click.ClickException(f"{error}{_so_far(summary)}") from None
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}{_so_far(summary)}") from None
    except sqlite3.Error as error:
        raise click.ClickException(f"temporary files cannot be written: {error}{_so_far(summary)}") from None
    return _result(file, list_name, to, summary, time.monotonic() - started, visible=visible)


def _so_far(summary: Summary) -> str:
    if not summary.tasks:
        return ""
    return f"; {summary.tasks:,} tasks are imported, run the same command again to go on"


@contextmanager
def _progress(size: int, name: str) -> Iterator[Progress]:
    """Return a progress bar on a terminal, nothing elsewhere."""
    if not os.isatty(2):
        yield lambda _: None
        return
    with click.progressbar(length=size, label=name, file=click.get_text_stream("stderr")) as bar:
        yield lambda position: bar.update(position - bar.pos)


def _result(
    file: Path, list_name: str, to: Destination | None, summary: Summary, seconds: float, *, visible: bool
) -> dict[str, Any]:
    return {
        "file": str(file),
        "list": {"id": to.list_id, "name": list_name} if to else None,
        "tasks": summary.tasks,
        "events": summary.events,
        "added": summary.added,
        "present": summary.present,
        "diverged": summary.diverged,
        "diverged_tasks": summary.diverged_tasks,
        "empty": summary.empty,
        "stages": summary.stages,
        "added_stages": summary.added_stages,
        "settled": summary.settled,
        "refused": summary.refused,
        "refusals": [
            {"trace": each.trace, "line": each.line, "reason": each.reason} for each in summary.refusals
        ],
        "visible": visible,
        "seconds": round(seconds, 3),
        "events_per_s": round(summary.added / seconds, 1) if seconds > 0 else None,
    }


def _text(result: dict[str, Any]) -> Iterator[str]:
    if result["list"] is None:
        yield f"Nothing to import in {result['file']}"
    else:
        yield from _counts(result)
    if result["added_stages"]:
        yield f"  stages added to the list: {', '.join(result['added_stages'])}"
    if result["stages"]:
        yield f"  {len(result['stages']):,} stages are others in the list:"
        renamed = [f"{one!r} is {other!r}" for one, other in result["stages"].items()]
        yield from _some(renamed, len(renamed))
    if result["settled"]:
        yield f"  {result['settled']:,} edits completed or reopened a task, as the list's stages say"
    if result["empty"]:
        yield f"  {result['empty']:,} traces without events passed over"
    if result["diverged"]:
        yield f"  {result['diverged']:,} tasks changed since their import, and were left alone:"
        yield from _some(result["diverged_tasks"], result["diverged"])
    if result["refused"]:
        yield f"  {result['refused']:,} refused:"
        yield from _some([_refusal(each) for each in result["refusals"]], result["refused"])


def _counts(result: dict[str, Any]) -> Iterator[str]:
    yield f"Imported {result['file']} into the list {result['list']['name']!r} ({result['list']['id']})"
    yield f"  {result['tasks']:,} tasks with {result['events']:,} events"
    yield f"  {result['added']:,} events added, {result['present']:,} there already"
    speed = f", {result['events_per_s']:,.0f} events/s" if result["added"] else ""
    yield f"  {result['seconds']:.1f} s until all was visible{speed}"


def _refusal(refusal: dict[str, Any]) -> str:
    trace = "" if refusal["trace"] is None else f"trace {refusal['trace']!r}, "
    return f"{trace}line {refusal['line']}: {refusal['reason']}"


def _some(lines: list[str], count: int) -> Iterator[str]:
    for line in lines[:SHOWN]:
        yield f"    {line}"
    if count > SHOWN:
        yield f"    and {count - SHOWN:,} more"
