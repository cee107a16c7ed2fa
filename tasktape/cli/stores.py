"""The stores of verbs that work on the log and the database themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasktape.cli.options import process_environment

if TYPE_CHECKING:
    from app.settings import Settings


@contextmanager
def open_stores(data: Path | None, *, idle: bool = False, log_level: str = "error") -> Iterator[Settings]:
    """Yield the settings for the stores that the environment names, else for those of the local instance.

    If the local instance does not run, its stores are started; if `idle`, it may not run.
    """
    from tasktape.cli.worker import process_settings
    from tasktape.logs import configure

    environment = process_environment()
    if environment.get("KAFKA_BROKERS") and environment.get("DATABASE_URL"):
        settings = process_settings()
        configure(log_level, settings.log_format)
        yield settings
        return
    from tasktape.cli.progress import Progress
    from tasktape.local.data_dir import data_dir
    from tasktape.local.stack import Options
    from tasktape.local.stores import any_stores, idle_stores

    configure(log_level, "text")
    stores = idle_stores if idle else any_stores
    options = Options(data_dir(data), "127.0.0.1", 8000, 1, environment)
    with Progress() as progress, stores(options, progress, lambda line: click.echo(line, err=True)) as found:
        yield found
