"""Several processes that share the tests, one broker and one database (`pytest -n 3 --dist loadfile`)."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tasktape.local.processes import end_all

POSTGRES = {"max_connections": "500", "fsync": "off", "full_page_writes": "off"}
"""Each process of the tests may have stacks of dozens of connections each. Nothing crashes this server."""

STOP_LIMIT_S = 30
"""The time for an interrupted process to stop what its tests have started."""

ADDRESSES = pytest.StashKey[dict[str, str]]()

# The longest come first, so that no process is left alone at the end; the others keep their order.
LONGEST_FIRST = (
    "tests/integration/test_import_incidents.py",
    "tests/integration/test_relay_chaos.py",
    "tests/integration/test_back_up_document.py",
    "tests/integration/test_faults.py",
    "tests/integration/test_recover_document.py",
    "tests/integration/test_finding_plans.py",
    "tests/integration/test_readme.py",
    "tests/integration/test_reminders.py",
    "tests/integration/test_recurrence.py",
    "tests/integration/test_local_instance.py",
    "tests/integration/test_import_trouble.py",
    "tests/integration/test_proxies.py",
    "tests/integration/test_compose_processes.py",
    "tests/integration/test_local_trouble.py",
    "tests/integration/test_rebuild.py",
    "tests/integration/test_backup.py",
    "tests/integration/test_log_damage.py",
    "tests/e2e/test_page.py",
    "tests/integration/test_cli_tasks.py",
    "tests/integration/test_local_up.py",
    "tests/api/transports/websocket/test_hostile_clients.py",
    "tests/integration/",
    "tests/e2e/",
    "tests/streams/",
    "tests/projections/",
    "tests/api/",
    "tests/",
)
DIVIDED = frozenset(
    {
        "tests/integration/test_back_up_document.py",
        "tests/integration/test_faults.py",
        "tests/integration/test_relay_chaos.py",
        "tests/integration/test_reminders.py",
        "tests/integration/test_recurrence.py",
        "tests/integration/test_log_damage.py",
        "tests/integration/test_cli_tasks.py",
        "tests/e2e/test_page.py",
    }
)
"""Files whose tests take long, and share nothing that would be made once for each process."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the addresses of the shared broker and database to a process of the tests."""
    node.workerinput |= _addresses(node.config)
    node.nodemanager.EXIT_TIMEOUT = STOP_LIMIT_S


def address_of(name: str, config: pytest.Config) -> str | None:
    """Return an address passed to this process; None if it runs the tests alone."""
    address: str | None = getattr(config, "workerinput", {}).get(name)
    return address


def _addresses(config: pytest.Config) -> dict[str, str]:
    if ADDRESSES not in config.stash:
        folder = TemporaryDirectory(prefix="tasktape-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        kafka = EmbeddedKafka(Path(folder.name) / "kafka")
        postgres = EmbeddedPostgres(Path(folder.name) / "postgres", settings=POSTGRES)
        config.add_cleanup(lambda: _end_leftovers(config._tmp_path_factory.getbasetemp()))  # type: ignore[attr-defined]
        config.add_cleanup(kafka.stop)
        config.add_cleanup(postgres.stop)
        config.stash[ADDRESSES] = {"kafka_brokers": kafka.start(), "database_url": postgres.start()}
    return config.stash[ADDRESSES]


def _end_leftovers(folder: Path) -> None:
    """End detached instances with data in the run's folder, if their tests could not."""
    leftovers = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(argument.startswith(f"{folder}/popen-") for argument in process.cmdline()):
                leftovers.append(process)
    end_all(leftovers, signal.SIGTERM, STOP_LIMIT_S)
    end_all(leftovers, signal.SIGKILL, STOP_LIMIT_S)


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process one file at a time, since its set-up may be expensive; of some files, one test."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.partition("::")[0]
        return nodeid if file in DIVIDED else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    """Return a `LongestFirst` for `--dist loadfile`."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the number of tests, that is: ours are in order already
    return LongestFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort tests by the order in which several processes get them."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    return next(n for n, beginning in enumerate(LONGEST_FIRST) if nodeid.startswith(beginning))
