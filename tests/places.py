"""Topics and a schema of a test's own on the shared broker and database."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from app.settings import Settings
from projections.generations.opening import open_database
from projections.read_models.registry import BY_NAME
from streams.migrate import migrate
from tasktape.local.accounts import die_with_parent
from tests.fork_server import WORKER, ForkedProcess, fork_server
from tests.waiting import LIMIT_S

SECRET = "a-secret-for-tests-that-is-long-enough"


def new_environment(brokers: str, database_url: str, **more: str) -> dict[str, str]:
    """Return environment variables that name new topics and a new schema."""
    name = uuid4().hex[:12]
    return {
        "KAFKA_BROKERS": brokers,
        "DATABASE_URL": database_url,
        "TASKTAPE_EVENTS_TOPIC": f"events-{name}",
        "TASKTAPE_UPDATES_TOPIC": f"updates-{name}",
        "TASKTAPE_SIGNALS_TOPIC": f"signals-{name}",
        "TASKTAPE_TREE_HEADS_TOPIC": f"tree-heads-{name}",
        "TASKTAPE_SCHEMA": f"t_{name}",
        "JWT_SECRET": SECRET,
        **more,
    }


async def new_place(brokers: str, database_url: str, **more: str) -> Settings:
    """Return settings whose topics and schema exist."""
    settings = Settings.from_environment(new_environment(brokers, database_url, **more))
    await migrate(settings)
    return settings


async def make_outdated(place: Settings, *names: str) -> None:
    """Make read models, or all of them, those of another release, which the next `migrate` rebuilds."""
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    await database.pool.execute(f"UPDATE {place.schema_name}.generations SET version = 0")
    await database.pool.execute(
        "UPDATE read_model_versions SET fingerprint = '' WHERE read_model = ANY($1)", names or list(BY_NAME)
    )
    await database.close()


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment with these settings for a child process."""
    return {
        "KAFKA_BROKERS": ",".join(settings.kafka_brokers),
        "DATABASE_URL": settings.database_url,
        "TASKTAPE_EVENTS_TOPIC": settings.events_topic,
        "TASKTAPE_UPDATES_TOPIC": settings.updates_topic,
        "TASKTAPE_SIGNALS_TOPIC": settings.signals_topic,
        "TASKTAPE_TREE_HEADS_TOPIC": settings.tree_heads_topic,
        "TASKTAPE_SCHEMA": settings.schema_name,
        "TASKTAPE_PARTITIONS": str(settings.partitions),
        "JWT_SECRET": settings.jwt_secret or SECRET,
    }


def dying_with_us() -> Callable[[], None]:
    """Make a child die with its parent, as `preexec_fn` of `Popen`, also if the parent is killed."""
    parent_pid = os.getpid()
    return lambda: die_with_parent(signal.SIGKILL, parent_pid)


class WorkerProcess:
    """A real worker in a process of its own; its output goes to a file in `folder`."""

    def __init__(self, settings: Settings, folder: Path, slot: str = "0") -> None:
        self._environment = environment_of(settings)
        self._ready = folder / f"worker-{slot}.ready"
        self.log = folder / f"worker-{slot}.log"
        self._slot = slot
        self._process: ForkedProcess | None = None

    def start(self) -> None:
        """Start it, without waiting."""
        self._ready.unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKTAPE_")}
        own = {"TASKTAPE_WORKER_SLOT": self._slot, "TASKTAPE_READY_FILE": str(self._ready)}
        self._process = fork_server(WORKER).start(("worker",), {**kept, **self._environment, **own}, self.log)

    @property
    def is_ready(self) -> bool:
        """Return whether it has been assigned partitions."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        return self._ready.exists()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        return self._end(signal.SIGTERM)

    def interrupt(self) -> int:
        """Send SIGINT, and return the exit code."""
        return self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(how)
        return process.wait(timeout=LIMIT_S)
