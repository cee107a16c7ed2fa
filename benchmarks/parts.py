"""Real parts for a benchmark: a broker and a database of its own, removed afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Parts:
    """The addresses of the parts, and a folder for files."""

    brokers: str
    database_url: str
    folder: Path
    broker_pid: int
    database_pid: int


@contextmanager
def real_parts() -> Iterator[Parts]:
    """Start a broker and a database with empty data, as `tasktape up` does; stop them at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasktape-bench-")))
        kafka, postgres = EmbeddedKafka(folder / "kafka"), EmbeddedPostgres(folder / "postgres")
        stack.callback(postgres.stop)
        database_url = postgres.start()
        stack.callback(kafka.stop)
        yield Parts(kafka.start(), database_url, folder, kafka.pid, postgres.pid)
