"""`tasktape up`: one instance on one data folder, from start to stop."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from tasktape.local.errors import LocalError
from tasktape.local.jars import Progress
from tasktape.local.kafka import train
from tasktape.local.kafka_home import install
from tasktape.local.ports import is_free, is_listening
from tasktape.local.processes import Identity
from tasktape.local.running import already_runs, reap_leftovers, who_listens
from tasktape.local.stack import Options, Stack
from tasktape.local.supervisor import Child, Supervisor

EXTERNAL_RETRY_S = 0.5

Say = Callable[[str], None]


def install_parts(stack: Stack, progress: Progress) -> None:
    """Install the embedded parts that are missing."""
    if stack.kafka is not None:
        install(stack.kafka.home, progress, train)


def run_instance(options: Options, progress: Progress, say: Say, on_ready: Callable[[], None]) -> None:
    """Run an instance until it is stopped; raise LocalError if it cannot start or continue.

    Raise `KeyboardInterrupt` once everything has been stopped after Ctrl-C.
    """
    data = options.data
    data.create()
    lock = data.lock()
    if lock is None:
        raise already_runs(data)
    with lock:
        reap_leftovers(data, say)
        check_port(options)
        stack = Stack(options)
        install_parts(stack, progress)
        try:
            stopped_by = asyncio.run(_supervise(stack, say, on_ready))
        except LocalError as error:
            data.note_failure(str(error))
            raise
        finally:
            data.forget_run()
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


def check_port(options: Options) -> None:
    """Raise if another program listens on the port."""
    if not is_free(options.host, options.port):
        who = who_listens(options.port)
        raise LocalError(
            f"Port {options.port} on {options.host} is taken{who}; choose another one with --port"
        )


async def _supervise(stack: Stack, say: Say, on_ready: Callable[[], None]) -> int | None:
    """Run all processes; return the signal that stopped them, if one did."""
    ready = False
    stopped_by: int | None = None

    def note(children: Sequence[Child]) -> None:
        stack.options.data.write_run(_describe(stack, children, ready=ready))

    def announce() -> None:
        nonlocal ready
        ready = True
        stack.options.data.forget_failure()
        note(tuple(supervisor.children.values()))
        on_ready()

    supervisor = Supervisor(stack.specs(), say, note)
    stop = asyncio.Event()

    def interrupted(number: int) -> None:
        nonlocal stopped_by
        if not stop.is_set():
            stopped_by = number
            say("Stopping …")
        stop.set()
        supervisor.request_stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup: live on
            loop.add_signal_handler(number, interrupted, number)
    note(())
    if await _reach_external(stack, say, stop):
        await supervisor.run(announce)
    return stopped_by


async def _reach_external(stack: Stack, say: Say, stop: asyncio.Event) -> bool:
    """Wait for the Kafka and the database of the environment; return False if stopped meanwhile."""
    wanted = [
        ("Kafka", "KAFKA_BROKERS", _broker_addresses(stack.external_brokers)),
        ("The database", "DATABASE_URL", _database_addresses(stack.external_database)),
    ]
    for what, variable, addresses in wanted:
        if addresses and not await _reach(
            what, variable, addresses, stack.options.external_limit_s, say, stop
        ):
            return False
    return True


async def _reach(
    what: str, variable: str, addresses: list[tuple[str, int]], limit_s: float, say: Say, stop: asyncio.Event
) -> bool:
    where = ", ".join(f"{host}:{port}" for host, port in addresses)
    deadline_s = time.monotonic() + limit_s
    reported = False
    while not await asyncio.to_thread(lambda: any(is_listening(*address) for address in addresses)):
        if time.monotonic() > deadline_s:
            raise LocalError(f"{what} at {where} ({variable}) did not answer within {limit_s:.0f} s")
        if not reported:
            say(f"{what} at {where} ({variable}) does not answer; waiting up to {limit_s:.0f} s …")
            reported = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EXTERNAL_RETRY_S)
        if stop.is_set():
            return False
    return True


def _broker_addresses(brokers: str | None) -> list[tuple[str, int]]:
    if not brokers:
        return []
    return [_address("KAFKA_BROKERS", part.strip(), 9092) for part in brokers.split(",") if part.strip()]


def _database_addresses(url: str | None) -> list[tuple[str, int]]:
    # An address without a host is a Unix socket: there is no address to wait for.
    return [_address("DATABASE_URL", url, 5432)] if url and urlsplit(url).hostname else []


def _address(variable: str, text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(text if "//" in text else f"//{text}")
    try:
        port = parts.port or default_port
    except ValueError as error:
        raise LocalError(f"{variable} is not an address: {error}") from error
    if not parts.hostname:
        raise LocalError(f"{variable} is not an address: it names no host")
    return parts.hostname, port


def _describe(stack: Stack, children: Sequence[Child], *, ready: bool) -> dict[str, Any]:
    """Return the notes for `status`, `down` and the next `up`."""
    me = Identity.of(os.getpid())
    assert me is not None
    known = {child.spec.name: child.status for child in children}
    return {
        "supervisor": me.to_json(),
        "ready": ready,
        "url": stack.url,
        "host": stack.options.host,
        "port": stack.options.port,
        "kafka": {
            "brokers": stack.brokers
            if stack.external_brokers or known.get("kafka", "waiting") != "waiting"
            else None,
            "embedded": stack.kafka is not None,
        },
        "topics": stack.topics,
        "database": {
            "url": stack.database_url
            if stack.external_database or known.get("postgres", "waiting") != "waiting"
            else None,
            "embedded": stack.postgres is not None,
            "schema": stack.schema,
        },
        "processes": [_describe_child(child) for child in children],
    }


def _describe_child(child: Child) -> dict[str, Any]:
    return {
        "name": child.spec.name,
        "status": child.status,
        "restarts": child.restarts,
        "reason": child.reason,
        "stop_signal": int(child.launch.stop_signal) if child.launch else None,
        "identity": child.identity.to_json() if child.identity else None,
    }
