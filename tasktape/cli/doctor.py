"""The verb doctor."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from tasktape.cli.options import data_option, json_option, local_errors, process_environment
from tasktape.cli.progress import Progress
from tasktape.local.checks import check_machine
from tasktape.local.data_dir import data_dir
from tasktape.local.findings import Finding
from tasktape.local.live_checks import check_live
from tasktape.local.stack import Options

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@click.command(epilog="Example: tasktape doctor")
@data_option
@click.option("--host", default="127.0.0.1", envvar="HOST", help="The address `up` would listen on.")
@click.option(
    "--port", default=8000, envvar="PORT", type=click.IntRange(1, 65535), help="The port it would use."
)
@click.option(
    "--repair", is_flag=True, help="Bring log and read models together again, after a power cut for instance."
)
@click.option("--yes", is_flag=True, help="Repair without asking.")
@json_option
@local_errors
def doctor(data: Path | None, host: str, port: int, *, repair: bool, yes: bool, as_json: bool) -> None:
    """Check everything and say how to fix it. Exits 1 if a check fails.

    It changes nothing, except with --repair, which asks first. Stop the instance before a repair.
    """
    env = process_environment()
    options = Options(data_dir(data), host, port, 1, env)
    if yes and not repair:
        raise click.UsageError("--yes goes with --repair")
    if repair:
        _repair(options, yes=yes)
        return
    embedded = {"kafka": not env.get("KAFKA_BROKERS"), "postgres": not env.get("DATABASE_URL")}
    findings = [*check_machine(options.data, host, port, **embedded), *check_live(options)]
    ok = not any(finding.status == "fail" for finding in findings)
    if as_json:
        report = {"ok": ok, "checks": [dataclasses.asdict(finding) for finding in findings]}
        click.echo(json.dumps(report, indent=2))
    else:
        for finding in findings:
            click.echo(_line(finding))
    if not ok:
        raise SystemExit(1)


def _repair(options: Options, *, yes: bool) -> None:
    from tasktape.local.repair import repair_instance

    def agree(lines: Sequence[str]) -> bool:
        for line in lines:
            click.echo(line)
        return yes or click.confirm("Repair this?")

    with Progress() as progress:
        done = repair_instance(options, progress, click.echo, agree)
    if not done:
        raise SystemExit(1)


def _line(finding: Finding) -> str:
    line = f"{MARKS[finding.status]} {finding.name:<11} {finding.detail}"
    return f"{line}\n  {'':<11} → {finding.mend}" if finding.mend else line
