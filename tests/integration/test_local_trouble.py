"""Reports of `status` and `doctor` on dead letters and missing topics."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tasktape.local.causes import find_causes
from tasktape.local.data_dir import DataDir
from tests.fork_server import COMMAND_LINE, fork_server
from tests.ports import free_port
from tests.waiting import eventually_sync

FOREIGN = ("KAFKA_", "DATABASE_", "JWT_", "TASKTAPE_")
LIMIT_S = 60.0


class Local:
    """Command line of the user of an instance of their own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}

    def __call__(self, *arguments: str, status: int = 0) -> str:
        command = [fork_server(COMMAND_LINE).program, *arguments, "--data", str(self.data)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=200, check=False, env=self._env
        )
        assert (done.returncode, done.stderr if status else "") == (status, ""), done.stdout + done.stderr
        return done.stdout

    def brokers(self) -> str:
        return str(json.loads(self("status", "--json"))["kafka"]["brokers"])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Yield one instance for all tests here; the last one deletes its log."""
    local = Local(tmp_path_factory.mktemp("trouble") / "data")
    local("up", "--detach", "--port", str(free_port()))
    yield local
    local("down")


async def put(brokers: str, *values: bytes, key: str) -> list[str]:
    """Append records to the log directly, and return their positions."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    try:
        written = [await producer.send_and_wait("task-events", value, key=key.encode()) for value in values]
    finally:
        await producer.stop()
    return [f"{each.partition}:{each.offset}" for each in written]


async def create_topic(brokers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()


def line_of(text: str, begin: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith(begin)]
    return line


async def test_status_and_doctor_name_dead_letters_and_held_streams(local: Local) -> None:
    """With the record and the reason; they are no failure, and gone once they are settled."""
    assert line_of(local("doctor"), "✓ parked").endswith("no dead letters")
    assert "dead letters" not in local("status")
    stream = f"task:{uuid4()}"
    poison, _ = await put(local.brokers(), b"junk", b"more junk", key=stream)

    def parked() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(local("status", "--json"))["dead_letters"]
        return found

    eventually_sync(lambda: parked()["records"] == 2, LIMIT_S)
    found = parked()
    assert found["streams"] == 1
    assert found["held"] == [{"stream": stream, "position": poison, "reason": "no attribute ce_id"}]
    status = local("status").splitlines()
    at = status.index("! dead letters: 2 parked, 1 stream held")
    assert status[at + 1 : at + 3] == [
        f"    {stream} waits for {poison}: no attribute ce_id",
        "    → tasktape dead-letters list",
    ]
    said = line_of(local("doctor"), "! parked")
    assert re.fullmatch(
        r"! parked +2 parked, 1 stream held, the oldest for \d+ s:"
        rf" {stream} by {poison} \(no attribute ce_id\)",
        said,
    )
    assert json.loads(local("doctor", "--json"))["ok"] is True
    local("dead-letters", "skip", poison)
    eventually_sync(lambda: parked()["records"] == 1 and parked()["held"] != found["held"], LIMIT_S)
    [behind] = parked()["held"]
    local("dead-letters", "skip", behind["position"])
    eventually_sync(lambda: parked()["records"] == 0, LIMIT_S)
    assert line_of(local("doctor"), "✓ parked").endswith("no dead letters")


async def test_missing_topic_is_named_apart_from_other_failures(kafka_brokers: str, tmp_path: Path) -> None:
    """Without the log nothing keeps running; without another topic a failure has another reason."""
    there = f"there-{uuid4().hex}"
    await create_topic(kafka_brokers, there)
    failed = {"name": "worker-0", "status": "restarting", "reason": "no memory", "restarts": 2}
    run = {"kafka": {"brokers": kafka_brokers}, "processes": [failed]}
    data = DataDir(tmp_path)

    def found(*topics: str, answer: bytes = b"") -> list[str]:
        causes = find_causes({**run, "topics": topics}, data, answer)
        return [f"{each.name}: {each.detail}" for each in causes if each.name != "disk"]

    worker = "worker-0: no memory (2 restarts)"
    shown = json.dumps({"ready": False, "problems": ["the log does not answer"]}).encode()
    assert await asyncio.to_thread(found, "gone", there) == ["topics: there is no topic gone"]
    assert await asyncio.to_thread(found, "gone", there, answer=shown) == ["topics: there is no topic gone"]
    assert await asyncio.to_thread(found, there, "gone") == ["topics: there is no topic gone", worker]
    assert await asyncio.to_thread(found, there, there) == [worker]


async def test_status_and_doctor_name_a_deleted_log_in_one_line(local: Local) -> None:
    """Not the resulting restarts of the worker; both exit with 1."""
    admin = AIOKafkaAdminClient(bootstrap_servers=local.brokers())
    await admin.start()
    await admin.delete_topics(["task-events"])
    await admin.close()

    def worker_ended() -> bool:
        processes = json.loads(local("status", "--json", status=1))["processes"]
        return any(each["name"] == "worker-0" and each["restarts"] for each in processes)

    eventually_sync(worker_ended, LIMIT_S)
    problems = json.loads(local("status", "--json", status=1))["problems"]
    assert [(each["name"], each["detail"]) for each in problems] == [
        ("topics", "there is no topic task-events")
    ]
    crosses = [line for line in local("status", status=1).splitlines() if line.startswith("✗")]
    assert crosses == ["✗ topics: there is no topic task-events"]
    doctor = local("doctor", status=1)
    assert line_of(doctor, "✗ topics").endswith("there is no topic task-events")
    assert "then `tasktape doctor --repair`" in doctor
    assert "worker-0" not in doctor
