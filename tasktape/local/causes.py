"""The reasons why a running instance is not ready, in the same words for `status` and `doctor`."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tasktape.local.data_dir import DataDir
from tasktape.local.findings import Finding, Verdict
from tasktape.local.kafka import broker_answers
from tasktape.local.processes import Identity

DISK_FAIL_BYTES = 500 * 2**20
DISK_WARN_BYTES = 2 * 2**30
HEARTBEAT_LIMIT_S = 10.0
"""A process whose ready file is older hangs: it is touched every two seconds."""
TOPICS_LIMIT_S = 5.0
REPAIR = "tasktape doctor --repair"
LOG_BROKEN = f"`tasktape down`, then `{REPAIR}`"
LOG_GONE = f"it is the log itself: {LOG_BROKEN}"
MADE_AGAIN = "a worker that runs makes it again within seconds; so does `tasktape migrate`"


def find_causes(run: Mapping[str, Any], data: DataDir, answer: bytes) -> list[Finding]:
    """Return the problems of a running instance, empty if none. `answer` is that of `/readyz`."""
    disk = check_disk(data)
    entries = run.get("processes", [])
    hung = [*filter(None, (_check_hung(entry, data) for entry in entries))]
    ended = [*filter(None, (_check_ended(entry, data) for entry in entries))]
    found = [*([disk] if disk.status == "fail" else []), *hung]
    brokers = run.get("kafka", {}).get("brokers")
    stores: list[Finding] = []
    if brokers and "kafka" not in {finding.name for finding in (*hung, *ended)}:
        stores = _check_brokers(brokers)
        if not stores and not _says_ready(answer):
            stores = check_topics(brokers, run.get("topics", ()))
    # Omit the consequences of a reported cause: no process stays up without a broker, or the log.
    fatal = any(finding.mend != MADE_AGAIN for finding in stores)
    return [*found, *stores, *([] if fatal else ended)] or _told(answer)


def check_disk(data: DataDir) -> Finding:
    """Check the free space for the log and the tables."""
    free = shutil.disk_usage(existing(data.root)).free
    detail = f"{free / 2**30:.1f} GB free for {data.root}"
    if free < DISK_WARN_BYTES:
        verdict: Verdict = "fail" if free < DISK_FAIL_BYTES else "warn"
        return Finding("disk", verdict, detail, "make room, or choose another folder with --data")
    return Finding("disk", "ok", detail)


def existing(path: Path) -> Path:
    """Return the folder itself or the closest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _does_not_stay_up(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("reason")) and entry["status"] in ("restarting", "starting", "failed")


def _check_ended(entry: Mapping[str, Any], data: DataDir) -> Finding | None:
    """Return the problem of a process that does not stay up, if it has one."""
    if not _does_not_stay_up(entry):
        return None
    name, reason = entry["name"], entry["reason"]
    again = f" ({entry['restarts']} restarts)" if entry.get("restarts") else ""
    see = f"fix that; it is started again; see {data.logs / f'{name}.log'}"
    return Finding(name, "fail", f"{reason}{again}", LOG_BROKEN if REPAIR in reason else see)


def _check_hung(entry: Mapping[str, Any], data: DataDir) -> Finding | None:
    """Return the problem of a process that was stopped or hangs, if it has one."""
    name, status = entry["name"], entry["status"]
    identity = Identity.from_json(entry["identity"]) if entry.get("identity") else None
    process = identity.process() if identity else None
    log = data.logs / f"{name}.log"
    if process is None or _does_not_stay_up(entry):
        return None
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_STOPPED:
            return Finding(
                name, "fail", f"pid {process.pid} was stopped by a signal", f"kill -CONT {process.pid}"
            )
    age_s = _heartbeat_age_s(data.root / f"{name}.ready")
    if status == "ready" and age_s is not None and age_s > HEARTBEAT_LIMIT_S:
        detail = f"pid {process.pid} hangs: it gave no sign of life for {age_s:.0f} s"
        return Finding(name, "fail", detail, f"kill -9 {process.pid}; it is started again; see {log}")
    return None


def _heartbeat_age_s(ready_file: Path) -> float | None:
    try:
        return time.time() - ready_file.stat().st_mtime
    except OSError:
        return None


def _check_brokers(brokers: str) -> list[Finding]:
    places = [part.strip().rpartition(":") for part in brokers.split(",") if part.strip()]
    if not any(port.isdigit() and broker_answers(host.strip("[]"), int(port)) for host, _, port in places):
        return [Finding("kafka", "fail", f"{brokers} does not answer", "see kafka.log in the logs folder")]
    return []


def _says_ready(answer: bytes) -> bool:
    with contextlib.suppress(ValueError):
        status = json.loads(answer or b"null")
        return isinstance(status, dict) and status.get("ready") is True
    return False


def _told(answer: bytes) -> list[Finding]:
    """Return the problems that the API reports."""
    with contextlib.suppress(ValueError):
        status = json.loads(answer or b"null")
        problems = status.get("problems") if isinstance(status, dict) else None
        return [Finding("api", "fail", str(problem), "see `tasktape doctor`") for problem in problems or ()]
    return []


def check_topics(brokers: str, topics: Sequence[str]) -> list[Finding]:
    """Check that the topics exist (the first is the log); return nothing if brokers do not respond."""
    missing = asyncio.run(_missing(brokers, topics))
    return [
        Finding(
            "topics", "fail", f"there is no topic {topic}", LOG_GONE if topic == topics[0] else MADE_AGAIN
        )
        for topic in missing
    ]


async def _missing(brokers: str, topics: Sequence[str]) -> list[str]:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, client_id="tasktape-doctor")
    try:
        async with asyncio.timeout(TOPICS_LIMIT_S):
            await admin.start()
            there = set(await admin.list_topics())
    except (OSError, KafkaError, TimeoutError):
        return []
    finally:
        await admin.close()
    return [topic for topic in topics if topic not in there]
