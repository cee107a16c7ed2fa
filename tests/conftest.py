"""Fixtures of all tests."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.integration.stack import Stack, running
from tests.parallel import (
    POSTGRES,
    address_of,
    pytest_collection_modifyitems,
    pytest_configure_node,
    pytest_xdist_make_scheduler,
)

__all__ = ["pytest_collection_modifyitems", "pytest_configure_node", "pytest_xdist_make_scheduler"]

# A job in the background ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The brokers of tests end before the second compiler of Java pays, which takes most of their processor time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

# How long an example takes says more about what else the machine does just then.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def kafka_brokers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a real broker, one for the whole run: name your topics uniquely."""
    if shared := address_of("kafka_brokers", pytestconfig):
        yield shared
        return
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    yield kafka.start()
    kafka.stop()


@pytest.fixture(scope="session")
def database_url(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a real PostgreSQL database, one for the whole run: use a schema of your own."""
    if shared := address_of("database_url", pytestconfig):
        yield shared
        return
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings=POSTGRES)
    yield postgres.start()
    postgres.stop()


@pytest.fixture(scope="session")
def running_stack(
    kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Yield one worker and two API nodes, for all tests of a process: use users and lists of your own."""
    # Where the worker is slow, a command must not be answered with 202 that has to be answered with 200.
    folder = tmp_path_factory.mktemp("stack")
    with running(kafka_brokers, database_url, folder, TASKTAPE_COMMAND_WAIT_MS="20000") as stack:
        yield stack
