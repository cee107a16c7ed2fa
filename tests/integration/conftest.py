"""Fixtures of tests that harm running parts."""

from collections.abc import AsyncIterator

import pytest

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres


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
