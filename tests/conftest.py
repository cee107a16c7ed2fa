"""Fixtures that every test may ask for."""

import signal
from collections.abc import Iterator

import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres

# A job in the background ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real broker, one for the whole run: name your topics uniquely."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    yield kafka.start()
    kafka.stop()


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL database, one for the whole run: use a schema of your own."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    yield postgres.start()
    postgres.stop()
