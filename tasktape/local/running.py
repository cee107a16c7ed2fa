"""The processes on a data folder: finding, measuring, and stopping them from another process."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from tasktape.local.causes import find_causes
from tasktape.local.data_dir import DataDir
from tasktape.local.errors import LocalError
from tasktape.local.parked import DeadLetters, read_dead_letters
from tasktape.local.processes import Identity, reap
from tasktape.local.stack import READINESS_LIMIT_S, ask

STOP_LIMIT_S = 8.0
LOCK_POLL_S = 0.05


def already_runs(data: DataDir) -> LocalError:
    """Return a message that this data folder is in use, with the process and its address."""
    run = data.read_run()
    pid = run.get("supervisor", {}).get("pid", "unknown")
    return LocalError(f"Tasktape already runs on {data.root}: pid {pid}, {run.get('url', 'starting')}")


def who_listens(port: int) -> str:
    """Return the program that listens on a port, as " by NAME (pid N)", if the system names it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            taken = (
                connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            )
            if taken and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def reap_leftovers(data: DataDir, say: Callable[[str], None]) -> int:
    """End processes of a killed supervisor, in the order of a normal stop; return their number."""
    count = 0
    for process in reversed(data.read_run().get("processes", [])):
        if not process.get("identity"):
            continue
        identity = Identity.from_json(process["identity"])
        stop_signal = signal.Signals(process.get("stop_signal") or signal.SIGTERM)
        if identity.process() is not None and reap(identity, stop_signal):
            say(f"Ended {process['name']} (pid {identity.pid}), left over from a run that was killed")
            count += 1
    return count


def stop_instance(data: DataDir, say: Callable[[str], None]) -> bool:
    """Stop all processes on a data folder; return whether there were any."""
    run = data.read_run()
    ran = data.is_locked()
    if ran:
        supervisor = Identity.from_json(run["supervisor"]) if "supervisor" in run else None
        process = supervisor.process() if supervisor else None
        if process is None:
            raise LocalError(f"Tasktape on {data.root} is just starting or ending; try again in a moment")
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
        _wait_unlocked(data, process)
    lock = data.lock()
    if lock is None:
        raise LocalError(f"Another `tasktape up` took {data.root} over meanwhile")
    with lock:
        leftovers = reap_leftovers(data, say)
        data.forget_run()
    return ran or leftovers > 0


def status(data: DataDir) -> dict[str, Any]:
    """Return the state of a data folder, in the form of `tasktape status --json`."""
    run = data.read_run() if data.root.is_dir() else {}
    running = bool(run) and data.is_locked()
    code, body = None, b""
    if running and run.get("url"):
        code, body = ask(f"{run['url']}/readyz", limit_s=READINESS_LIMIT_S)
    processes = [_measure(entry) for entry in run.get("processes", [])] if running else []
    if running:
        supervisor = {"name": "supervisor", "status": "ready", "restarts": 0, "identity": run["supervisor"]}
        processes.append(_measure(supervisor))
    well = all(process["status"] in ("ready", "done") for process in processes)
    causes = find_causes(run, data, body) if running else []
    kafka = run.get("kafka", {}) if running else {}
    database = run.get("database", {}) if running else {}
    letters = _dead_letters(database)
    return {
        "ready": bool(running and run["ready"] and well and code == 200 and not causes),
        "problems": [asdict(cause) for cause in causes],
        "processes": processes,
        "kafka": {"brokers": kafka.get("brokers"), "embedded": kafka.get("embedded")},
        "database": {"url": hide_password(database.get("url")), "embedded": database.get("embedded")},
        "url": run.get("url") if running else None,
        "lag": _lag(body),
        "dead_letters": None if letters is None else letters.to_json(),
        "data": str(data.root),
        "sizes": {"kafka_bytes": folder_bytes(data.kafka), "postgres_bytes": folder_bytes(data.postgres)},
    }


def _dead_letters(database: Mapping[str, Any]) -> DeadLetters | None:
    url, schema = database.get("url"), database.get("schema")
    return asyncio.run(read_dead_letters(url, schema)) if url and schema else None


def hide_password(url: str | None) -> str | None:
    """Return a database's address without its password."""
    if not url:
        return url
    parts = urlsplit(url)
    if not parts.password:
        return url
    _, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{place}"))


def folder_bytes(folder: Path) -> int:
    """Return the size of a folder on the disk; files that vanish meanwhile count as empty."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(root) / name).lstat().st_blocks * 512
    return total


def _wait_unlocked(data: DataDir, supervisor: psutil.Process) -> None:
    deadline_s = time.monotonic() + STOP_LIMIT_S
    while data.is_locked():
        if time.monotonic() > deadline_s:
            with contextlib.suppress(psutil.Error):
                supervisor.kill()
                supervisor.wait(STOP_LIMIT_S)
            return
        time.sleep(LOCK_POLL_S)


def _measure(entry: dict[str, Any]) -> dict[str, Any]:
    """Add the memory and time of a process and its children; shared memory counts once."""
    identity = Identity.from_json(entry["identity"]) if entry["identity"] else None
    process = identity.process() if identity else None
    described: dict[str, Any] = {"name": entry["name"], "pid": None, "status": entry["status"]}
    described |= {"uptime_s": None, "rss_bytes": None, "cpu_s": None, "restarts": entry["restarts"]}
    if process is None:
        gone = entry["status"] in ("ready", "starting")
        return described | ({"status": "dead"} if gone else {})
    with contextlib.suppress(psutil.Error):
        family = [process]
        # The supervisor's children have lines of their own.
        family += process.children(recursive=True) if entry["name"] != "supervisor" else []
        described["pid"] = process.pid
        described["uptime_s"] = round(time.time() - process.create_time(), 1)
        described["rss_bytes"] = sum(_memory_bytes(member) for member in family)
        described["cpu_s"] = round(sum(_cpu_s(member) for member in family), 2)
    return described


def _memory_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _lag(body: bytes | None) -> int | None:
    try:
        answer = json.loads(body or b"null")
    except ValueError:
        return None
    lag = answer.get("lag") if isinstance(answer, dict) else None
    return lag if isinstance(lag, int) else None
