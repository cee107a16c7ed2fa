"""Stores that tests may harm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres

Store = TypeVar("Store", EmbeddedKafka, EmbeddedPostgres)


@pytest.fixture(scope="session")
def harmed_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Yield a broker for the tests of this process that kill it."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("harmed-kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def harmed_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Yield a database server for the tests of this process that kill it."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("harmed-postgres"))
    postgres.start()
    yield postgres
    postgres.stop()


@pytest.fixture
def own_kafka(harmed_kafka: EmbeddedKafka) -> EmbeddedKafka:
    """Return a running broker that nobody else uses meanwhile: use topics of your own."""
    return running_again(harmed_kafka)


@pytest.fixture
def own_postgres(harmed_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """Return a running database server that nobody else uses meanwhile: use a schema of your own."""
    return running_again(harmed_postgres)


def running_again(store: Store) -> Store:
    """Start a store again if a test left it stopped."""
    if not store.is_ready():
        store.stop()
        store.start()
    return store
