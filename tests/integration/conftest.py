"""Fixtures of tests that need the whole product running."""

from collections.abc import Iterator

import pytest

from tests.integration.stack import Stack, running


@pytest.fixture(scope="session")
def running_stack(
    kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One worker and two API nodes, for the whole run: use users and lists of your own."""
    with running(kafka_brokers, database_url, tmp_path_factory.mktemp("stack")) as stack:
        yield stack
