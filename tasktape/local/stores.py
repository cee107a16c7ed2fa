"""The stores of a local instance without its other processes: Kafka and PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from app.settings import BadSettings, Settings
from tasktape.local.data_dir import DataDir
from tasktape.local.errors import LocalError
from tasktape.local.foreground import install_parts
from tasktape.local.jars import Progress
from tasktape.local.running import already_runs, reap_leftovers
from tasktape.local.stack import Options, Stack

Say = Callable[[str], None]


@contextmanager
def idle_stores(
    options: Options, progress: Progress, say: Say, *, distrust: bool = False
) -> Iterator[Settings]:
    """Start only the stores of an instance that does not run, and stop them at the end.

    With `distrust` Kafka checks all of its files. Raise `LocalError`, also while the instance runs.
    """
    data = options.data
    data.create()
    lock = data.lock()
    if lock is None:
        raise LocalError(f"{already_runs(data)}; `tasktape down` first")
    with lock:
        reap_leftovers(data, say)
        stack = Stack(options)
        install_parts(stack, progress)
        servers = [server for server in (stack.postgres, stack.kafka) if server is not None]
        if distrust and stack.kafka is not None:
            stack.kafka.distrust()
        started = []
        try:
            for server in servers:
                started.append(server)
                server.start()
            yield _settings(stack.environment())
        finally:
            for server in reversed(started):
                server.stop()


@contextmanager
def any_stores(options: Options, progress: Progress, say: Say) -> Iterator[Settings]:
    """Yield the settings for the stores of a running instance, or start those of one that does not run.

    Raise `LocalError`, also for a folder that has no instance.
    """
    data = options.data
    running = running_settings(data, options.env)
    if running is not None:
        yield running
        return
    if options.env.get("KAFKA_BROKERS"):
        yield _settings(options.env)
        return
    if not (data.kafka / "log").is_dir():
        raise LocalError(f"There is no instance in {data.root}; name another folder with --data")
    with idle_stores(options, progress, say) as settings:
        yield settings


def running_settings(data: DataDir, env: Mapping[str, str]) -> Settings | None:
    """Return the settings for the stores of an instance that runs, if it does. Raise `LocalError`."""
    if not (data.root.is_dir() and data.is_locked()):
        return None
    run = data.read_run()
    kafka, database = run.get("kafka", {}), run.get("database", {})
    if not kafka.get("brokers"):
        raise LocalError(f"Kafka of {data.root} is not up yet; try again in a moment")
    found = {
        "KAFKA_BROKERS": kafka["brokers"],
        "DATABASE_URL": database.get("url") or "",
        "TASKTAPE_SCHEMA": database.get("schema") or "",
        "TASKTAPE_EVENTS_TOPIC": next(iter(run.get("topics", ())), ""),
    }
    return _settings({**env, **found})


def _settings(environment: Mapping[str, str]) -> Settings:
    try:
        return Settings.from_environment(environment)
    except BadSettings as error:
        raise LocalError(str(error)) from error
