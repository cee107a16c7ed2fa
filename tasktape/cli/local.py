"""The verbs of a local instance: up, down, status."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import click

from tasktape.cli.local_text import status_text, welcome
from tasktape.cli.options import data_option, json_option, local_errors, process_environment
from tasktape.cli.progress import Progress
from tasktape.cli.streams import carried_on
from tasktape.local.data_dir import DataDir, data_dir
from tasktape.local.errors import LocalError
from tasktape.local.foreground import install_parts, run_instance
from tasktape.local.log_files import shorten
from tasktape.local.running import already_runs, stop_instance
from tasktape.local.running import status as read_status
from tasktape.local.stack import Options, Stack

DETACHED_LIMIT_S = 180.0
POLL_S = 0.05


@click.command(epilog="Example: tasktape up --port 8080 --detach")
@data_option
@click.option("--host", default="127.0.0.1", envvar="HOST", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    envvar="PORT",
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 16), help="Projecting processes."
)
@click.option(
    "--api",
    "apis",
    default=1,
    show_default=True,
    type=click.IntRange(1, 16),
    help="Processes that answer, on the one port.",
)
@click.option("--detach", is_flag=True, help="Return once it is ready and leave it running.")
@local_errors
def up(data: Path | None, host: str, port: int, workers: int, apis: int, *, detach: bool) -> None:
    """Start everything: Kafka, PostgreSQL, the workers and the API.

    KAFKA_BROKERS and DATABASE_URL, when set, are used instead of the embedded ones.
    """
    options = Options(data_dir(data), host, port, workers, process_environment(), apis=apis)
    if detach:
        _start_detached(options)
        click.echo(welcome(options, detached=True))
        return
    _say("Starting …")
    with Progress() as progress, carried_on():
        run_instance(options, progress, _say, lambda: click.echo(welcome(options, detached=False)))


@click.command(epilog="Example: tasktape down")
@data_option
@json_option
@local_errors
def down(data: Path | None, *, as_json: bool) -> None:
    """Stop all processes on the data folder, including those of a killed `up`."""
    folder = data_dir(data)
    stopped = folder.root.is_dir() and stop_instance(folder, _say)
    if as_json:
        click.echo(json.dumps({"stopped": stopped, "data": str(folder.root)}))
    else:
        click.echo(
            f"Stopped. The data stay in {folder.root}" if stopped else f"Nothing runs on {folder.root}"
        )


@click.command(epilog="Example: tasktape status --json")
@data_option
@json_option
@local_errors
def status(data: Path | None, *, as_json: bool) -> None:
    """Show the processes, their lag and their memory. Exits 1 unless all are ready."""
    found = read_status(data_dir(data))
    click.echo(json.dumps(found, indent=2) if as_json else status_text(found))
    if not found["ready"]:
        raise SystemExit(1)


def _start_detached(options: Options) -> None:
    """Start `tasktape up` in a session of its own and wait until it is ready."""
    data = options.data
    data.create()
    if data.is_locked():
        raise already_runs(data)
    with Progress() as progress:
        install_parts(Stack(options), progress)
    log = data.logs / "supervisor.log"
    shorten(log)
    start_bytes = log.stat().st_size if log.exists() else 0
    command = [*options.command, "up", "--data", str(data.root), "--host", options.host]
    command += ["--port", str(options.port), "--workers", str(options.workers)]
    command += ["--api", str(options.apis)]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        child = subprocess.Popen(  # noqa: S603  # our own verb
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(options.env),
            cwd=data.root,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    try:
        _await_detached(data, child, lambda: log.read_bytes()[start_bytes:].decode(errors="replace"))
    except BaseException:
        child.terminate()
        raise


def _await_detached(data: DataDir, child: subprocess.Popen[bytes], read_log: Callable[[], str]) -> None:
    deadline_s = time.monotonic() + DETACHED_LIMIT_S
    while True:
        run = data.read_run()
        if run.get("ready") and run["supervisor"]["pid"] == child.pid:
            return
        if child.poll() is not None:
            lines = [line.removeprefix("Error: ") for line in read_log().splitlines() if line.strip()]
            for line in lines[-6:-1]:
                click.echo(line, err=True)
            raise LocalError(lines[-1] if lines else "It ended without a word")
        if time.monotonic() > deadline_s:
            raise LocalError(f"It was not ready within {DETACHED_LIMIT_S:.0f} s; see {data.logs}")
        time.sleep(POLL_S)


def _say(line: str) -> None:
    click.echo(line, err=True)
