"""The verb `audit verify`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.options import data_option, json_option, local_errors
from tasktape.cli.rebuild_progress import RebuildProgress
from tasktape.cli.stores import open_stores
from tasktape.cli.worker import one_line_errors

if TYPE_CHECKING:
    from app.merkle.notes import PublicKey
    from streams.verification.log import Verification

EXISTING = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_NOTE = re.compile("(?:[^\\n]+\\n)+\\n(?:\u2014 [^\\n]+\\n)+")


@click.command(epilog="Example: tasktape audit verify --heads heads.txt")
@click.option("--heads", "files", multiple=True, type=EXISTING, help="Signed heads that were kept elsewhere.")
@click.option("--key", "texts", multiple=True, metavar="KEY", help="Accept signatures of this key only.")
@json_option
@data_option
@local_errors
@one_line_errors
def verify(files: Sequence[Path], texts: Sequence[str], data: Path | None, *, as_json: bool) -> None:
    """Compare the log, the audit, the hash trees and the signed tree heads, record by record.

    Print the first record that differs in each partition, and where it differs; then exit with 1. It works
    while everything runs. States and former values are compared by `tasktape rebuild audit --verify`.
    """
    from streams.verification.log import verify_log

    heads, keys = [note for file in files for note in _notes(file)], _keys(texts)
    with open_stores(data, log_level="warning") as settings, RebuildProgress("Verifying") as progress:
        found = asyncio.run(verify_log(settings, heads, keys, progress))
    report = _report(found)
    if as_json:
        click.echo(json.dumps(report))
    else:
        _print(report)
    sys.exit(0 if report["sound"] else 1)


def _notes(file: Path) -> list[str]:
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        content = ""
    notes: list[str] = _NOTE.findall(content)
    if not notes:
        raise click.BadParameter(f"{file} has no signed head", param_hint="--heads")
    return notes


def _keys(texts: Sequence[str]) -> list[PublicKey]:
    from app.merkle.notes import PublicKey, Unreadable

    try:
        return [PublicKey.parse(text) for text in texts]
    except Unreadable as error:
        raise click.BadParameter(str(error), param_hint="--key") from None


def _report(found: Verification) -> dict[str, Any]:
    """Return the outcome in the form of `--json`."""
    return {
        "sound": not found.differences and not found.heads.faults,
        "records": found.records,
        "signed": found.signed,
        "heads": len(found.heads.known),
        "keys": [str(key) for key in found.heads.keys],
        "differences": [
            {"position": each.position, "where": each.place, "reason": each.reason}
            for each in found.differences
        ],
        "faults": list(found.heads.faults),
    }


def _print(report: dict[str, Any]) -> None:
    for each in report["differences"]:
        click.echo(f"WRONG: {each['position']} in the {each['where']}: {each['reason']}")
    for fault in report["faults"]:
        click.echo(f"WRONG: {fault}")
    unsigned = report["records"] - report["signed"]
    click.echo(
        f"{report['records']:,} records compared with their rows and hashes. "
        f"{report['signed']:,} are as signed, by {report['heads']:,} tree heads; {unsigned:,} are not."
    )
    for key in report["keys"]:
        click.echo(f"  {key}")
