"""The verbs `worker` and `migrate`: one process each."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec

import click

from app.errors import TaskError
from app.settings import BadSettings, Settings
from tasktape.cli.options import bad_settings, process_environment
from tasktape.logs import configure

P = ParamSpec("P")


def process_settings() -> Settings:
    """Return settings from the environment, and set up logging. Bad ones are one line and exit 2."""
    try:
        settings = Settings.from_environment(process_environment())
    except BadSettings as error:
        raise bad_settings(error) from None
    configure(settings.log_level, settings.log_format)
    return settings


def one_line_errors(verb: Callable[P, None]) -> Callable[P, None]:
    """Turn known errors into one line and exit status 1."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except TaskError as error:
            raise click.ClickException(error.detail) from None

    return wrapped


@click.command()
@one_line_errors
def worker() -> None:
    """Run one projecting worker until it is stopped.

    Settings come from the environment; see the configuration reference.

    Example: KAFKA_BROKERS=kafka:9092 DATABASE_URL=postgresql://tasktape@db/tasktape tasktape worker
    """
    from streams.worker import run_worker

    try:
        run_worker(process_settings())
    except BadSettings as error:
        raise bad_settings(error) from None


@click.command()
@one_line_errors
def migrate() -> None:
    """Create missing topics and tables, and rebuild read models of another version.

    You can run it at any time, repeatedly, and several times at once. Settings come from the
    environment; see the configuration reference. `tasktape up` runs it automatically.

    Example: KAFKA_BROKERS=kafka:9092 DATABASE_URL=postgresql://tasktape@db/tasktape tasktape migrate
    """
    from streams.migrate import migrate as run

    for line in asyncio.run(run(process_settings())):
        click.echo(line)
