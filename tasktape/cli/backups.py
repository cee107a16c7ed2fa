"""The verbs `backup` and `restore`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.options import data_option, json_option, local_errors
from tasktape.cli.stores import open_stores
from tasktape.cli.streams import output_after

if TYPE_CHECKING:
    from streams.backup.manifest import Footer, Header
    from streams.backup.reading import Ends

SHOWN_DIGITS = 12
EXISTING = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command(epilog="Example: tasktape backup monday.ttb && tasktape backup --since monday.ttb tuesday.ttb")
@click.argument(
    "files", metavar="FILE", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path)
)
@click.option("--since", type=EXISTING, help="Write only what this backup lacks; restores need both.")
@click.option("--check", is_flag=True, help="Check FILE instead; several are a backup and its increments.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@data_option
@local_errors
def backup(
    files: tuple[Path, ...], since: Path | None, data: Path | None, *, check: bool, force: bool, as_json: bool
) -> None:
    """Write the log to FILE: all records, at one moment, while everything runs.

    Everything else follows from the log. If the instance does not run, its stores are started for as long as
    the backup takes. KAFKA_BROKERS and DATABASE_URL, when set, name other stores.
    """
    if check:
        if since or force:
            raise click.UsageError("--check goes with FILE only")
        _check(files, as_json=as_json)
        return
    if len(files) > 1:
        raise click.UsageError("one FILE is written; several go with --check only")
    from importlib.metadata import version

    from streams.backup.backup import back_up
    from streams.backup.new_file import new_file
    from streams.backup.reading import read_ends

    path = files[0]
    with _failures():
        base = None if since is None else read_ends(since)
        if since is not None and path.exists() and path.samefile(since):
            raise click.UsageError("FILE is its own base; give another name")
        with new_file(path, overwrite=force) as file, open_stores(data) as settings, _bar() as bar:
            progress = partial(bar, "Backing up")
            written = asyncio.run(
                back_up(settings, file, version=version("tasktape"), base=base, progress=progress)
            )
    report = _report(path, written.header, written.footer, written.digest)
    report["file_bytes"] = written.file_bytes
    with output_after(done=True):
        text = f"{_summary(report)}\n  {written.file_bytes:,} bytes for {written.footer.record_bytes:,}"
        click.echo(json.dumps(report) if as_json else text)


def _check(files: Sequence[Path], *, as_json: bool) -> None:
    from streams.backup.restore import check

    with _failures(), _bar() as bar:
        chain = check(files, bar)
    reports = [_of(ends) for ends in chain]
    if as_json:
        click.echo(json.dumps({"sound": True, "backups": reports}))
        return
    for report in reports:
        click.echo(f"{_summary(report)}\n  It is sound.")
    if chain[0].header.base is not None:
        click.echo(f"It is restored after its base, {chain[0].header.base.file}.")


@click.command(epilog="Example: tasktape restore monday.ttb tuesday.ttb --data ./restored")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=EXISTING)
@json_option
@data_option
@local_errors
def restore(files: tuple[Path, ...], data: Path | None, *, as_json: bool) -> None:
    """Restore a backup, and its increments in their order, into an empty instance.

    The files are checked before anything is written. The instance may not run. The next start fills the read
    models from the log. With KAFKA_BROKERS and DATABASE_URL set, these are used instead of the embedded ones.
    """
    from streams.backup.restore import check_restorable
    from streams.backup.restore import restore as run

    try:
        with _failures():
            with _bar() as bar:
                chain = check_restorable(files, bar)
            with open_stores(data, idle=True) as settings, _bar() as bar:
                asyncio.run(run(settings, chain, bar))
    except KeyboardInterrupt:
        click.echo("\nInterrupted. Run the same command again to continue.", err=True)
        sys.exit(130)
    records = sum(ends.footer.records for ends in chain)
    with output_after(done=True):
        if as_json:
            click.echo(json.dumps({"records": records, "backups": [_of(ends) for ends in chain]}))
        else:
            click.echo(
                f"Restored {records:,} records, at their positions. The next start fills the read models."
            )


@contextmanager
def _failures() -> Iterator[None]:
    """Turn known errors into one line and exit status 1."""
    from app.errors import TaskError
    from streams.backup.blocks import BadBackup

    try:
        yield
    except (TaskError, BadBackup) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows progress on a terminal, and nothing elsewhere."""
    if not os.isatty(2):
        yield lambda _label, _done, _total: None
        return
    bar: Any = None

    def show(label: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.label != label:
            if bar is not None:
                bar.render_finish()
            bar = click.progressbar(length=total, label=label, file=click.get_text_stream("stderr"))
            bar.render_progress()
        bar.update(done - bar.pos)

    try:
        yield show
    finally:
        if bar is not None:
            bar.render_finish()


def _of(ends: Ends) -> dict[str, Any]:
    return _report(ends.path, ends.header, ends.footer, ends.digest)


def _report(path: Path, header: Header, footer: Footer, digest: bytes) -> dict[str, Any]:
    """Return a backup in the form of `--json`."""
    from app.dates import format_time

    until, base = header.recorded_until, header.base
    return {
        "file": os.fsencode(path).decode(errors="replace"),
        "digest": digest.hex(),
        "base": None if base is None else {"file": base.file, "digest": base.digest.hex()},
        "topic": header.topic,
        "records": footer.records,
        "record_bytes": footer.record_bytes,
        "starts": {str(mark.partition): mark.offset for mark in header.starts},
        "ends": {str(mark.partition): mark.offset for mark in footer.ends},
        "recorded_until": None if until is None else format_time(until),
        "created_at": format_time(header.created_at),
        "created_by": header.created_by,
    }


def _summary(report: dict[str, Any]) -> str:
    since = f" since {report['base']['file']}" if report["base"] else ""
    until = f", until {report['recorded_until']}" if report["recorded_until"] else ""
    records = "1 record" if report["records"] == 1 else f"{report['records']:,} records"
    return f"{report['file']}: {records}{since}{until}\n  digest {report['digest'][:SHOWN_DIGITS]}"
