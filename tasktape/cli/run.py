"""The verb `api`: one process that answers HTTP and WebSockets."""

from __future__ import annotations

import click

from tasktape.cli.options import bad_settings
from tasktape.cli.worker import one_line_errors, process_settings


@click.command()
@one_line_errors
def api() -> None:
    """Answer HTTP and WebSockets until stopped.

    Settings come from the environment; see the configuration reference.

    Example: JWT_SECRET=… KAFKA_BROKERS=kafka:9092 DATABASE_URL=postgresql://tasktape@db/tasktape tasktape api
    """
    from api.server import run
    from app.settings import BadSettings

    try:
        run(process_settings())
    except BadSettings as error:
        raise bad_settings(error) from None
