"""Fixtures of tests that need the whole product running."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.integration.stack import Stack, running


@pytest.fixture(scope="session")
def running_stack(
    kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One worker and two API nodes, for the whole run: use users and lists of your own."""
    with running(kafka_brokers, database_url, tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
async def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("own-kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("own-postgres"))
    postgres.start()
    yield postgres
    postgres.stop()
